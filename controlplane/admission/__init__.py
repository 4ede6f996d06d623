"""What the cluster adds to and demands of objects beyond their own validity: a chain of plugins, one file each."""
