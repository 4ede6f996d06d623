"""Objects from a few options instead of a manifest, as `tim create KIND NAME` makes them. Pure: values in, trees out."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence

from api.errors import Invalid
from api.object import Tree
from cli.mistakes import Misused

_KEY = re.compile(r"[-._a-zA-Z0-9]+")


def namespace(name: str) -> Tree:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service_account(name: str) -> Tree:
    """A ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def config_map(name: str, entries: Iterable[tuple[str, bytes]]) -> Tree:
    """A ConfigMap; what is not UTF-8 text goes to binaryData. Invalid for a bad or repeated key."""
    data: dict[str, str] = {}
    binary: dict[str, str] = {}
    for key, content in _checked(entries):
        try:
            data[key] = content.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(content).decode()
    tree: Tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    return {**tree, **({"data": data} if data else {}), **({"binaryData": binary} if binary else {})}


def secret(name: str, kind: str, entries: Iterable[tuple[str, bytes]]) -> Tree:
    """A Secret of that type. Invalid for a bad or repeated key."""
    data = {key: base64.b64encode(content).decode() for key, content in _checked(entries)}
    tree: Tree = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind or "Opaque"}
    return {**tree, "data": data} if data else tree


def docker_config(server: str, user: str, password: str, email: str) -> bytes:
    """What Docker keeps in config.json for one registry."""
    entry = {"username": user, "password": password, **({"email": email} if email else {})}
    entry["auth"] = base64.b64encode(f"{user}:{password}".encode()).decode()
    return json.dumps({"auths": {server: entry}}).encode()


def resource_quota(name: str, hard: str, scopes: str) -> Tree:
    """A ResourceQuota of `pods=2,cpu=1` and scopes after commas. Invalid."""
    spec: Tree = {"hard": dict(map(_amount, filter(None, hard.split(","))))}
    if scopes:
        spec["scopes"] = scopes.split(",")
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec}


def priority_class(name: str, value: int, description: str, policy: str, *, is_default: bool) -> Tree:
    """A PriorityClass."""
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "globalDefault": is_default,
        **({"description": description} if description else {}),
        "preemptionPolicy": policy,
    }


def deployment(name: str, images: Sequence[str], replicas: int, port: int | None, command: Sequence[str]) -> Tree:
    """A Deployment with a container per image; port and command need a single one. Invalid."""
    if len(images) > 1 and command:
        raise Misused("a command needs a single --image")
    names = [container_name(image) for image in images]
    if len(set(names)) < len(names):
        raise Misused(f"two images make containers of one name: {', '.join(sorted(names))}")
    containers: list[Tree] = [{"name": each, "image": image} for each, image in zip(names, images, strict=True)]
    if port is not None:
        for each in containers:
            each["ports"] = [{"containerPort": port}]
    if command:
        containers[0]["command"] = list(command)
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }


def pod(
    name: str,
    image: str,
    command: Sequence[str] = (),
    *,
    replaces_entry_point: bool = False,
    port: int | None = None,
    variables: Sequence[str] = (),
    labels: str = "",
    annotations: str = "",
    restart: str = "Always",
    pull_policy: str = "",
) -> Tree:
    """A Pod of one container, with the label run=NAME unless others are given. Misused.

    `command` is what the image's entry point gets as arguments, or what runs instead of it.
    """
    container: Tree = {"name": name, "image": image}
    if command:
        container["command" if replaces_entry_point else "args"] = list(command)
    if variables:
        container["env"] = [variable(each) for each in variables]
    if port is not None:
        container["ports"] = [{"containerPort": port}]
    if pull_policy:
        container["imagePullPolicy"] = pull_policy
    metadata: Tree = {"name": name, "labels": pairs(labels, "--labels") or {"run": name}}
    if found := pairs(annotations, "--annotations"):
        metadata["annotations"] = found
    spec = {"containers": [container], "restartPolicy": restart}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def pairs(text: str, option: str) -> dict[str, str]:
    """`a=b,c=d` as a mapping. Misused."""
    found: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        key, equals, value = word.partition("=")
        if not (key and equals):
            raise Misused(f"{option} {word!r}: write it as KEY=VALUE")
        found[key.strip()] = value.strip()
    return found


def variable(text: str) -> Tree:
    """`NAME=VALUE` as an environment variable. Misused."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Misused(f"--env {text!r}: write it as NAME=VALUE")
    return {"name": name, "value": value}


def container_name(image: str) -> str:
    """`registry:5000/team/Web_App:1.2@sha256:…` -> `web-app`, as kubectl names it. Invalid when nothing is left."""
    last = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    name = re.sub(r"[^a-z0-9-]+", "-", last.lower()).strip("-")[:63].rstrip("-")
    if not name:
        raise Misused(f"--image {image!r}: no name can be made of it")
    return name


def literal(text: str) -> tuple[str, bytes]:
    """`key=value` of --from-literal. Invalid."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise Misused(f"--from-literal {text!r}: write it as KEY=VALUE")
    return key, value.encode()


def _amount(text: str) -> tuple[str, str]:
    resource, equals, quantity = text.partition("=")
    if not (resource and equals and quantity):
        raise Misused(f"--hard {text!r}: write it as RESOURCE=QUANTITY")
    return resource.strip(), quantity.strip()


def env_lines(text: str, source: str) -> list[tuple[str, bytes]]:
    """The `KEY=VALUE` lines of --from-env-file; blank lines and comments (#) do not count. Invalid names the line."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            key, equals, value = line.lstrip().partition("=")
            if not (key and equals):
                raise Invalid(f"{source}:{number}: write it as KEY=VALUE")
            entries.append((key, value.encode()))
    return entries


def _checked(entries: Iterable[tuple[str, bytes]]) -> Iterable[tuple[str, bytes]]:
    seen: set[str] = set()
    for key, content in entries:
        if not _KEY.fullmatch(key) or key in {".", ".."}:
            raise Invalid(f"{key!r} cannot be a key: use letters, digits, -, _ and .")
        if key in seen:
            raise Invalid(f"key {key!r} is given twice")
        seen.add(key)
        yield key, content
