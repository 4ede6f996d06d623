"""Mistakes in the command line itself: told apart from what a manifest says or the cluster refuses."""

from __future__ import annotations

from api.errors import Invalid


class Misused(Invalid):
    """The words of the command line do not make sense together: exit code 2, as for every wrong option."""
