"""The node agent: turns pod assignments into containers and reports what it sees."""
