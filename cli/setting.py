"""What `tim set` changes in one object: its pods' images, variables, resources and account, selectors, subjects.

Pure: trees and words in, changed trees out. An object that has no pods, or no such container, is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from api.errors import NotFound
from api.object import Tree, canonical
from api.scheme import Kind
from cli.mistakes import Misused

WITH_TEMPLATE = ("deployments.apps", "replicasets.apps")
BINDINGS = ("RoleBinding", "ClusterRoleBinding")

PodChange = Callable[[Tree], None]
"""Changes the spec of pods in place."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts to set, by resource."""

    limits: Mapping[str, str]
    requests: Mapping[str, str]


def check_has_pods(kind: Kind) -> None:
    """Misused unless objects of this kind say how pods are to be."""
    if kind.resource != "pods" and kind.resource not in WITH_TEMPLATE:
        raise Misused(f"{kind.plural} have no containers; pods, deployments and replicasets do")


def pods_changed(change: PodChange) -> Callable[[Tree], Tree | None]:
    """The change of a whole object that `change` makes of its pods' spec; None when nothing is different."""

    def changed(tree: Tree) -> Tree | None:
        after = copy.deepcopy(tree)
        change(pod_spec(after))
        return after if canonical(after) != canonical(tree) else None

    return changed


def pod_spec(tree: Tree) -> Tree:
    """The part of a Pod, Deployment or ReplicaSet that says how pods are to be."""
    spec: Tree = tree["spec"]
    if "template" in spec:
        spec = spec["template"]["spec"]
    return spec


def images(wanted: Mapping[str, str]) -> PodChange:
    """Give containers images, by name; `*` is every container. NotFound for a name that no container has."""

    def change(spec: Tree) -> None:
        for name, image in wanted.items():
            for container in _containers(spec, name):
                container["image"] = image

    return change


def environment(settings: Mapping[str, Tree], removals: Sequence[str], pattern: str, *, overwrite: bool) -> PodChange:
    """Set and remove variables of the containers that `pattern` fits; a setting is an entry of `env`. NotFound, Misused."""

    def change(spec: Tree) -> None:
        for container in _containers(spec, pattern):
            entries: list[Tree] = container.get("env") or []
            known = {each["name"] for each in entries}
            if (taken := sorted(known & settings.keys())) and not overwrite:
                raise Misused(f"{container['name']} has {taken[0]}: --overwrite changes it")
            entries = [settings.get(each["name"], each) for each in entries if each["name"] not in removals]
            entries += [entry for name, entry in settings.items() if name not in known]
            container["env"] = entries
            if not entries:
                del container["env"]

    return change


def resources(wanted: Resources, pattern: str) -> PodChange:
    """Set limits and requests of the containers that `pattern` fits; others of their amounts stay. NotFound."""

    def change(spec: Tree) -> None:
        for container in _containers(spec, pattern):
            found: Tree = dict(container.get("resources") or {})
            for field, amounts in (("limits", wanted.limits), ("requests", wanted.requests)):
                if amounts:
                    found[field] = {**(found.get(field) or {}), **amounts}
            container["resources"] = found

    return change


def service_account(name: str) -> PodChange:
    """Run the pods as this service account."""

    def change(spec: Tree) -> None:
        spec["serviceAccountName"] = name
        spec.pop("serviceAccount", None)  # the old name of the same field, which would contradict

    return change


def selector(wanted: Mapping[str, str]) -> Callable[[Tree], Tree | None]:
    """Let a Service select by exactly these labels."""

    def changed(tree: Tree) -> Tree | None:
        if tree["spec"].get("selector") == wanted:
            return None
        return {**tree, "spec": {**tree["spec"], "selector": dict(wanted)}}

    return changed


def subjects(added: Sequence[Tree]) -> Callable[[Tree], Tree | None]:
    """Give a binding's role to these subjects, too."""

    def changed(tree: Tree) -> Tree | None:
        before: list[Tree] = tree.get("subjects") or []
        new = [each for each in added if each not in before]
        return {**tree, "subjects": [*before, *new]} if new else None

    return changed


def variables(tree: Tree, pattern: str) -> Iterator[tuple[str, list[str]]]:
    """Each container that `pattern` fits, and a line for each of its variables. NotFound."""
    for container in _containers(pod_spec(tree), pattern):
        yield container["name"], [_line(each) for each in container.get("env") or []]


def _line(entry: Tree) -> str:
    source = entry.get("valueFrom")
    if source is None:
        return f"{entry['name']}={entry.get('value', '')}"
    kind, reference = next(iter(source.items()))
    where = " ".join(f"{name} {value}" for name, value in reference.items())
    return f"# {entry['name']} from {kind}: {where}"


def _containers(spec: Tree, pattern: str) -> list[Tree]:
    every = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    found = [each for each in every if fnmatchcase(each["name"], pattern)]
    if not found:
        raise NotFound(f"there is no container {pattern!r}; there are {', '.join(each['name'] for each in every)}")
    return found
