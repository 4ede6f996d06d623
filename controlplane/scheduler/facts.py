"""From API objects to what placement depends on."""

from __future__ import annotations

from functools import lru_cache

from api.core import Node, Pod
from api.pod_containers import lasting_containers
from api.resources import allocatable, pod_requests
from component.informer import Cached
from controlplane.scheduler.cycle import Waiting
from controlplane.scheduler.filters import PodClass, TolerationRule
from controlplane.scheduler.snapshot import HostPort, NodeFacts, NodeTaint, PodUse

SCHEDULER_NAME = "default-scheduler"


def needs_node(pod: Pod) -> bool:
    """Whether this scheduler should place the pod."""
    return (
        not pod.spec.node_name
        and (pod.spec.scheduler_name or SCHEDULER_NAME) == SCHEDULER_NAME
        and not pod.spec.scheduling_gates
        and pod.metadata.deletion_timestamp is None
        and pod.status.phase not in {"Succeeded", "Failed"}
    )


def occupies_node(pod: Pod) -> bool:
    """Whether the pod uses up room on a node; terminating ones do until they are gone."""
    return bool(pod.spec.node_name) and pod.status.phase not in {"Succeeded", "Failed"}


def waiting(cached: Cached[Pod]) -> Waiting:
    """A pod to place."""
    pod = cached.view
    return Waiting(
        cached.object.uid, cached.object.namespace, cached.object.name, pod_class(pod), pod.spec.priority or 0
    )


def pod_class(pod: Pod) -> PodClass:
    """Everything the placement of a pod depends on."""
    rules = (
        TolerationRule(t.key or "", t.operator or "Equal", t.value or "", t.effect or "") for t in pod.spec.tolerations
    )
    return PodClass(
        requests=tuple(sorted(pod_requests(pod.spec).items())),
        selector=tuple(sorted(pod.spec.node_selector.items())),
        tolerations=tuple(rules),
        owner=_controller(pod),
        host_ports=_host_ports(pod),
    )


def use(cached: Cached[Pod]) -> PodUse:
    """What a bound pod takes from its node."""
    pod = cached.view
    requests = _shared(tuple(sorted(pod_requests(pod.spec).items())))
    return PodUse(cached.object.uid, pod.spec.node_name or "", requests, _controller(pod), _host_ports(pod))


def node_facts(cached: Cached[Node]) -> NodeFacts:
    """What placement depends on in a node."""
    node = cached.view
    return NodeFacts(
        name=cached.object.name,
        allocatable=allocatable(node.status),
        labels=node.metadata.labels,
        taints=frozenset(NodeTaint(t.key, t.value or "", t.effect) for t in node.spec.taints),
        unschedulable=bool(node.spec.unschedulable),
        ready=any(c.type == "Ready" and c.status == "True" for c in node.status.conditions),
    )


def _controller(pod: Pod) -> str:
    return next((owner.uid for owner in pod.metadata.owner_references if owner.controller), "")


def _host_ports(pod: Pod) -> tuple[HostPort, ...]:
    """The ports of the node itself that the pod listens on; on the host's network those are all it names."""
    taken = {
        (port.protocol or "TCP", port.host_port or port.container_port)
        for container in lasting_containers(pod.spec)
        for port in container.ports
        if port.host_port or pod.spec.host_network
    }
    return tuple(sorted(taken))


@lru_cache(maxsize=4_096)
def _shared(requests: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """The first of equal values: 100,000 pods of a few controllers ask for few different things."""
    return requests
