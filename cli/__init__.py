"""The command line `tim`: parse, call, print."""
