"""Recent changes, by kind and by node, for any number of readers that each keep their own place."""
