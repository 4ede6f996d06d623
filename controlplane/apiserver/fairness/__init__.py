"""Nobody may keep others waiting: queues by user, and bounds of what a user holds open."""
