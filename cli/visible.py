"""Text from objects, harmless on a terminal: what would move its cursor, name its window or paint it is shown instead. Pure.

Whoever may write an object's annotations or an event's message must not write to the terminal of whoever reads them. JSON, YAML
and templates stay as they are: they are for programs, and the first two escape such characters.
"""

from __future__ import annotations

from typing import Final

_SHOWN: Final = {code: f"^{chr(code ^ 64)}" for code in (*range(32), 127) if chr(code) not in "\n\t"} | {
    code: f"\\x{code:02x}" for code in range(128, 160)
}


def visible(text: str) -> str:
    """The text with ^[ for an escape character and alike; line ends and tabs stay."""
    return text if text.isprintable() else text.translate(_SHOWN)
