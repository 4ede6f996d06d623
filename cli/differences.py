"""What `tim diff` compares: objects at two points in history, or stored ones and what manifests would make of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.errors import NotFound
from api.object import Object
from api.scheme import KINDS
from api.wellknown import LAST_APPLIED_ANNOTATION
from cli import past
from cli.mistakes import Misused
from cli.output import as_yaml, object_name
from cli.past import Moment
from cli.targets import Target, namespaces_first, parse, placed, read_manifests, target_of

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

UNKEPT = frozenset({"events"})
"""What has no history."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line asked for; `namespace` "" is all."""

    words: Sequence[str]
    namespace: str
    selector: str
    field_selector: str
    at: str
    ago_seconds: float | None
    to: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One object at both points, None where it is not there; and what to call the points."""

    before: Object | None
    after: Object | None
    points: tuple[str, str]


async def between(client: RpcClient, question: Question) -> list[Pair]:
    """The objects that differ between two points, by kind, namespace and name. Misused, Expired, Invalid."""
    first = await past.moment(client, question.at, question.ago_seconds)
    if first is None:
        raise Misused("say since when: --at REVISION, --at TIME or --ago DURATION; or -f what to compare with")
    last = await past.moment(client, question.to, None) or await _now(client)
    points = f"revision {first.revision}", f"revision {last.revision}"
    pairs: list[Pair] = []
    for target in _targets(question.words):
        before = await _listed(client, target, question, first.revision)
        after = await _listed(client, target, question, last.revision)
        if target.name and not before and not after:
            where = f"{points[0]} nor at {points[1]}"
            raise NotFound(f'{target.kind.resource} "{target.name}" was there neither at {where}')
        pairs += [
            Pair(before.get(key), after.get(key), points)
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        ]
    return pairs


async def of_manifests(
    client: RpcClient, files: Sequence[str], namespace: str, default: str, *, recursive: bool
) -> list[Pair]:
    """The stored objects beside what applying the manifests would make of them; any refusal is raised."""
    pairs = []
    for tree in namespaces_first(read_manifests(files, recursive=recursive)):
        given = placed(tree, namespace, default)
        target = target_of(given)
        after, outcome = await client.apply(given, dry_run=True)
        before = None
        if outcome != "created":
            before = await client.get(target.kind.resource, after.namespace, target.name)
        pairs.append(Pair(before, after, ("stored", "applied")))
    return pairs


def shown(pair: Pair) -> str:
    """A unified diff of both as YAML; "" if they differ only in what the API keeps for itself."""
    each = pair.before or pair.after
    assert each is not None, "a pair of nothing"
    name = f"{each.namespace}/{object_name(each)}" if each.namespace else object_name(each)
    old, new = _lines(pair.before), _lines(pair.after)
    headings = f"{name}  {pair.points[0]}", f"{name}  {pair.points[1]}"
    return "".join(f"{line}\n" for line in difflib.unified_diff(old, new, *headings, lineterm=""))


def _lines(each: Object | None) -> list[str]:
    if each is None:
        return []
    tree = each.tree()
    metadata = tree["metadata"]
    metadata.pop("resourceVersion", None)
    metadata.pop("managedFields", None)
    metadata.get("annotations", {}).pop(LAST_APPLIED_ANNOTATION, None)  # says once more what the fields say
    return as_yaml(tree).splitlines()


def _targets(words: Sequence[str]) -> list[Target]:
    if words:
        return parse(words)
    return [Target(kind) for kind in KINDS if kind.resource not in UNKEPT]


async def _now(client: RpcClient) -> Moment:
    found = await client.moment()
    return Moment(found.revision, 0.0)


async def _listed(
    client: RpcClient, target: Target, question: Question, revision: int
) -> dict[tuple[str, str], Object]:
    resource = target.kind.resource
    namespace = question.namespace if target.kind.namespaced else ""
    if target.name:
        try:
            found = await client.get(resource, namespace, target.name, at_revision=revision)
        except NotFound:
            return {}
        return {(found.namespace, found.name): found}
    listed = await client.list(
        resource,
        namespace,
        label_selector=question.selector,
        field_selector=question.field_selector,
        at_revision=revision,
    )
    return {(each.namespace, each.name): each for each in listed.items}
