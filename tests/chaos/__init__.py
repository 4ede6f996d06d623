"""Chaos on real processes: a lab under load and faults, and a verdict on the recorded history."""
