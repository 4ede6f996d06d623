"""Lists: selectors, order, pages of one revision."""

from __future__ import annotations

import asyncio

import pytest

from api import errors
from component.client import Binding
from controlplane.apiserver import pages as paging
from controlplane.apiserver.pages import KEPT_SECONDS, KEPT_STATES
from tests.api_server import config_map, node, pod, running_core


def names(listed):
    return [item.name for item in listed.items]


async def test_objects_come_by_namespace_and_name(api):
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aa"}})
    for name, namespace in (("b", "default"), ("c", "aa"), ("a", "default")):
        await api.create(config_map(name, namespace=namespace))
    listed = await api.list("configmaps")
    assert [(item.namespace, item.name) for item in listed.items] == [("aa", "c"), ("default", "a"), ("default", "b")]
    assert names(await api.list("configmaps", "aa")) == ["c"]


async def test_a_list_tells_the_revision_it_shows(api, cluster):
    await api.create(config_map("a"))
    assert (await api.list("configmaps")).revision == cluster.replica.state.revision


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=web", ["a", "b"]),
        ("app=web,tier!=front", ["b"]),
        ("tier in (front,back)", ["a", "b"]),
        ("!tier", ["c"]),
        ("app", ["a", "b", "c"]),
        ("app=none", []),
    ],
)
async def test_label_selectors_narrow(api, selector, expected):
    await api.create(config_map("a", labels={"app": "web", "tier": "front"}))
    await api.create(config_map("b", labels={"app": "web", "tier": "back"}))
    await api.create(config_map("c", labels={"app": "db"}))
    assert names(await api.list("configmaps", label_selector=selector)) == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.name!=a", ["b", "c"]),
        ("spec.nodeName=n1", ["a", "b"]),
        ("spec.nodeName=", ["c"]),
        ("spec.nodeName=n1,status.phase=Succeeded", ["b"]),
        ("status.phase!=Succeeded", ["a", "c"]),
        ("spec.nodeName=n1,metadata.namespace=other", []),
    ],
)
async def test_field_selectors_narrow(api, selector, expected):
    await api.create(node("n1"))
    for name in ("a", "b"):
        stored = await api.create(pod(name))
        await api.bind([Binding("default", name, stored.uid, "n1")])
    await api.create(pod("c"))
    tree = (await api.get("pods", "default", "b")).tree()
    await api.update_status({**tree, "status": {"phase": "Succeeded"}})
    assert names(await api.list("pods", field_selector=selector)) == expected
    assert names(await api.list("pods", "default", field_selector=selector)) == expected
    assert names(await api.list("pods", "kube-system", field_selector=selector)) == []


async def test_pages_show_one_revision_while_objects_come_and_go(api):
    for index in range(10):
        await api.create(config_map(f"m{index}"))
    page = await api.list("configmaps", limit=4)
    revision, seen = page.revision, names(page)
    while page.continue_token:
        await api.create(config_map(f"{seen[-1]}x"))
        await api.delete("configmaps", "default", seen[-1])
        page = await api.list("configmaps", limit=4, continue_token=page.continue_token)
        assert page.revision == revision
        seen += names(page)
    assert seen == [f"m{index}" for index in range(10)]


async def test_the_last_page_has_no_token_even_when_it_is_full(api):
    for index in range(4):
        await api.create(config_map(f"m{index}"))
    page = await api.list("configmaps", limit=2)
    page = await api.list("configmaps", limit=2, continue_token=page.continue_token)
    assert (names(page), page.continue_token) == (["m2", "m3"], "")


async def test_pages_of_selected_objects_are_full(api):
    for index in range(10):
        await api.create(config_map(f"m{index}", labels={"odd": str(index % 2)}))
    page = await api.list("configmaps", limit=3, label_selector="odd=1")
    assert names(page) == ["m1", "m3", "m5"]
    page = await api.list("configmaps", limit=3, label_selector="odd=1", continue_token=page.continue_token)
    assert names(page) == ["m7", "m9"]


