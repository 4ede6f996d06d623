"""Kubernetes' defaults inside pods and pod templates, written out.

Functions change the tree they are given; `api.defaults` hands them a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.object import Tree

_FILE_MODE = 0o644
_TOKEN_SECONDS = 3600
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def fill(tree: Tree, name: str, value: Any) -> None:
    """Set a field whose zero value ("", 0) means absent, as for every field of Kubernetes' that is no pointer."""
    if not tree.get(name):
        tree[name] = value


def default_pod(spec: Tree) -> None:
    """Defaults of a pod's spec; some are not written into templates, as in Kubernetes."""
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in _containers(spec):
        resources = container.get("resources", {})
        if limits := resources.get("limits"):
            resources["requests"] = limits | resources.get("requests", {})


def default_pod_spec(spec: Tree) -> None:
    """Defaults that pods and templates share."""
    fill(spec, "restartPolicy", "Always")
    fill(spec, "dnsPolicy", "ClusterFirst")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    fill(spec, "schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    if "serviceAccount" in spec:  # the old name of the field
        fill(spec, "serviceAccountName", spec["serviceAccount"])
    for container in _containers(spec):
        _default_container(container, host_network=spec.get("hostNetwork", False))
    for volume in spec.get("volumes", []):
        _default_volume(volume)


def _containers(spec: Tree) -> Iterator[Tree]:
    for name in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(name, [])


def _default_container(container: Tree, *, host_network: bool) -> None:
    fill(container, "terminationMessagePath", "/dev/termination-log")
    fill(container, "terminationMessagePolicy", "File")
    fill(container, "imagePullPolicy", pull_policy(container.get("image", "")))
    for port in container.get("ports", []):
        fill(port, "protocol", "TCP")
        if host_network and "containerPort" in port:
            fill(port, "hostPort", port["containerPort"])
    for variable in container.get("env", []):
        if "fieldRef" in (source := variable.get("valueFrom", {})):
            fill(source["fieldRef"], "apiVersion", "v1")
    for name in _PROBES:
        if name in container:
            _default_probe(container[name])
    for hook in container.get("lifecycle", {}).values():
        if type(hook) is dict:
            _default_http(hook)


def pull_policy(image: str) -> str:
    """Return Always for images whose tag is `latest` or missing, IfNotPresent for other tags and for digests."""
    name = image.rpartition("/")[2]
    if "@" in name:
        return "IfNotPresent"
    tag = name.partition(":")[2] or "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def _default_probe(probe: Tree) -> None:
    fill(probe, "timeoutSeconds", 1)
    fill(probe, "periodSeconds", 10)
    fill(probe, "successThreshold", 1)
    fill(probe, "failureThreshold", 3)
    _default_http(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_http(action: Tree) -> None:
    if "httpGet" in action:
        fill(action["httpGet"], "path", "/")
        fill(action["httpGet"], "scheme", "HTTP")
        for header in action["httpGet"].get("httpHeaders", ()):
            header.setdefault("value", "")


def _default_volume(volume: Tree) -> None:
    if not volume.keys() - {"name"}:
        volume["emptyDir"] = {}
    for source in ("configMap", "secret", "downwardAPI", "projected"):
        if source in volume:
            volume[source].setdefault("defaultMode", _FILE_MODE)
    for item in _downward_items(volume):
        if "fieldRef" in item:
            fill(item["fieldRef"], "apiVersion", "v1")
    for source in volume.get("projected", {}).get("sources", []):
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_SECONDS)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")


def _downward_items(volume: Tree) -> Iterator[Tree]:
    yield from volume.get("downwardAPI", {}).get("items", [])
    for source in volume.get("projected", {}).get("sources", []):
        yield from source.get("downwardAPI", {}).get("items", [])
