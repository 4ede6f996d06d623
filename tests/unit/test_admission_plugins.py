"""Admission plugin by plugin, and the chain around them."""

from __future__ import annotations

import pytest

from api.errors import Forbidden, Invalid, NotFound
from api.object import Object, canonical
from api.scheme import by_resource
from controlplane.admission.chain import Chain, default_chain
from controlplane.admission.default_tolerations import TAINTS, DefaultTolerations
from controlplane.admission.namespace_lifecycle import NamespaceLifecycle
from controlplane.admission.node_restriction import NodeRestriction
from controlplane.admission.request import Identity, Request, node_identity
from controlplane.admission.service_account import DefaultServiceAccount

ADMIN = Identity("admin", ("system:masters",))


class Objects:
    """A snapshot of a few namespaces."""

    def __init__(self, **namespaces):
        self.namespaces = namespaces

    def get(self, resource, namespace, name):
        if resource == "serviceaccounts":
            return None
        assert (resource, namespace) == ("namespaces", "")
        metadata = self.namespaces.get(name)
        if metadata is None:
            return None
        return Object("namespaces", "", name, "u", 1, canonical({"metadata": {"name": name, **metadata}}))

    def list(self, resource, namespace):
        return []


def request(verb="create", resource="pods", tree=None, old=None, identity=ADMIN, name="a", namespace="default"):
    tree = {"metadata": {"name": name}, "spec": {}} if tree is None else tree
    return Request(identity, verb, by_resource(resource), namespace, name, tree, old)


def tolerations(*given):
    tree = {"metadata": {"name": "a"}, "spec": {"tolerations": list(given)}}
    return DefaultTolerations().admit(request(tree=tree), Objects())["spec"]["tolerations"]


def test_a_pod_tolerates_a_lost_node_for_five_seconds():
    added = tolerations()
    assert [(each["key"], each["effect"], each["tolerationSeconds"]) for each in added] == [
        (taint, "NoExecute", 5) for taint in TAINTS
    ]


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({"operator": "Exists"}, []),
        ({"operator": "Exists", "effect": "NoExecute"}, []),
        ({"operator": "Exists", "effect": "NoSchedule"}, list(TAINTS)),
        ({"key": TAINTS[0], "operator": "Exists"}, [TAINTS[1]]),
        ({"key": TAINTS[0], "operator": "Exists", "effect": "NoSchedule"}, list(TAINTS)),
        ({"key": TAINTS[1], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 99}, [TAINTS[0]]),
        ({"key": "mine", "operator": "Exists", "effect": "NoExecute"}, list(TAINTS)),
    ],
)
def test_what_a_pod_says_about_lost_nodes_is_respected(given, added):
    first, *rest = tolerations(given)
    assert first == given
    assert [each["key"] for each in rest] == added


def test_a_mutator_never_changes_its_argument():
    tree = {"metadata": {"name": "a"}, "spec": {"tolerations": []}}
    before = canonical(tree)
    DefaultTolerations().admit(request(tree=tree), Objects())
    DefaultServiceAccount().admit(request(tree=tree), Objects())
    assert canonical(tree) == before


def test_other_kinds_and_verbs_pass_the_pod_plugins_unchanged():
    for each in (request(resource="services"), request(verb="delete"), request(verb="update_status")):
        assert DefaultTolerations().admit(each, Objects()) is each.tree
        assert DefaultServiceAccount().admit(each, Objects()) is each.tree


@pytest.mark.parametrize(
    ("spec", "name"),
    [({}, "default"), ({"serviceAccountName": "robot"}, "robot"), ({"serviceAccount": "old"}, "old")],
)
def test_every_pod_has_a_service_account(spec, name):
    tree = DefaultServiceAccount().admit(request(tree={"metadata": {}, "spec": spec}), Objects())
    assert (tree["spec"]["serviceAccountName"], tree["spec"]["serviceAccount"]) == (name, name)


def test_a_namespace_must_be_there_to_create_in_it():
    with pytest.raises(NotFound, match='namespace "default" not found'):
        NamespaceLifecycle().check(request(), Objects())
    NamespaceLifecycle().check(request(), Objects(default={}))


def test_a_namespace_that_goes_takes_nothing_new():
    going = Objects(default={"deletionTimestamp": "2025-01-01T00:00:00Z"})
    with pytest.raises(Forbidden, match="is being deleted"):
        NamespaceLifecycle().check(request(), going)
    NamespaceLifecycle().check(request(verb="update"), going)
    NamespaceLifecycle().check(request(verb="delete"), going)