async def test_pages_of_one_nodes_pods_go_on_where_they_stopped(api):
    for index in range(5):
        await api.create(pod(f"p{index}", nodeName="n1"))
    page = await api.list("pods", limit=2, field_selector="spec.nodeName=n1")
    rest = await api.list("pods", limit=9, field_selector="spec.nodeName=n1", continue_token=page.continue_token)
    assert names(page) + names(rest) == [f"p{index}" for index in range(5)]


async def test_a_page_ends_at_its_size_in_bytes_but_holds_one_object_at_least(cluster):
    for index in range(3):
        await cluster.local.create(config_map(f"m{index}", {"k": "x" * 1000}))
    identity = cluster.local._identity
    page = await cluster.core.reads.list(identity, "configmaps", limit_bytes=100)
    assert names(page) == ["m0"]
    page = await cluster.core.reads.list(identity, "configmaps", limit_bytes=3200, continue_token=page.continue_token)
    assert names(page) == ["m1", "m2"]


async def test_another_replica_serves_a_page_if_nothing_changed_since(tmp_path, cluster):
    for index in range(3):
        await cluster.local.create(config_map(f"m{index}"))
    page = await cluster.local.list("configmaps", limit=1)
    cluster.core.reads._pages._kept.clear()
    page = await cluster.local.list("configmaps", limit=9, continue_token=page.continue_token)
    assert names(page) == ["m1", "m2"]


async def test_a_page_of_a_forgotten_state_comes_from_history(api, cluster):
    for index in range(3):
        await api.create(config_map(f"m{index}"))
    first = await api.list("configmaps", limit=1)
    for index in range(KEPT_STATES):
        await api.create(config_map(f"n{index}"))
        await api.list("configmaps", limit=1)
    rest = await api.list("configmaps", limit=9, continue_token=first.continue_token)
    assert names(rest) == ["m1", "m2"]
    assert rest.revision == first.revision


async def test_a_page_kept_for_one_kind_is_not_taken_for_another(api, cluster):
    for name in ("a", "b"):
        await api.create(config_map(name))
        await api.create(pod(name))
    token = (await api.list("pods", limit=1)).continue_token
    await api.delete("configmaps", "default", "b")
    assert names(await api.list("configmaps", limit=9, continue_token=token)) == ["b"]


async def test_without_history_a_page_of_a_forgotten_state_is_expired(tmp_path):
    async with running_core(tmp_path, history_bytes=0) as cluster:
        api = cluster.local
        for index in range(3):
            await api.create(config_map(f"m{index}"))
        first = await api.list("configmaps", limit=1)
        await api.create(config_map("later"))
        kept = cluster.core.reads._pages._kept
        moment, state = kept[first.revision, "configmaps"]
        kept[first.revision, "configmaps"] = (moment - KEPT_SECONDS - 1, state)
        with pytest.raises(errors.Expired, match="list again from the start"):
            await api.list("configmaps", limit=1, continue_token=first.continue_token)


@pytest.mark.parametrize("token", ["rubbish", "%%%", "a", "gqFh", "é"])
async def test_a_token_that_is_none_is_refused(api, token):
    with pytest.raises(errors.Invalid, match="continue token"):
        await api.list("configmaps", limit=1, continue_token=token)


@pytest.mark.slow
async def test_long_lists_let_others_run_and_still_show_one_revision(api, cluster):
    count = 3 * paging.SCANNED_AT_ONCE
    for index in range(count):
        await api.create(config_map(f"m{index:05}"))
    listing = api.list("configmaps")
    deleting = api.delete("configmaps", "default", f"m{count - 1:05}")
    listed, _ = await asyncio.gather(listing, deleting)
    assert len(listed.items) in {count, count - 1}
    kept = [item for item in listed.items if item.name == f"m{count - 1:05}"]
    assert len(kept) == (1 if len(listed.items) == count else 0)
    assert all(item.revision <= listed.revision for item in listed.items)


async def test_an_unknown_resource_is_not_found(api):
    with pytest.raises(errors.NotFound, match="podz"):
        await api.list("podz")
