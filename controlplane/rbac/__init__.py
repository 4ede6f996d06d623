"""Role-based access control as values: requests, rules, who has which, and what every cluster begins with. Pure."""
