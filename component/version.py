"""The version of this installation."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The installed distribution's version; "unknown" in a bare checkout."""
    try:
        return metadata.version("timonier")
    except metadata.PackageNotFoundError:
        return "unknown"
