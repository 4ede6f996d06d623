"""The error of everything that reads or writes a kubeconfig."""

from __future__ import annotations


class KubeconfigProblem(Exception):
    """The file cannot be used; the message says why and what to do."""
