"""One example per rule of Endpoints: those made from slices, those mirrored into slices, and how seldom they are written."""

from __future__ import annotations

import pytest

from api import scheme
from api.columns import COLUMNS
from api.defaults import default
from api.validation import validate
from controlplane.controllers import endpointslice, kubernetes_service
from controlplane.controllers.actions import Create, Delete, Update
from controlplane.controllers.endpoint_mirroring import mirrored
from controlplane.controllers.endpoints import reconcile
from tests.builders import cached, node, pod, service
from tests.fake_env import FakeClock, fake_env
from tests.fakes import FakeApi
from tests.unit.test_controller_run import leading
from tests.waiting import eventually

SLICES = "endpointslices.discovery.k8s.io"
MIRRORED_BY = "endpointslicemirroring-controller.k8s.io"
PORTS = [{"port": 8080, "protocol": "TCP"}]


def slices_of(svc, *pods):
    actions = endpointslice.reconcile(cached(svc), [cached(each) for each in pods], [], {})
    return [cached(each.tree) for each in actions]


def endpoints_of(svc, *pods):
    (action,) = reconcile(cached(svc), None, slices_of(svc, *pods))
    assert isinstance(action, Create)
    return action.tree


def written(name="web", subsets=(), **metadata):
    tree = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "namespace": "default", **metadata}}
    return {**tree, "subsets": list(subsets)}


def target(name):
    return {"kind": "Pod", "namespace": "default", "name": name, "uid": f"uid-of-{name}"}


def test_a_service_without_pods_has_endpoints_without_addresses():
    tree = endpoints_of(service())
    assert (tree["apiVersion"], tree["kind"]) == ("v1", "Endpoints")
    assert (tree["metadata"]["namespace"], tree["metadata"]["name"]) == ("default", "web")
    assert tree["subsets"] == []


def test_ready_pods_and_others_are_told_apart_and_ending_ones_left_out():
    pods = [pod("b", ip="10.0.0.2", node="n2", ready=False), pod("a", ip="10.0.0.1", node="n1")]
    tree = endpoints_of(service(), *pods, pod("c", ip="10.0.0.3", deleting=True))
    assert tree["subsets"] == [
        {
            "addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": target("a")}],
            "notReadyAddresses": [{"ip": "10.0.0.2", "nodeName": "n2", "targetRef": target("b")}],
            "ports": PORTS,
        }
    ]


def test_a_service_that_publishes_all_its_pods_lists_ending_ones_too():
    tree = endpoints_of(service(publishNotReadyAddresses=True), pod("a", ip="10.0.0.1", deleting=True, ready=False))
    assert [each["ip"] for each in tree["subsets"][0]["addresses"]] == ["10.0.0.1"]


def test_endpoints_bear_the_labels_of_their_service_and_who_keeps_them():
    svc = service(clusterIP="None")
    svc["metadata"]["labels"] = {"team": "a"}
    assert endpoints_of(svc)["metadata"]["labels"] == {
        "team": "a",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
        "service.kubernetes.io/headless": "",
    }


def test_what_says_so_already_is_left_alone_and_what_a_user_changed_is_put_right():
    svc, pods = service(), [pod("a", ip="10.0.0.1")]
    tree = endpoints_of(svc, *pods)
    assert reconcile(cached(svc), cached(tree), slices_of(svc, *pods)) == []
    mine = {**tree, "subsets": [{"addresses": [{"ip": "10.9.9.9"}]}]}
    (update,) = reconcile(cached(svc), cached(mine), slices_of(svc, *pods))
    assert isinstance(update, Update)
    assert update.tree["subsets"] == tree["subsets"]


