"""From the session's messages to pods and the network's inputs."""

from __future__ import annotations

import pytest
import structlog

from agent.inputs import BrokenChain, Inputs
from api.v1 import node_pb2
from netplugin.protocol import DnsRecord, Endpoint, NodeRoute, ServicePort
from tests.agent_rig import deleting, node_tree, pod_tree, resource


def full(*trees, revision=5):
    return node_pb2.Inputs(full=True, results_in=revision, set=[resource(tree) for tree in trees])


def change(*trees, applies_to=5, results_in=6, removed=()):
    message = node_pb2.Inputs(applies_to=applies_to, results_in=results_in, set=[resource(tree) for tree in trees])
    for kind, name in removed:
        message.removed.add(resource=kind, namespace="default", name=name)
    return message


def service(name="web", address="10.96.0.7", ports=None, **spec):
    meta = {"name": name, "namespace": "default"}
    listed = ports or [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"clusterIP": address, "ports": listed, **spec},
    }


def slice_of(*endpoints, name="web-1", owner="web", ports=None):
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": owner}},
        "addressType": "IPv4",
        "ports": ports or [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def endpoint(ip, *, hostname=None, node="n1", **conditions):
    tree = {"addresses": [ip], "nodeName": node}
    return tree | ({"conditions": conditions} if conditions else {}) | ({"hostname": hostname} if hostname else {})


@pytest.fixture
def inputs():
    return Inputs("cluster.local")


def test_a_full_set_replaces_everything(inputs):
    inputs.apply(full(pod_tree("a"), pod_tree("b")))
    changes = inputs.apply(full(pod_tree("b"), pod_tree("c"), revision=9))
    assert set(inputs.pods) == {"uid-b", "uid-c"}
    assert changes.pods == {"uid-a", "uid-c"}, "what did not change is not touched"
    assert changes.full
    assert inputs.revision == 9


def test_changes_continue_what_is_held(inputs):
    inputs.apply(full(pod_tree("a")))
    changes = inputs.apply(change(pod_tree("b"), removed=[("pods", "a")]))
    assert set(inputs.pods) == {"uid-b"}
    assert changes.pods == {"uid-a", "uid-b"}


def test_a_gap_is_refused_and_changes_nothing(inputs):
    inputs.apply(full(pod_tree("a")))
    with pytest.raises(BrokenChain, match="continue revision 7, held is 5"):
        inputs.apply(change(pod_tree("b"), applies_to=7))
    assert set(inputs.pods) == {"uid-a"}


def test_a_namesake_takes_the_place_of_the_pod_before(inputs):
    inputs.apply(full(pod_tree("a")))
    changes = inputs.apply(change(pod_tree("a", uid="uid-new")))
    assert set(inputs.pods) == {"uid-new"}
    assert changes.pods == {"uid-a", "uid-new"}


def test_a_pod_waits_for_the_network_of_the_revision_it_came_with(inputs):
    inputs.apply(full(pod_tree("a")))
    inputs.apply(change(pod_tree("b")))
    inputs.apply(change(pod_tree("a", restartPolicy="Never"), applies_to=6, results_in=7))
    assert inputs.pods["uid-a"].network_revision == 5
    assert inputs.pods["uid-b"].network_revision == 6


def test_what_is_held_can_be_told_as_a_full_set(inputs):
    inputs.apply(full(pod_tree("a"), node_tree(), service()))
    again = Inputs("cluster.local")
    again.apply(inputs.as_full())
    assert again.pods == inputs.pods
    assert again.network() == inputs.network()


def test_only_network_objects_change_the_network(inputs):
    inputs.apply(full(pod_tree("a")))
    assert not inputs.apply(change(pod_tree("b"))).network
    assert inputs.apply(change(service(), applies_to=6, results_in=7)).network


def test_nodes_become_routes(inputs):
    other = node_tree("n2", "10.0.0.12", "10.244.2.0/24")
    other["metadata"]["annotations"] = {"timonier.dev/vxlan-mac": "ee:00:00:00:00:02"}
    unknown = {**node_tree("n3"), "status": {}}
    inputs.apply(full(node_tree(), other, unknown))
    assert inputs.network().nodes == (
        NodeRoute("n1", "10.0.0.11", "10.244.1.0/24"),
        NodeRoute("n2", "10.0.0.12", "10.244.2.0/24", "ee:00:00:00:00:02"),
    )


@pytest.mark.parametrize("address", ["rubbish", "fd00::1", "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"])
def test_a_node_that_says_nonsense_of_itself_costs_the_others_nothing(inputs, address):
    odd = node_tree("n2", address, "10.244.2.0/24")
    third = node_tree("n3", "10.0.0.13", "10.244.3.0/24")
    third["metadata"]["annotations"] = {"timonier.dev/vxlan-mac": "rubbish"}
    inputs.apply(full(node_tree(), odd, third))
    assert inputs.network().nodes == (
        NodeRoute("n1", "10.0.0.11", "10.244.1.0/24"),
        NodeRoute("n3", "10.0.0.13", "10.244.3.0/24"),
    )


def test_a_service_port_leads_to_the_numbers_of_its_slices(inputs):
    ends = slice_of(
        endpoint("10.244.1.2", ready=True, serving=True, terminating=False),
        endpoint("10.244.2.2", node="n2", ready=False, serving=True, terminating=True),
        endpoint("10.244.1.3"),
    )
    inputs.apply(full(service(), ends))
    assert inputs.network().services == (
        ServicePort(
            "default",
            "web",
            "http",
            "10.96.0.7",
            "tcp",
            80,
            (
                Endpoint("10.244.1.2", 8080, ready=True, serving=True, terminating=False, node="n1"),
                Endpoint("10.244.1.3", 8080, ready=True, serving=True, terminating=False, node="n1"),
                Endpoint("10.244.2.2", 8080, ready=False, serving=True, terminating=True, node="n2"),
            ),
        ),
    )
    assert inputs.network().records == (DnsRecord("web.default.svc.cluster.local", ("10.96.0.7",)),)


def test_several_ports_and_slices_are_kept_apart(inputs):
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 53, "protocol": "UDP"}]
    first = slice_of(endpoint("10.244.1.2"), name="s1", ports=[{"name": "a", "port": 8080}])
    second = slice_of(
        endpoint("10.244.1.3"),
        name="s2",
        ports=[{"name": "a", "port": 9090}, {"name": "b", "port": 5353, "protocol": "UDP"}],
    )
    inputs.apply(full(service(ports=ports), first, second))
    by_name = {port.port_name: port for port in inputs.network().services}
    assert [(end.address, end.port) for end in by_name["a"].endpoints] == [("10.244.1.2", 8080), ("10.244.1.3", 9090)]
    assert [(end.address, end.port) for end in by_name["b"].endpoints] == [("10.244.1.3", 5353)]
    assert by_name["b"].protocol == "udp"


