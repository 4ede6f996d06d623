"""Binding and node ledgers: what pods hold of a node, and when they give it back."""

from __future__ import annotations

import asyncio

import pytest

from api import errors
from api.errors import Conflict, NotFound, TooLarge
from component.client import Binding
from controlplane.apiserver.core import ApiCore
from tests.api_server import Identity, node, pod


def asking(name, cpu="500m", memory="1Gi", **extra):
    tree = pod(name, **extra)
    tree["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu, "memory": memory}}
    return tree


async def bind(api, stored, to="n1"):
    (error,) = await api.bind([Binding(stored.namespace, stored.name, stored.uid, to)])
    return error


async def test_a_bound_pod_names_its_node_and_says_it_is_scheduled(api):
    await api.create(node("n1"))
    stored = await api.create(asking("a"))
    assert await bind(api, stored) is None
    tree = (await api.get("pods", "default", "a")).tree()
    assert tree["spec"]["nodeName"] == "n1"
    assert [(each["type"], each["status"]) for each in tree["status"]["conditions"]] == [("PodScheduled", "True")]
    assert tree["metadata"]["generation"] == 2


async def test_binding_takes_the_requests_from_the_node(api, cluster):
    await api.create(node("n1"))
    await bind(api, await api.create(asking("a")))
    assert cluster.replica.state.ledger("node/n1") == {"cpu": 500, "memory": 1 << 30, "pods": 1}


async def test_a_node_is_never_committed_beyond_what_it_has(api, cluster):
    await api.create(node("n1", cpu="1"))
    pods = [await api.create(asking(f"p{index}")) for index in range(5)]
    results = await api.bind([Binding("default", each.name, each.uid, "n1") for each in pods])
    assert [type(error) for error in results].count(type(None)) == 2
    refused = [error for error in results if error is not None]
    assert all(isinstance(error, TooLarge) and "cpu of node/n1" in str(error) for error in refused)
    assert cluster.replica.state.ledger("node/n1")["cpu"] == 1000


async def test_a_resource_the_node_does_not_have_is_not_given(api):
    await api.create({**node("n1"), "status": {"allocatable": {"cpu": "4", "pods": "10"}}})
    assert isinstance(await bind(api, await api.create(asking("a"))), TooLarge)


async def test_binding_again_to_the_same_node_is_no_change(api, cluster):
    await api.create(node("n1"))
    stored = await api.create(asking("a"))
    assert await bind(api, stored) is None
    revision = cluster.replica.state.revision
    assert await bind(api, stored) is None
    assert cluster.replica.state.revision == revision


async def test_a_bound_pod_is_not_moved(api):
    await api.create(node("n1"))
    await api.create(node("n2"))
    stored = await api.create(asking("a"))
    await bind(api, stored)
    error = await bind(api, stored, "n2")
    assert isinstance(error, Conflict)
    assert 'already assigned to node "n1"' in str(error)


async def test_a_namesake_of_the_pod_is_not_bound_by_mistake(api):
    await api.create(node("n1"))
    first = await api.create(asking("a"))
    await api.delete("pods", "default", "a")
    await api.create(asking("a"))
    assert isinstance(await bind(api, first), Conflict)


async def test_unknown_pods_and_nodes_are_told_apart_one_by_one(api):
    lost, found = await api.create(asking("a")), await api.create(asking("b"))
    await api.create(node("n1"))
    bindings = [
        Binding("default", "none", "u", "n1"),
        Binding("default", "a", lost.uid, "none"),
        Binding("default", "b", found.uid, "n1"),
    ]
    first, second, third = await api.bind(bindings)
    assert isinstance(first, NotFound)
    assert isinstance(second, NotFound)
    assert third is None


async def test_a_pod_that_goes_is_not_bound(api):
    await api.create(node("n1"))
    stored = await api.create(asking("a", metadata={"finalizers": ["example.com/hold"]}))
    await api.delete("pods", "default", "a")
    assert isinstance(await bind(api, stored), Conflict)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_ends_gives_everything_back_exactly_once(api, cluster, phase):
    await api.create(node("n1"))
    await bind(api, await api.create(asking("a")))
    tree = (await api.get("pods", "default", "a")).tree()
    tree = (await api.update_status({**tree, "status": {"phase": phase}})).tree()
    assert not cluster.replica.state.ledger("node/n1")
    await api.update_status({**tree, "status": {"phase": phase, "message": "again"}})
    await api.delete("pods", "default", "a")
    assert not cluster.replica.state.ledger("node/n1")


async def test_a_running_pod_keeps_its_share_while_it_is_being_deleted(api, cluster):
    await api.create(node("n1"))
    await bind(api, await api.create(asking("a")))
    await api.delete("pods", "default", "a")
    assert cluster.replica.state.ledger("node/n1")["cpu"] == 500
    await api.delete("pods", "default", "a", grace_seconds=0)
    assert not cluster.replica.state.ledger("node/n1")


async def test_pods_outlive_their_node_in_its_ledger(api, cluster):
    await api.create(node("n1"))
    await bind(api, await api.create(asking("a")))
    await api.delete("nodes", "", "n1")
    assert cluster.replica.state.ledger("node/n1")["cpu"] == 500
    await api.delete("pods", "default", "a", grace_seconds=0)
    assert not cluster.replica.state.ledger("node/n1")


async def test_status_reports_racing_a_binding_lose_nothing(api, cluster):
    await api.create(node("n1", cpu="100"))
    pods = [await api.create(asking(f"p{index}", memory="1Mi")) for index in range(20)]

    async def label(stored):
        for index in range(3):
            while True:
                tree = (await api.get("pods", "default", stored.name)).tree()
                tree["metadata"]["labels"] = {"round": str(index)}
                try:
                    await api.update(tree)
                    break
                except errors.Conflict:
                    continue

    results = await asyncio.gather(*(bind(api, each) for each in pods), *(label(each) for each in pods))
    assert results == [None] * 40
    assert cluster.replica.state.ledger("node/n1")["pods"] == 20
    for each in (await api.list("pods")).items:
        tree = each.tree()
        assert (tree["spec"]["nodeName"], tree["metadata"]["labels"]) == ("n1", {"round": "2"})


@pytest.mark.parametrize("identity", [Identity("jane"), Identity("system:node:n1", ("system:nodes",))])
async def test_who_may_not_bind_binds_nothing_not_even_a_node_to_itself(cluster, api, identity):
    core: ApiCore = cluster.core
    await api.create(node("n1"))
    stored = await api.create(asking("a"))
    (error,) = await core.bind(identity, [Binding("default", "a", stored.uid, "n1")])
    assert isinstance(error, errors.Forbidden)
    assert 'cannot create resource "pods/binding"' in str(error)
    assert "nodeName" not in (await api.get("pods", "default", "a")).tree()["spec"]
