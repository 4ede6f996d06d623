"""Every reader is fed what it should never see: damaged files, broken frames, wrong messages, mutated requests."""
