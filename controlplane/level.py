"""The cluster level: which kinds, fields and operations every member knows, so that all may be used.

It is part of the replicated state, raised by a command once every member advertises the higher level, and never
falls. A release that adds something that older replicas cannot apply or serve raises `KNOWN_LEVEL` by one.
"""

from __future__ import annotations

from typing import Final

KNOWN_LEVEL: Final = 1
"""The highest level that this program knows."""
