"""A newer version of the program: this one's source, with one operation, one kind and one field more.

The edits are what CONTRIBUTING says a release with something new has to do, made to a copy; so it shows that the steps
written there are enough.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from controlplane.commands import COMMAND_VERSION
from controlplane.level import KNOWN_LEVEL

NEWER_LEVEL = KNOWN_LEVEL + 1
ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "component", "controlplane", "agent", "netplugin", "lab", "cli")

_OPERATION = """
class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=14, forbid_unknown_fields=True):
    name: str


Op = (
    Mark
    | Check"""

_KIND = """
class Gadget(Resource):
    api_version: str = required("example.dev/v1")
    kind: str = required("Gadget")
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = {}


class Secret(Resource):"""

_ROW = 'Kind("example.dev/v1", "Gadget", "gadgets.example.dev", "gadget", (), True, "config", False),'

_CREATE = "ops = (*snapshot.checks, Check(key, absent=True), *self.consequences(kind, None, tree, snapshot), put)"

EDITS: Mapping[str, Sequence[tuple[str, str]]] = {
    "controlplane/level.py": (
        (f"KNOWN_LEVEL: Final = {KNOWN_LEVEL}", f"KNOWN_LEVEL: Final = {NEWER_LEVEL}"),
        ("KIND_LEVELS: Final[Mapping[str, int]] = {", f'KIND_LEVELS = {{"gadgets.example.dev": {NEWER_LEVEL}, '),
        (
            "FIELD_LEVELS: Final[Mapping[tuple[str, str], int]] = {}",
            f'FIELD_LEVELS = {{("configmaps", "note"): {NEWER_LEVEL}}}',
        ),
    ),
    "controlplane/commands.py": (
        (f"COMMAND_VERSION: Final = {COMMAND_VERSION}", f"COMMAND_VERSION: Final = {NEWER_LEVEL}"),
        ("\nOp = (\n    Check", _OPERATION),
        ("    Forget: 2,\n", f"    Forget: 2,\n    Mark: {NEWER_LEVEL},\n"),
    ),
    "controlplane/store/draft.py": (
        ("    Key,\n", "    Key,\n    Mark,\n"),
        (
            "            case SetEpoch(holder):",
            '            case Mark(name):\n                self.settings["mark/" + name] = b"1"\n            case SetEpoch(holder):',
        ),
    ),
    "api/config.py": (
        (
            "    binary_data: dict[str, str] = {}\n",
            "    binary_data: dict[str, str] = {}\n    note: str | None = None\n",
        ),
        ("\nclass Secret(Resource):", _KIND),
    ),
    "api/scheme.py": (
        (
            "KINDS: tuple[Kind, ...] = (\n",
            f"KINDS: tuple[Kind, ...] = (\n    {_ROW}\n",
        ),
    ),
    "controlplane/apiserver/writes.py": (
        ("from controlplane.commands import Check,", "from controlplane.commands import Mark, Check,"),
        (
            _CREATE,
            _CREATE.replace(
                "put)", 'put)\n        ops += (Mark(name),) if "mark" in metadata.get("labels", {}) else ()'
            ),
        ),
    ),
}
"""By file: what stands there, once, and what the newer version has instead.

A ConfigMap may have a `note`, Gadgets exist, and creating an object with the label `mark` does the operation Mark.
"""


def newer_build(folder: Path) -> Path:
    """Make the newer version below `folder` and return where: run it with `python -m` from there."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, edits in EDITS.items():
        path = folder / name
        text = path.read_text()
        for old, new in edits:
            assert text.count(old) == 1, f"{name} has not exactly one {old!r}"
            text = text.replace(old, new)
        path.write_text(text)
    return folder