def test_a_port_without_a_name_is_found_too(inputs):
    inputs.apply(full(service(ports=[{"port": 80}]), slice_of(endpoint("10.244.1.2"), ports=[{"port": 8080}])))
    assert inputs.network().services[0].endpoints[0].port == 8080


@pytest.mark.parametrize(("config", "seconds"), [({}, 10800), ({"clientIP": {"timeoutSeconds": 60}}, 60)])
def test_session_affinity(inputs, config, seconds):
    spec = {"sessionAffinity": "ClientIP"} | ({"sessionAffinityConfig": config} if config else {})
    inputs.apply(full(service(**spec)))
    assert inputs.network().services[0].affinity_seconds == seconds


def test_a_headless_service_names_its_ready_pods(inputs):
    ends = slice_of(
        endpoint("10.244.1.2", hostname="db-0", ready=True),
        endpoint("10.244.1.3", ready=True),
        endpoint("10.244.1.4", ready=False),
    )
    inputs.apply(full(service(address="None"), ends))
    assert inputs.network().services == ()
    assert inputs.network().records == (
        DnsRecord("web.default.svc.cluster.local", ("10.244.1.2", "10.244.1.3")),
        DnsRecord("db-0.web.default.svc.cluster.local", ("10.244.1.2",)),
    )


def test_an_external_name_and_a_foreign_protocol_are_left_out(inputs):
    external = service("ext", "", type="ExternalName", externalName="example.com")
    inputs.apply(full(external, service(ports=[{"name": "s", "port": 1, "protocol": "SCTP"}])))
    assert inputs.network().services == ()


def test_a_slice_that_moves_or_goes_takes_its_endpoints_along(inputs):
    inputs.apply(full(service(), service("other", "10.96.0.8"), slice_of(endpoint("10.244.1.2"))))
    assert inputs.serves("10.244.1.2")
    inputs.apply(change(slice_of(endpoint("10.244.1.2"), owner="other")))
    ends = {port.service: len(port.endpoints) for port in inputs.network().services}
    assert ends == {"web": 0, "other": 1}
    inputs.apply(change(applies_to=6, results_in=7, removed=[("endpointslices.discovery.k8s.io", "web-1")]))
    assert not inputs.serves("10.244.1.2")


def test_a_terminating_endpoint_is_served_no_new_connections(inputs):
    inputs.apply(full(service(), slice_of(endpoint("10.244.1.2", ready=False, serving=True, terminating=True))))
    assert not inputs.serves("10.244.1.2")


def test_another_cluster_domain_renames_everything(inputs):
    inputs.apply(full(service()))
    inputs.set_cluster_domain("example.org")
    assert inputs.network().records[0].name == "web.default.svc.example.org"


def test_only_what_the_node_acts_on_calls_for_action(inputs):
    inputs.apply(full(pod_tree("a")))
    status = {**pod_tree("a"), "status": {"phase": "Running"}}
    assert not inputs.apply(change(status)).calls_for_action
    assert inputs.apply(change(deleting(status), applies_to=6, results_in=7)).calls_for_action
    assert inputs.apply(change(service(), applies_to=7, results_in=8)).calls_for_action
    assert inputs.apply(change(removed=[("pods", "a")], applies_to=8, results_in=9)).calls_for_action


def test_an_object_that_cannot_be_read_keeps_its_last_view(inputs):
    inputs.apply(full(pod_tree("a"), pod_tree("b")))
    strange = {**pod_tree("a"), "spec": {"containers": "from the future"}}
    with structlog.testing.capture_logs() as logs:
        inputs.apply(change(strange, pod_tree("c")))
    assert [entry["event"] for entry in logs] == ["object_unreadable"]
    assert set(inputs.pods) == {"uid-a", "uid-b", "uid-c"}
    assert inputs.pods["uid-a"].pod.spec.containers


def test_a_pod_that_cannot_be_read_is_assigned_all_the_same(inputs):
    strange = {**pod_tree("a"), "spec": {"containers": "from the future"}}
    with structlog.testing.capture_logs():
        inputs.apply(full(strange))
    assert not inputs.pods
    assert inputs.assigned_uids() == {"uid-a"}, "so nothing of it is removed"
