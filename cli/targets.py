"""What a command is about: kinds, names and manifests on the command line, as kubectl reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from api import scheme
from api.errors import Invalid
from api.manifest import load_all
from api.object import Tree
from api.scheme import Kind

MANIFEST_ENDINGS = {".yaml", ".yml", ".json"}
ALL = ("pods", "services", "deployments.apps", "replicasets.apps")
"""What `all` stands for, as in kubectl."""


@dataclass(frozen=True, slots=True)
class Target:
    """A kind, and a name unless all objects of the kind are meant."""

    kind: Kind
    name: str = ""


def parse(words: Sequence[str]) -> list[Target]:
    """Read `pods`, `pods,svc`, `pod web db`, `pod/web svc/db`. Invalid for what is neither."""
    if not words:
        raise Invalid("name a kind, such as `pods`; `tim api-resources` lists all")
    if any("/" in word for word in words):
        return [_slashed(word) for word in words]
    kinds = [kind for part in words[0].split(",") for kind in _kinds(part)]
    names = words[1:]
    if not names:
        return [Target(kind) for kind in kinds]
    return [Target(kind, name) for kind in kinds for name in names]


def read_manifests(paths: Sequence[str], *, recursive: bool = False) -> list[Tree]:
    """Load every object of files, folders and standard input (`-`), in order; Invalid names what cannot be read."""
    trees: list[Tree] = []
    for path in paths:
        if path == "-":
            trees.extend(load_all(sys.stdin.buffer.read(), "standard input"))
            continue
        for file in _files(Path(path), recursive=recursive):
            try:
                trees.extend(load_all(file.read_bytes(), str(file)))
            except OSError as error:
                raise Invalid(f"{file}: {error.strerror}") from error
    if not trees:
        raise Invalid(f"no objects in {', '.join(paths)}")
    return trees


def target_of(tree: Tree) -> Target:
    """The kind and name of an object in a manifest."""
    kind = scheme.by_kind(str(tree.get("apiVersion", "")), str(tree.get("kind", "")))
    return Target(kind, str((tree.get("metadata") or {}).get("name", "")))


def namespace_of(tree: Tree, kind: Kind, chosen: str, default: str) -> str:
    """Where an object of a manifest goes; Invalid when the manifest and --namespace disagree."""
    if not kind.namespaced:
        return ""
    own = str((tree.get("metadata") or {}).get("namespace") or "")
    if own and chosen and own != chosen:
        raise Invalid(f"the manifest says namespace {own!r}, --namespace says {chosen!r}: they must agree")
    return own or chosen or default


def placed(tree: Tree, chosen: str, default: str) -> Tree:
    """The object of a manifest with the namespace it goes to written into it."""
    where = namespace_of(tree, target_of(tree).kind, chosen, default)
    return {**tree, "metadata": {**(tree.get("metadata") or {}), "namespace": where}} if where else tree


def _kinds(word: str) -> Iterator[Kind]:
    if word == "all":
        yield from map(scheme.by_resource, ALL)
    else:
        yield scheme.lookup(word)


def _slashed(word: str) -> Target:
    kind, separator, name = word.partition("/")
    if not (separator and kind and name):
        raise Invalid(f"{word!r}: write every object as KIND/NAME, or one kind followed by names")
    return Target(scheme.lookup(kind), name)


def _files(path: Path, *, recursive: bool) -> list[Path]:
    if not path.exists():
        raise Invalid(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    found = path.rglob("*") if recursive else path.iterdir()
    return sorted(each for each in found if each.suffix in MANIFEST_ENDINGS and each.is_file())
