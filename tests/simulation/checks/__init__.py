"""What must hold of a run: pure functions over what was recorded, each with a test that plants a violation."""
