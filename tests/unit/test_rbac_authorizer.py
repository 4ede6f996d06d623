"""The authorizer on a state that changes: it looks at roles and bindings again when one changed, and only then."""

from __future__ import annotations

import pytest

from api.scheme import AUTHORIZATION, BUILT_IN, by_kind
from controlplane.admission.request import Identity, node_identity
from controlplane.apiserver import incoming
from controlplane.apiserver.authorizer import Authorizer
from controlplane.apiserver.authz import PATHS, check_of
from controlplane.apiserver.objects import key_of, put_of
from controlplane.apiserver.reviews import Reviews
from controlplane.commands import Delete
from controlplane.rbac.attributes import Attributes, on_path
from controlplane.store.state import State
from tests.api_server import ADMIN, config_map, pod
from tests.rbac import binding, role, rule

JANE = Identity("jane")
LIST = Attributes("list", "", "pods", "", "default")
GET = Attributes("get", "", "pods", "", "default", "a")


class Rig:
    """A state that objects are put into, and how often the authorizer read each kind."""

    def __init__(self):
        self.state = State()
        self.authorizer = Authorizer(lambda: self.state)
        self.reads = 0
        read = self.authorizer._read

        def counted(*arguments):
            self.reads += 1
            read(*arguments)

        self.authorizer._read = counted

    def put(self, *trees):
        for tree in trees:
            kind = by_kind(tree["apiVersion"], tree["kind"])
            stored = {**tree, "metadata": {"uid": "u", **tree["metadata"]}}
            assert self.state.rehearse((put_of(kind, stored),)) is None

    def delete(self, tree):
        kind = by_kind(tree["apiVersion"], tree["kind"])
        metadata = tree["metadata"]
        key = key_of(kind, metadata.get("namespace", ""), metadata["name"])
        assert self.state.rehearse((Delete(key),)) is None

    def may(self, asked=LIST, identity=JANE):
        return self.authorizer.allows(identity, asked)


READER = role("reader", rule("list"))
GIVEN = binding("given", "ClusterRole/reader", "User:jane", namespace="default")


@pytest.fixture
def rig():
    return Rig()


def test_every_change_of_roles_and_bindings_is_seen(rig):
    assert not rig.may()
    rig.put(READER, GIVEN)
    assert rig.may()
    rig.put(role("reader", rule("get")))
    assert (rig.may(), rig.may(GET)) == (False, True)
    rig.put(READER)
    assert rig.may()
    rig.delete(GIVEN)
    assert not rig.may()
    rig.put(binding("everywhere", "ClusterRole/reader", "User:jane"))
    assert rig.may()
    rig.delete(READER)
    assert not rig.may()
    rig.put(role("own", rule("list"), namespace="default"), binding("b", "Role/own", "User:jane", namespace="default"))
    assert rig.may()


def test_a_role_that_is_made_again_under_its_name_is_another_one(rig):
    rig.put(READER, GIVEN)
    assert rig.may()
    rig.delete(READER)
    rig.put(role("reader", rule("get")))
    assert not rig.may()


def test_changes_of_other_objects_cost_no_look_at_roles(rig):
    rig.put(READER, GIVEN)
    assert rig.may()
    before = rig.reads
    for number in range(5):
        rig.put(config_map(f"c{number}", namespace="default"))
        assert rig.may()
    assert rig.reads == before
    rig.put(role("other"))
    assert rig.may()
    assert rig.reads == before + 1


def test_a_state_that_replaces_another_is_read_whole(rig):
    rig.put(READER, GIVEN)
    assert rig.may()
    old, rig.state = rig.state, State()
    assert not rig.may()
    rig.put(role("reader", rule("list")))
    assert not rig.may()
    rig.put(GIVEN)
    assert rig.may()
    rig.state = old
    assert rig.may()


@pytest.mark.parametrize(
    ("verb", "subresource", "name", "allowed"),
    [
        ("get", "", "mine", True),
        ("get", "", "theirs", False),
        ("get", "", "", False),
        ("list", "", "mine", False),
        ("get", "log", "mine", False),
        ("update", "status", "mine", True),
        ("create", "exec", "mine", False),
        ("create", "binding", "mine", False),
        ("deletecollection", "", "", False),
    ],
)
def test_a_node_may_ask_for_its_pods_and_no_part_of_them_but_the_status(rig, verb, subresource, name, allowed):
    for each, node in (("mine", "n1"), ("theirs", "n2")):
        rig.put(pod(each, nodeName=node, metadata={"namespace": "default"}))
    asked = Attributes(verb, "", "pods", subresource, "default", name)
    assert rig.may(asked, node_identity("n1")) is allowed
    assert not rig.may(on_path("get", "/metrics"), node_identity("n1"))


async def test_what_a_question_is_refused_counts_only_on_a_state_that_is_new_enough(rig):
    async def barrier():
        rig.put(READER, GIVEN)

    spec = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}
    tree = {"apiVersion": f"{AUTHORIZATION}/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
    answer = await Reviews(rig.authorizer, barrier).answer(
        JANE, incoming.read_as(incoming.kind_of(tree, BUILT_IN), tree, questions=True)
    )
    assert answer.tree()["status"]["allowed"]


async def test_a_refusal_counts_only_on_a_state_that_is_new_enough(cluster):
    made = []

    async def make():
        del cluster.replica.read_barrier
        made.append(await cluster.local.create(READER))
        made.append(await cluster.local.create(GIVEN))

    cluster.replica.read_barrier = make
    await cluster.core.authorize(JANE, LIST)
    assert len(made) == 2


def test_administrators_are_not_looked_up(rig):
    assert rig.may(identity=ADMIN)
    assert rig.reads == 0


@pytest.mark.parametrize("method", sorted(PATHS))
async def test_calls_about_the_cluster_are_asked_for_by_their_path(method):
    asked = []

    class Known:
        def identify(self, context):
            return JANE

        def follow(self, context):
            pass

    async def authorize(identity, attributes):
        asked.append((identity, attributes))

    pending = check_of(Known(), authorize)(method, None)
    assert pending is not None
    await pending
    assert asked == [(JANE, PATHS[method])]
    assert PATHS[method].path.startswith("/timonier/")


def test_other_calls_wait_for_nothing():
    class Known:
        def identify(self, context):
            return JANE

    async def authorize(identity, attributes):
        raise AssertionError("not asked")

    assert check_of(Known(), authorize)("/api.v1.ApiServer/Get", None) is None
