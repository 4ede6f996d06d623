"""What a command is about: kinds, names and manifests on the command line, as kubectl reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api import retired
from api.errors import ApiError, Invalid, NotFound
from api.object import Tree
from api.scheme import BUILT_IN, Kind
from cli import kinds, reading
from cli.mistakes import Misused
from cli.verb import nearest

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
        raise Misused("name a kind, such as `pods`; `tim api-resources` lists all")
    if any("/" in word for word in words):
        return [_slashed(word) for word in words]
    chosen = [kind for part in words[0].split(",") for kind in _kinds(part)]
    names = words[1:]
    if not names:
        return [Target(kind) for kind in chosen]
    return [Target(kind, name) for kind in chosen for name in names]


def read_manifests(paths: Sequence[str], *, recursive: bool = False) -> list[Tree]:
    """Load every object of files, folders and standard input (`-`), in order; Invalid names what cannot be read."""
    from api.manifest import load_all  # noqa: PLC0415 - only -f needs it; it loads YAML

    trees: list[Tree] = []
    for path in paths:
        if path == "-":
            trees.extend(load_all(reading.standard_input(), "standard input"))
            continue
        for file in _files(path, recursive=recursive):
            trees.extend(load_all(reading.file(file), str(file)))
    if not trees:
        raise Invalid(f"no objects in {', '.join(paths)}")
    return trees


def namespaces_first(trees: Sequence[Tree]) -> list[Tree]:
    """The same objects, Namespaces before what may live in them, otherwise in order."""
    return sorted(trees, key=lambda tree: tree.get("kind") != "Namespace")


def target_of(tree: Tree) -> Target:
    """The kind and name of an object in a manifest; NotFound, Invalid."""
    kind = kind_of(tree)
    name = _metadata(tree, kind).get("name")
    if not isinstance(name, str) or not name:
        raise Invalid(f"{kind.kind}: metadata.name must be a name")
    return Target(kind, name)


def targets_of(trees: Sequence[Tree]) -> tuple[list[tuple[Target, Tree]], list[ApiError]]:
    """What the objects of manifests are, and the errors of those that cannot be any."""
    found: list[tuple[Target, Tree]] = []
    problems: list[ApiError] = []
    for tree in trees:
        try:
            found.append((target_of(tree), tree))
        except ApiError as error:
            problems.append(error)
    return found, problems


def kind_of(tree: Tree) -> Kind:
    """The kind that an object of a manifest says it is, also in a version that is retired; NotFound."""
    api_version, kind = str(tree.get("apiVersion", "")), str(tree.get("kind", ""))
    return kinds.find(lambda known: known.by_kind(retired.current_version(api_version, kind), kind))


def namespace_of(tree: Tree, kind: Kind, chosen: str, default: str) -> str:
    """Where an object of a manifest goes; Invalid when the manifest and --namespace disagree."""
    if not kind.namespaced:
        return ""
    own = str(_metadata(tree, kind).get("namespace") or "")
    if own and chosen and own != chosen:
        raise Invalid(f"the manifest says namespace {own!r}, --namespace says {chosen!r}: they must agree")
    return own or chosen or default


def placed(tree: Tree, chosen: str, default: str) -> Tree:
    """The object of a manifest with the namespace it goes to written into it."""
    kind = kind_of(tree)
    where = namespace_of(tree, kind, chosen, default)
    return {**tree, "metadata": {**_metadata(tree, kind), "namespace": where}} if where else tree


def words_selected(targets: Sequence[Target], *, selector: str, everything: bool) -> None:
    """Invalid unless every target is named, or chosen by labels or --all, and not both."""
    for target in targets:
        if target.name and (selector or everything):
            raise Misused("give names, or choose with -l or --all, not both")
        if not (target.name or selector or everything):
            raise Misused(f"name the {target.kind.plural}, or choose with -l or --all")


def _metadata(tree: Tree, kind: Kind) -> dict[str, Any]:
    metadata = tree.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise Invalid(f"{kind.kind}: metadata must be a mapping")
    return metadata


def lookup(word: str) -> Kind:
    """The kind that people mean by a word; NotFound with the nearest one."""
    try:
        return kinds.find(lambda known: known.lookup(word))
    except NotFound as error:
        known = [name for kind in kinds.known().kinds for name in (kind.plural, kind.singular)]
        hint = nearest(word.lower(), known) or "; `tim api-resources` lists all"
        raise NotFound(f"{error}{hint}") from error


def _kinds(word: str) -> Iterator[Kind]:
    if word == "all":
        yield from map(BUILT_IN.by_resource, ALL)
        yield from kinds.custom_in_category(word)
        return
    try:
        yield lookup(word)
    except NotFound:
        several = kinds.known().in_category(word)
        if not several:
            raise
        yield from several


def _slashed(word: str) -> Target:
    kind, separator, name = word.partition("/")
    if not (separator and kind and name) or "/" in name:
        raise Misused(f"{word!r}: write every object as KIND/NAME, or one kind followed by names")
    return Target(lookup(kind), name)


def _files(path: str, *, recursive: bool) -> list[Path]:
    if path.startswith(("http://", "https://")):
        raise Misused(f"{path}: manifests are not fetched from the network: download it first, then look at it")
    place = Path(path)
    if not place.exists():
        raise Invalid(f"{path}: no such file or folder")
    if not place.is_dir():
        return [place]
    found = place.rglob("*") if recursive else place.iterdir()
    return sorted(each for each in found if each.suffix in MANIFEST_ENDINGS and each.is_file())
