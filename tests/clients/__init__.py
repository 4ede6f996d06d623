"""What other people's clients do with a cluster: expectations that are checked in, and the table made of them."""
