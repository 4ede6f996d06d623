"""The example manifests of Kubernetes' documentation: what each says, in our words, and what becomes of it here.

Every manifest stands for those pages of github.com/kubernetes/website, content/en/examples (CC BY 4.0), that its comment names: it
has their fields, not their words. `# refused: ...` is what the API answers; without, it takes the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from api.object import Tree

HERE = Path(__file__).parent / "documentation"


@dataclass(frozen=True, slots=True)
class Example:
    """A manifest, the pages that it stands for, and why it is refused ("" if it is not)."""

    pages: str
    tree: Tree
    refused: str

    @property
    def name(self) -> str:
        return self.pages.partition(",")[0]


def examples() -> Iterator[Example]:
    """All of them."""
    for path in sorted(HERE.glob("*.yaml")):
        for text in path.read_text(encoding="utf-8").split("\n---\n"):
            pages = re.match(r"# (.*)\n", text)[1]
            refused = "; ".join(re.findall(r"^# refused: (.*)$", text, re.MULTILINE))
            yield Example(pages, yaml.safe_load(text), refused)
