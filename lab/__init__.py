"""A whole cluster on one machine: every host a network namespace with its own mounts, storage and processes."""
