"""Services, as `tim create service`, `tim expose` and `tim run --expose` make them. Pure: values in, trees out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.object import Tree, at
from api.scheme import Kind
from cli.generators import pairs
from cli.mistakes import Misused

MAX_PORT = 65535
PODS_ELSEWHERE = ("deployments.apps", "replicasets.apps")
"""Kinds with a template of pods and a selector of them."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """How the new Service shall be; "" and None leave it to what is exposed, or to the cluster."""

    name: str = ""
    port: int | None = None
    target_port: str = ""
    protocol: str = ""
    service_type: str = ""
    selector: str = ""
    labels: str = ""
    cluster_ip: str = ""
    session_affinity: str = ""


def cluster_ip_service(name: str, tcp: Sequence[str], cluster_ip: str) -> Tree:
    """A Service of type ClusterIP, headless for the address None. Misused."""
    if not tcp and cluster_ip != "None":
        raise Misused("--tcp is missing: which port? (only a headless service, --clusterip None, does without)")
    return _service(name, "ClusterIP", tcp, {"clusterIP": cluster_ip} if cluster_ip else {})


def node_port_service(name: str, tcp: Sequence[str], node_port: int | None) -> Tree:
    """A Service of type NodePort. Misused."""
    tree = load_balancer_service(name, tcp, kind="NodePort")
    if node_port is not None:
        for port in tree["spec"]["ports"]:
            port["nodePort"] = node_port
    return tree


def load_balancer_service(name: str, tcp: Sequence[str], kind: str = "LoadBalancer") -> Tree:
    """A Service of type LoadBalancer. Misused."""
    if not tcp:
        raise Misused("--tcp is missing: which port?")
    return _service(name, kind, tcp, {})


def external_name_service(name: str, external_name: str, tcp: Sequence[str]) -> Tree:
    """A Service of type ExternalName: another name for a host elsewhere. Misused."""
    return _service(name, "ExternalName", tcp, {"externalName": external_name})


def exposing(kind: Kind, tree: Tree, wanted: Exposure) -> Tree:
    """A Service in front of the pods of an object. Misused when its selector or ports cannot be told."""
    metadata = tree["metadata"]
    labels = pairs(wanted.labels, "--labels") if wanted.labels else metadata.get("labels") or {}
    spec: Tree = {
        "ports": _ports(kind, tree, wanted),
        "selector": pairs(wanted.selector, "--selector") if wanted.selector else _selector(kind, tree),
    }
    for field, value in (
        ("type", wanted.service_type),
        ("clusterIP", wanted.cluster_ip),
        ("sessionAffinity", wanted.session_affinity),
    ):
        if value:
            spec[field] = value
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": wanted.name or metadata["name"], **({"labels": labels} if labels else {})},
        "spec": spec,
    }


def _service(name: str, kind: str, tcp: Sequence[str], more: Mapping[str, str]) -> Tree:
    labels = {"app": name}
    ports = [_tcp_port(word) for text in tcp for word in text.split(",")]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"type": kind, "selector": labels, **({"ports": ports} if ports else {}), **more},
    }


def _tcp_port(word: str) -> Tree:
    port, colon, target = word.partition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT) or (colon and not target):
        raise Misused(f"--tcp {word!r}: write it as PORT or PORT:TARGET, ports from 1 to {MAX_PORT}")
    return {
        "name": word.replace(":", "-"),
        "port": int(port),
        "targetPort": _target(target or port),
        "protocol": "TCP",
    }


def _target(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _ports(kind: Kind, tree: Tree, wanted: Exposure) -> list[Tree]:
    known = _known_ports(kind, tree)
    if wanted.port is not None:
        protocol = next((each["protocol"] for each in known if each["port"] == wanted.port), "TCP")
        ports = [{"port": wanted.port, "protocol": protocol}]
    else:
        ports = known
    if not ports:
        raise Misused(f"{kind.singular} {tree['metadata']['name']} names no ports: say --port")
    for number, port in enumerate(ports, 1):
        if len(ports) > 1:
            port["name"] = f"port-{number}"
        port["protocol"] = wanted.protocol or port["protocol"]
        port["targetPort"] = _target(wanted.target_port or str(port["port"]))
    return ports


def _known_ports(kind: Kind, tree: Tree) -> list[Tree]:
    if kind.plural == "services":
        return [_port(each, "port") for each in at(tree, "spec.ports", [])]
    pod_spec = at(tree, "spec" if kind.plural == "pods" else "spec.template.spec", {})
    containers = pod_spec.get("containers", [])
    return [_port(each, "containerPort") for container in containers for each in container.get("ports") or []]


def _port(each: Tree, field: str) -> Tree:
    return {"port": each[field], "protocol": each.get("protocol") or "TCP"}


def _selector(kind: Kind, tree: Tree) -> dict[str, str]:
    name = f"{kind.singular} {tree['metadata']['name']}"
    match kind.resource:
        case "pods":
            found = tree["metadata"].get("labels")
        case "services":
            found = at(tree, "spec.selector", {})
        case resource if resource in PODS_ELSEWHERE:
            if at(tree, "spec.selector.matchExpressions", []):
                raise Misused(f"{name} selects its pods by expressions, which a service cannot: say --selector")
            found = at(tree, "spec.selector.matchLabels", {})
        case _:
            raise Misused(f"{kind.plural} have no pods; expose a pod, service, deployment or replicaset")
    if not found:
        raise Misused(f"{name} has no labels that tell its pods: say --selector")
    return dict(found)