def test_cluster_scoped_objects_need_no_namespace():
    NamespaceLifecycle().check(request(resource="nodes", namespace=""), Objects())


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_protected_namespaces_are_not_deleted_but_their_namesakes_of_other_kinds_are(name):
    with pytest.raises(Forbidden):
        NamespaceLifecycle().check(request("delete", "namespaces", name=name, namespace=""), Objects())
    NamespaceLifecycle().check(request("delete", "configmaps", name=name), Objects())


NODE_N1 = {"metadata": {"name": "n1"}, "spec": {"podCIDR": "x"}}
MINE = {"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}}
THEIRS = {"metadata": {"name": "a"}, "spec": {"nodeName": "n2"}}
UNBOUND = {"metadata": {"name": "a"}, "spec": {}}
CLAIMED = {"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}}


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (request("create", "nodes", NODE_N1, name="n1"), True),
        (request("update", "nodes", NODE_N1, NODE_N1, name="n1"), True),
        (request("update", "nodes", {**NODE_N1, "spec": {"unschedulable": True}}, NODE_N1, name="n1"), False),
        (request("update_status", "nodes", NODE_N1, NODE_N1, name="n2"), False),
        (request("delete", "nodes", NODE_N1, NODE_N1, name="n1"), False),
        (request("update_status", "pods", MINE, MINE), True),
        (request("delete", "pods", MINE, MINE), True),
        (request("update_status", "pods", THEIRS, THEIRS), False),
        (request("update_status", "pods", CLAIMED, UNBOUND), False),
        (request("delete", "pods", THEIRS, THEIRS), False),
        (request("create", "pods", MINE), False),
        (request("update", "pods", MINE, MINE), False),
        (request("bind", "pods", MINE, UNBOUND), False),
        (request("create", "events"), True),
        (request("update", "events"), True),
        (request("delete", "events"), False),
        (request("create", "leases.coordination.k8s.io", name="n1", namespace="kube-node-lease"), True),
        (request("create", "leases.coordination.k8s.io", name="n2", namespace="kube-node-lease"), False),
        (request("create", "leases.coordination.k8s.io", name="n1"), False),
        (request("create", "configmaps"), False),
        (request("update", "secrets"), False),
    ],
)
def test_a_node_writes_only_itself_and_its_pods(asked, allowed):
    NodeRestriction().check(asked, Objects())  # an administrator may
    as_node = Request(node_identity("n1"), asked.verb, asked.kind, asked.namespace, asked.name, asked.tree, asked.old)
    if allowed:
        assert NodeRestriction().admit(as_node, Objects()) is as_node.tree
    else:
        with pytest.raises(Forbidden, match='node "n1" may'):
            NodeRestriction().check(as_node, Objects())


class Appending:
    def __init__(self, word):
        self.word = word

    def admit(self, asked, snapshot):
        return {**asked.tree, "words": [*asked.tree.get("words", []), self.word]}


class Refusing:
    def __init__(self, error):
        self.error = error

    def check(self, asked, snapshot):
        raise self.error


def test_plugins_run_in_their_order_and_the_first_objection_counts():
    chain = Chain([Appending("one"), Appending("two")], [Refusing(Invalid("first")), Refusing(Forbidden("second"))])
    assert chain.admit(request(), Objects())["words"] == ["one", "two"]
    with pytest.raises(Invalid, match="first"):
        chain.check(request(), Objects())


def test_the_default_chain_completes_a_pod_and_minds_its_namespace():
    chain = default_chain()
    tree = chain.admit(request(), Objects())
    added = {"serviceAccount", "serviceAccountName", "tolerations", "priority", "preemptionPolicy"}
    assert tree["spec"].keys() == added
    with pytest.raises(NotFound):
        chain.check(request(tree=tree), Objects())


def test_plugins_can_be_left_out_by_name_but_for_those_the_system_needs():
    tree = default_chain(["Priority", "DefaultTolerationSeconds"]).admit(request(), Objects())
    assert tree["spec"].keys() == {"serviceAccount", "serviceAccountName"}
    with pytest.raises(ValueError, match="NamespaceLifecycle cannot be disabled"):
        default_chain(["NamespaceLifecycle"])
    with pytest.raises(ValueError, match=r"no admission plugin 'Prioriti'; there are .*Priority"):
        default_chain(["Prioriti"])
