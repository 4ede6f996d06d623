"""The scheduler: pure placement in `cycle`, `filters` and `scores`, its shell in `loop`."""
