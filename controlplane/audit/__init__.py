"""The audit log: which requests are recorded, how much of each, and the file they go to."""
