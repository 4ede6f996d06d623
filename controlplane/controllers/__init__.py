"""Controllers: each a pure decision in a module of its own, all run by the one shell in `loop`."""
