"""What any process of ours needs to run, without rules of the domain."""
