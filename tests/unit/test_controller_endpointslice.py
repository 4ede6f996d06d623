"""One example per rule of the EndpointSlice and default/kubernetes controllers."""

from __future__ import annotations

import pytest

from controlplane.controllers import kubernetes_service
from controlplane.controllers.actions import Create, Delete, Update
from controlplane.controllers.endpointslice import reconcile
from tests.builders import cached, pod, service


def decide(svc, pods, slices=(), zones=()):
    return reconcile(cached(svc), [cached(p) for p in pods], [cached(s) for s in slices], dict(zones))


def created(actions):
    return [a.tree for a in actions if isinstance(a, Create)]


def only_slice(svc, *pods, **kwargs):
    (tree,) = created(decide(svc, pods, **kwargs))
    return tree


def endpoints(tree):
    return {e["targetRef"]["name"]: e for e in tree["endpoints"]}


def perform(actions, slices):
    """The slices as they are after the actions."""
    stored = {s["metadata"]["name"]: s for s in slices}
    for action in actions:
        match action:
            case Create(tree) | Update(tree):
                stored[tree["metadata"]["name"]] = tree
            case Delete(_, _, name):
                del stored[name]
    return list(stored.values())


def test_ready_pods_are_listed_with_all_that_routing_needs():
    tree = only_slice(service(), pod("a", ip="10.0.0.1", node="n1"), zones={"n1": "east"})
    assert tree["metadata"]["labels"] == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert tree["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert tree["addressType"] == "IPv4"
    assert tree["ports"] == [{"name": "", "protocol": "TCP", "port": 8080}]
    assert tree["endpoints"] == [
        {
            "addresses": ["10.0.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-of-a"},
            "nodeName": "n1",
            "zone": "east",
        }
    ]


@pytest.mark.parametrize(
    ("ready", "deleting", "expected"),
    [
        (True, False, (True, True, False)),
        (False, False, (False, False, False)),
        (True, True, (False, True, True)),
        (False, True, (False, False, True)),
    ],
)
def test_conditions_follow_readiness_and_termination(ready, deleting, expected):
    tree = only_slice(service(), pod("a", ip="10.0.0.1", ready=ready, deleting=deleting))
    found = tree["endpoints"][0]["conditions"]
    assert (found["ready"], found["serving"], found["terminating"]) == expected


def test_not_ready_addresses_are_published_on_request():
    tree = only_slice(service(publishNotReadyAddresses=True), pod("a", ip="10.0.0.1", ready=False))
    assert tree["endpoints"][0]["conditions"]["ready"] is True


def test_pods_that_ended_or_have_no_address_are_not_listed():
    pods = [pod("a", ip="10.0.0.1", phase="Succeeded"), pod("b"), pod("c", ip="10.0.0.3")]
    assert set(endpoints(only_slice(service(), *pods))) == {"c"}


def test_named_target_ports_are_looked_up_in_each_pod():
    svc = service(ports=[{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}])
    old, new = pod("old", ip="10.0.0.1"), pod("new", ip="10.0.0.2")
    old["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 80}]
    new["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 8080}]
    without = pod("without", ip="10.0.0.3")
    slices = created(decide(svc, [old, new, without]))
    assert [(s["ports"][0]["port"], list(endpoints(s))) for s in slices] == [(80, ["old"]), (8080, ["new"])]


def test_a_named_port_must_have_the_right_protocol():
    svc = service(ports=[{"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"}])
    tree = pod("a", ip="10.0.0.1")
    tree["spec"]["containers"][0]["ports"] = [
        {"name": "dns", "containerPort": 1, "protocol": "TCP"},
        {"name": "dns", "containerPort": 2, "protocol": "UDP"},
    ]
    assert only_slice(svc, tree)["ports"][0]["port"] == 2


def test_without_a_target_port_the_service_port_counts():
    assert only_slice(service(ports=[{"port": 81}]), pod("a", ip="10.0.0.1"))["ports"][0]["port"] == 81


def test_headless_services_are_labelled_and_hostnames_kept():
    svc = service(clusterIP="None", ports=[])
    tree = only_slice(svc, pod("a", ip="10.0.0.1", hostname="zero", subdomain="web"))
    assert tree["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert tree["endpoints"][0]["hostname"] == "zero"
    assert tree["ports"] == []


def test_both_address_families_have_slices_of_their_own():
    tree = pod("a", ip="10.0.0.1")
    tree["status"]["podIPs"].append({"ip": "fd00::1"})
    slices = created(decide(service(), [tree]))
    assert [(s["addressType"], s["endpoints"][0]["addresses"]) for s in slices] == [
        ("IPv4", ["10.0.0.1"]),
        ("IPv6", ["fd00::1"]),
    ]
    (only,) = created(decide(service(ipFamilies=["IPv4"]), [tree]))
    assert only["addressType"] == "IPv4"


def test_a_slice_holds_at_most_a_hundred_endpoints():
    pods = [pod(f"p{n:03}", ip=f"10.0.{n // 250}.{n % 250 + 1}") for n in range(250)]
    slices = created(decide(service(), pods))
    assert [len(s["endpoints"]) for s in slices] == [100, 100, 50]
    assert len({s["metadata"]["name"] for s in slices}) == 3


def test_a_change_of_one_pod_rewrites_one_slice():
    pods = [pod(f"p{n:03}", ip=f"10.0.0.{n + 1}") for n in range(150)]
    slices = created(decide(service(), pods))
    pods[120] = pod("p120", ip="10.0.0.121", ready=False)
    (update,) = decide(service(), pods, slices)
    assert isinstance(update, Update)
    assert endpoints(update.tree)["p120"]["conditions"]["ready"] is False


def test_new_endpoints_fill_slices_with_room():
    pods = [pod(f"p{n:03}", ip=f"10.0.0.{n + 1}") for n in range(110)]
    slices = created(decide(service(), pods))
    del pods[5]
    (update,) = decide(service(), [*pods], slices)
    slices = perform([update], slices)
    pods.append(pod("late", ip="10.0.1.1"))
    (update,) = decide(service(), pods, slices)
    assert "late" in endpoints(update.tree)


def test_unchanged_endpoints_write_nothing():
    pods = [pod("a", ip="10.0.0.1"), pod("b", ip="10.0.0.2", ready=False)]
    slices = created(decide(service(), pods))
    assert decide(service(), pods, slices) == []
    assert decide(service(), list(reversed(pods)), slices) == []


def test_slices_without_endpoints_go():
    slices = created(decide(service(), [pod("a", ip="10.0.0.1")]))
    (action,) = decide(service(), [], slices)
    assert isinstance(action, Delete)


def test_a_changed_port_replaces_the_slice():
    pods = [pod("a", ip="10.0.0.1")]
    slices = created(decide(service(), pods))
    changed = service(ports=[{"port": 80, "targetPort": 9090}])
    slices = perform(decide(changed, pods, slices), slices)
    assert [s["ports"][0]["port"] for s in slices] == [9090]
    assert decide(changed, pods, slices) == []


def test_labels_of_the_service_are_copied():
    svc = service()
    svc["metadata"]["labels"] = {"team": "a"}
    slices = created(decide(svc, [pod("a", ip="10.0.0.1")]))
    assert slices[0]["metadata"]["labels"]["team"] == "a"
    svc["metadata"]["labels"] = {"team": "b"}
    (update,) = decide(svc, [pod("a", ip="10.0.0.1")], slices)
    assert update.tree["metadata"]["labels"]["team"] == "b"


def test_a_service_that_is_being_deleted_is_left_alone():
    svc = service()
    svc["metadata"]["deletionTimestamp"] = "2025-06-15T15:00:00Z"
    assert decide(svc, [pod("a", ip="10.0.0.1")]) == []


REPLICAS = ("10.1.0.2:6443", "10.1.0.1:6443", "replica-3.example:6443")


def test_the_api_service_lists_the_replicas():
    (action,) = kubernetes_service.reconcile(None, REPLICAS)
    assert action.tree["metadata"]["labels"] == {"kubernetes.io/service-name": "kubernetes"}
    assert [e["addresses"] for e in action.tree["endpoints"]] == [["10.1.0.1"], ["10.1.0.2"]]
    assert action.tree["ports"] == [{"name": "https", "protocol": "TCP", "port": 6443}]
    assert kubernetes_service.reconcile(cached(action.tree), REPLICAS) == []


def test_changed_replicas_change_the_api_service():
    (create,) = kubernetes_service.reconcile(None, REPLICAS)
    (update,) = kubernetes_service.reconcile(cached(create.tree), ("10.1.0.9:6443",))
    assert [e["addresses"] for e in update.tree["endpoints"]] == [["10.1.0.9"]]


def test_ipv6_replicas_are_listed_without_brackets():
    (action,) = kubernetes_service.reconcile(None, ("[fd00::1]:6443",))
    assert action.tree["addressType"] == "IPv6"
    assert action.tree["endpoints"][0]["addresses"] == ["fd00::1"]


def test_names_alone_make_no_endpoints():
    assert kubernetes_service.reconcile(None, ("replica.example:6443",)) == []
