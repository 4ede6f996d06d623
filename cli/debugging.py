"""What `tim debug` makes: a container to be added to a pod, a copy of a pod, a pod that looks into a node. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.object import Tree
from api.wellknown import LAST_APPLIED_ANNOTATION
from cli.mistakes import Misused

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The container to look with; `command` replaces the image's entry point."""

    name: str
    image: str
    command: Sequence[str] = ()
    variables: Sequence[Tree] = ()
    pull_policy: str = ""
    stdin: bool = False
    tty: bool = False

    def tree(self) -> Tree:
        """As manifests write a container."""
        fields: dict[str, Any] = {
            "image": self.image,
            "command": list(self.command),
            "env": list(self.variables),
            "imagePullPolicy": self.pull_policy,
            **streams(stdin=self.stdin, tty=self.tty),
        }
        return {"name": self.name, **{name: value for name, value in fields.items() if value}}


def streams(*, stdin: bool, tty: bool, lasting: bool = False) -> Tree:
    """The fields of a container that somebody joins; its input ends with theirs, unless it is `lasting` or a terminal."""
    once = stdin and not tty and not lasting
    given = {"stdin": stdin, "stdinOnce": once, "tty": tty}
    return {name: True for name, wanted in given.items() if wanted}


def addition(wanted: Wanted, target: str) -> bytes:
    """The patch that adds an ephemeral container to a pod."""
    container = wanted.tree() | ({"targetContainerName": target} if target else {})
    return json.dumps({"spec": {"ephemeralContainers": [container]}}).encode()


def copy_of(pod: Tree, name: str, wanted: Wanted, images: Mapping[str, str], *, same_node: bool) -> Tree:
    """A copy of a pod with one container more, or with an own one changed when `wanted` has its name. Misused.

    It has neither the labels nor the probes, so that no Service sends there, no owner takes it in, and it is not restarted while
    somebody looks. `images` are other images by the container's name, "*" for all; `wanted` without an image adds nothing.
    """
    spec = {key: value for key, value in pod["spec"].items() if key != "ephemeralContainers"}
    if not same_node:
        spec.pop("nodeName", None)
    fields = [field for field in ("initContainers", "containers") if field in spec]
    names = {each["name"] for field in fields for each in spec[field]}
    if unknown := sorted(images.keys() - names - {"*"}):
        raise Misused(f"--set-image: the pod has no container {', '.join(unknown)}; it has {', '.join(sorted(names))}")
    for field in fields:
        spec[field] = [_copied(each, images) for each in spec[field]]
    if wanted.name in names:
        changes = {key: value for key, value in wanted.tree().items() if value}
        dropped = {"args"} if wanted.command else set()
        spec["containers"] = [
            {key: value for key, value in {**each, **changes}.items() if key not in dropped}
            if each["name"] == wanted.name
            else each
            for each in spec["containers"]
        ]
    elif wanted.image:
        spec["containers"] = [*spec["containers"], wanted.tree()]
    metadata = {"name": name, "namespace": pod["metadata"].get("namespace", "")}
    annotations = {
        key: value for key, value in pod["metadata"].get("annotations", {}).items() if key != LAST_APPLIED_ANNOTATION
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "annotations": annotations}, "spec": spec}


def node_debugger(node: str, name: str, wanted: Wanted) -> Tree:
    """A pod that sees the node's processes, network and, below /host, its files."""
    container = wanted.tree() | {"volumeMounts": [{"name": "host-root", "mountPath": "/host"}]}
    spec = {
        "containers": [container],
        **dict.fromkeys(("hostIPC", "hostNetwork", "hostPID"), True),
        "nodeName": node,
        "restartPolicy": "Never",
        "tolerations": [{"operator": "Exists"}],
        "volumes": [{"name": "host-root", "hostPath": {"path": "/"}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _copied(container: Tree, images: Mapping[str, str]) -> Tree:
    kept = {key: value for key, value in container.items() if key not in _PROBES}
    image = images.get(container["name"], images.get("*", container.get("image", "")))
    return {**kept, "image": image}
