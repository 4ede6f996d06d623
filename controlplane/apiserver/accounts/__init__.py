"""Who asks, by what they carry: tokens of service accounts and of users, how they are made, checked and told."""
