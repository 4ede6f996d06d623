"""Programs outside that are asked about writes: which, what, and what their answers mean. Pure; the calls are made elsewhere."""
