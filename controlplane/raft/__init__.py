"""The replicated log: Raft in a process of its own, and the socket between it and the API process."""
