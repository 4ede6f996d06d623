"""The replicated state: how transactions change it, and its snapshots on disk."""