def test_over_a_thousand_addresses_are_cut_off_with_a_note_that_goes_when_they_fit():
    svc = service()
    pods = [pod(f"p{n}", ip=f"10.0.{n // 250}.{n % 250}", ready=n % 2 == 0) for n in range(1203)]
    tree = endpoints_of(svc, *pods)
    (subset,) = tree["subsets"]
    assert tree["metadata"]["annotations"] == {"endpoints.kubernetes.io/over-capacity": "truncated"}
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (602, 398)
    (update,) = reconcile(cached(svc), cached(tree), slices_of(svc, *pods[:1000]))
    assert update.tree["metadata"]["annotations"] == {}


def test_endpoints_of_a_user_become_slices_that_belong_to_them():
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    addresses = [{"ip": "192.0.2.1", "hostname": "db-0", "nodeName": "n1", "targetRef": target("a")}]
    mine = written(
        subsets=[{"addresses": addresses, "notReadyAddresses": [{"ip": "192.0.2.2"}], "ports": ports}],
        labels={"team": "a"},
        annotations={"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    )
    (create,) = mirrored(cached(service(selector={})), cached(mine), [])
    metadata = create.tree["metadata"]
    assert metadata["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": MIRRORED_BY,
    }
    assert metadata["annotations"] == {"note": "x"}
    assert (metadata["ownerReferences"][0]["kind"], metadata["ownerReferences"][0]["name"]) == ("Endpoints", "web")
    assert create.tree["ports"] == ports
    assert create.tree["endpoints"] == [
        {
            "addresses": ["192.0.2.1"],
            "conditions": {"ready": True},
            "hostname": "db-0",
            "nodeName": "n1",
            "targetRef": target("a"),
        },
        {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
    ]
    kind = scheme.by_kind("discovery.k8s.io/v1", "EndpointSlice")
    assert validate(kind, default(kind, create.tree), None) == []


def test_mirrored_slices_follow_changes_and_go_with_what_they_said():
    svc = cached(service(selector={}))
    one, two = ({"addresses": [{"ip": f"192.0.2.{n}"}], "ports": PORTS} for n in (1, 2))
    stored = [cached(each.tree) for each in mirrored(svc, cached(written(subsets=[one, two])), [])]
    assert mirrored(svc, cached(written(subsets=[one, two])), stored) == []
    update, gone = mirrored(svc, cached(written(subsets=[two])), stored)
    assert isinstance(update, Update)
    assert update.tree["endpoints"][0]["addresses"] == ["192.0.2.2"]
    assert isinstance(gone, Delete)
    assert {type(each) for each in mirrored(svc, None, stored)} == {Delete}


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}},
    ],
)
def test_endpoints_that_ask_not_to_be_mirrored_are_not(metadata):
    mine = written(subsets=[{"addresses": [{"ip": "192.0.2.1"}]}], **metadata)
    assert mirrored(cached(service(selector={})), cached(mine), []) == []


def test_more_addresses_than_a_slice_holds_stand_in_several():
    addresses = [{"ip": f"192.0.{n // 250}.{n % 250}"} for n in range(1500)]
    actions = mirrored(cached(service(selector={})), cached(written(subsets=[{"addresses": addresses}])), [])
    assert [len(each.tree["endpoints"]) for each in actions] == [1000, 500]


def test_the_replicas_are_endpoints_that_nobody_mirrors():
    replicas = ("10.1.0.1:6443", "10.1.0.2:6443", "name.example:6443")
    (create,) = kubernetes_service.reconcile_endpoints(None, replicas)
    assert create.tree["metadata"]["labels"] == {"endpointslice.kubernetes.io/skip-mirror": "true"}
    ports = [{"name": "https", "protocol": "TCP", "port": 6443}]
    assert create.tree["subsets"] == [{"addresses": [{"ip": "10.1.0.1"}, {"ip": "10.1.0.2"}], "ports": ports}]
    assert kubernetes_service.reconcile_endpoints(cached(create.tree), replicas) == []
    (update,) = kubernetes_service.reconcile_endpoints(cached(create.tree), replicas[:1])
    assert update.tree["subsets"][0]["addresses"] == [{"ip": "10.1.0.1"}]


