"""Containers on one host: the port in protocol.py, and Podman behind it."""
