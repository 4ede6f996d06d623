import json

import pytest

from api.object import canonical
from controlplane.apiserver.node_inputs import NodeInputs
from controlplane.commands import Delete, Envelope, Key, Put, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.store.state import State
from controlplane.watch.hub import Hub


class Cluster:
    """A state and a hub that follow one another, as in a replica."""

    def __init__(self):
        self.state, self.hub = State(), Hub()

    def commit(self, *ops):
        index = self.state.applied_index + 1
        transaction = encode_transaction(Transaction(index.to_bytes(16), tuple(ops)))
        applied = self.state.apply(Entry(index, 1, encode_entry([transaction], index)))
        self.hub.append(applied.changes)

    def put(self, resource, name, kind, node="", **fields):
        tree = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "d", "uid": name}, **fields}
        namespace = "" if resource == "nodes" else "d"
        self.commit(Put(Envelope(Key(resource, namespace, name), name, node=node), canonical(tree)))

    def pod(self, name, node, *, secret="", config=""):
        volumes = [{"name": "s", "secret": {"secretName": secret}}] if secret else []
        env = [{"configMapRef": {"name": config}}] if config else []
        spec = {"containers": [{"name": "c", "envFrom": env}], "volumes": volumes, "nodeName": node}
        self.put("pods", name, "Pod", node, spec=spec)

    def delete(self, resource, name):
        self.commit(Delete(Key(resource, "d", name)))


@pytest.fixture
async def cluster():
    return Cluster()


def told(message):
    return (
        sorted((each.kind, each.name) for each in message.set),
        sorted((each.resource, each.name) for each in message.removed),
    )


async def test_the_first_message_holds_the_nodes_own_pods_and_what_they_name(cluster):
    cluster.put("nodes", "n1", "Node")
    cluster.put("services", "web", "Service")
    cluster.put("secrets", "mine", "Secret")
    cluster.put("secrets", "other", "Secret")
    cluster.pod("a", "n1", secret="mine")
    cluster.pod("b", "n2", secret="other")
    message = NodeInputs(cluster.state, cluster.hub, "n1").full()
    assert message.full
    assert message.results_in == cluster.state.revision
    assert told(message)[0] == [("Node", "n1"), ("Pod", "a"), ("Secret", "mine"), ("Service", "web")]


async def test_changes_continue_where_the_message_before_ended(cluster):
    inputs = NodeInputs(cluster.state, cluster.hub, "n1")
    first = inputs.full()
    cluster.pod("a", "n1")
    second = inputs.changes()
    cluster.delete("pods", "a")
    third = inputs.changes()
    assert (second.applies_to, third.applies_to) == (first.results_in, second.results_in)
    assert told(second) == ([("Pod", "a")], [])
    assert told(third) == ([], [("pods", "a")])


async def test_pods_of_other_nodes_are_not_told(cluster):
    inputs = NodeInputs(cluster.state, cluster.hub, "n1")
    inputs.full()
    cluster.pod("a", "n2")
    assert inputs.changes() is None


async def test_a_secret_comes_with_the_first_pod_that_names_it_and_goes_with_the_last(cluster):
    cluster.put("secrets", "s", "Secret")
    inputs = NodeInputs(cluster.state, cluster.hub, "n1")
    assert told(inputs.full()) == ([], [])
    cluster.pod("a", "n1", secret="s")
    assert told(inputs.changes()) == ([("Pod", "a"), ("Secret", "s")], [])
    cluster.pod("b", "n1", secret="s")
    assert told(inputs.changes()) == ([("Pod", "b")], [])
    cluster.delete("pods", "a")
    assert told(inputs.changes()) == ([], [("pods", "a")])
    cluster.delete("pods", "b")
    assert told(inputs.changes()) == ([], [("pods", "b"), ("secrets", "s")])


async def test_a_secret_made_after_its_pod_is_told(cluster):
    inputs = NodeInputs(cluster.state, cluster.hub, "n1")
    inputs.full()
    cluster.pod("a", "n1", config="later")
    inputs.changes()
    cluster.put("configmaps", "later", "ConfigMap", data={"k": "1"})
    message = inputs.changes()
    assert told(message) == ([("ConfigMap", "later")], [])
    assert json.loads(message.set[0].json)["data"] == {"k": "1"}


async def test_a_secret_changed_together_with_a_new_pod_is_told_as_it_is_now(cluster):
    cluster.put("configmaps", "c", "ConfigMap", data={"k": "1"})
    inputs = NodeInputs(cluster.state, cluster.hub, "n1")
    inputs.full()
    cluster.pod("a", "n1", config="c")
    cluster.put("configmaps", "c", "ConfigMap", data={"k": "2"})
    message = inputs.changes()
    assert [json.loads(each.json)["data"] for each in message.set if each.kind == "ConfigMap"] == [{"k": "2"}]


async def test_waiting_ends_with_a_change_that_concerns_the_node(cluster):
    inputs = NodeInputs(cluster.state, cluster.hub, "n1")
    inputs.full()
    cluster.put("services", "web", "Service")
    await inputs.wait()
    assert told(inputs.changes()) == ([("Service", "web")], [])
    inputs.close()