@pytest.mark.parametrize(
    ("subset", "fault"),
    [
        ({"ports": PORTS}, "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"),
        ({"addresses": [{"ip": "web"}]}, 'subsets[0].addresses[0].ip: Invalid value: "web": must be a valid IP'),
        ({"addresses": [{"ip": "127.0.0.1"}]}, 'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be'),
        ({"addresses": [{"ip": "2001:db8::1"}]}, 'subsets[0].addresses[0].ip: "2001:db8::1" is not supported yet'),
        ({"addresses": [{"ip": "10.0.0.1"}], "ports": [*PORTS, *PORTS]}, "subsets[0].ports[0].name: Required value"),
        ({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 0}]}, "subsets[0].ports[0].port: Invalid value: 0"),
        (
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 9, "protocol": "SCTP"}]},
            'subsets[0].ports[0].protocol: "SCTP" is not supported yet',
        ),
    ],
)
def test_endpoints_that_cannot_be_are_refused_by_name(subset, fault):
    kind = scheme.by_kind("v1", "Endpoints")
    faults = validate(kind, default(kind, written(subsets=[subset])), None)
    assert [f"{each.path}: {each.message}"[: len(fault)] for each in faults][:1] == [fault]


@pytest.mark.parametrize(
    ("subsets", "shown"),
    [
        ([], "<none>"),
        ([{"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": PORTS}], ""),
        ([{"addresses": [{"ip": "10.0.0.1"}]}], "10.0.0.1"),
        (
            [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": PORTS}],
            "10.0.0.0:8080,10.0.0.1:8080,10.0.0.2:8080 + 2 more...",
        ),
    ],
)
def test_the_column_shows_three_addresses_as_kubernetes_does(subsets, shown):
    assert COLUMNS["endpoints"][1].cell(written(subsets=subsets), 0.0) == shown


async def test_endpoints_come_and_go_with_their_service_and_a_user_can_write_others():
    api = FakeApi(fake_env(FakeClock()))
    async with leading(api):
        await api.create(service())
        await eventually(lambda: set(api.names("endpoints")) == {"kubernetes", "web"})
        await api.create(service("db", selector={}))
        await api.create(written("db", [{"addresses": [{"ip": "192.0.2.1"}], "ports": PORTS}]))
        await api.create(written("nothing", [{"addresses": [{"ip": "192.0.2.9"}]}]))
        await eventually(lambda: any(t["metadata"]["name"].startswith("db-") for t in api.trees(SLICES)))
        await api.delete("services", "default", "web")
        await api.delete("services", "default", "db")
        await eventually(lambda: set(api.names("endpoints")) == {"kubernetes", "nothing"})
        await eventually(lambda: api.names(SLICES) == ["kubernetes"])


async def test_a_service_that_keeps_changing_costs_one_write_a_second():
    clock = FakeClock()
    api = FakeApi(fake_env(clock))
    api.put(node("n1"))

    def updates():
        return [call for call in api.calls if (call.verb, call.resource) == ("update", "endpoints")]

    def listed():
        return sum(len(each.get("addresses", ())) for each in api.tree("endpoints", "default", "web")["subsets"])

    async with leading(api, agents=False):
        await api.create(service())
        await eventually(lambda: "web" in api.names("endpoints"))
        for number in range(1, 21):
            api.put(pod(f"p{number}", ip=f"10.0.0.{number}"))
            await eventually(lambda n=number: len(listed_in_slices(api)) == n)
        await eventually(updates)
        assert len(updates()) == 1  # the clock stands still
        clock.advance(1.0)
        api.put(pod("last", ip="10.0.0.21"))
        await eventually(lambda: len(updates()) == 2 and listed() > 1)


def listed_in_slices(api):
    return [e for s in api.trees(SLICES) if s["metadata"]["name"] != "kubernetes" for e in s["endpoints"]]
