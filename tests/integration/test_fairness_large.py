"""Large objects: decided beside the loop, with the same outcome as if they were small."""

from __future__ import annotations

import asyncio
import threading

import pytest

from api.errors import AlreadyExists, Forbidden, Invalid
from api.scheme import RBAC
from component.client import Write
from controlplane.admission.chain import default_chain
from controlplane.admission.request import Identity
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.fairness.aside import LARGE_BYTES, Aside
from controlplane.apiserver.incoming import FAULTS_TOLD
from controlplane.apiserver.past import Past
from controlplane.commands import Key
from tests.api_server import ADMIN, config_map, running_core
from tests.rbac import binding, role, rule
from tests.rest_server import serving_rest
from tests.waiting import eventually

LARGE = {f"key{number:05}": "x" * 20 for number in range(2_000)}
SIZE = 80_000


class Seen:
    """A plugin that notes which thread it is asked in, and may hold it there."""

    def __init__(self):
        self.threads, self.go = [], threading.Event()
        self.go.set()

    def check(self, request, _snapshot):
        self.threads.append(threading.get_ident())
        assert self.go.wait(60) or request


def core_with(cluster, plugin) -> ApiCore:
    return ApiCore(cluster.replica, default_chain().with_validator(plugin), cluster.env)


async def test_what_is_large_or_changes_what_is_large_is_decided_in_another_thread(tmp_path):
    async with running_core(tmp_path) as cluster:
        seen, here = Seen(), threading.get_ident()
        core = core_with(cluster, seen)
        await core.create(ADMIN, config_map("small"), size=LARGE_BYTES - 1)
        assert set(seen.threads) == {here}
        seen.threads.clear()
        made = await core.create(ADMIN, config_map("large", LARGE), size=SIZE)
        await core.patch(ADMIN, "configmaps", "", "large", "merge", b'{"data":{"more":"y"}}')
        await core.apply(ADMIN, config_map("large", {"applied": "z"}))
        tree = made.tree() | {"data": LARGE}
        del tree["metadata"]["resourceVersion"]
        await core.update(ADMIN, tree)
        await core.transaction(ADMIN, [Write("update", config_map("large", {"last": "one"}))])
        assert len(seen.threads) >= 5
        assert here not in seen.threads
        found = await core.reads.get(ADMIN, "configmaps", "", "large")
        assert found.tree()["data"] == {"last": "one"}


async def test_what_changes_while_a_large_object_is_decided_about_is_not_overlooked(tmp_path):
    async with running_core(tmp_path) as cluster:
        seen = Seen()
        core = core_with(cluster, seen)
        seen.go.clear()
        making = asyncio.ensure_future(core.create(ADMIN, config_map("a", LARGE), size=SIZE))
        await eventually(lambda: seen.threads)
        await cluster.core.create(ADMIN, config_map("a"))
        seen.go.set()
        with pytest.raises(AlreadyExists):
            await making


async def test_nobody_gives_away_in_a_large_role_what_they_may_not_do(tmp_path):
    many = [rule("get", f"things{number}") for number in range(500)]
    async with running_core(tmp_path) as cluster:
        await cluster.core.create(ADMIN, role("maker", rule("create", "clusterroles", RBAC)))
        await cluster.core.create(ADMIN, binding("maker", "ClusterRole/maker", "User:jane"))
        with pytest.raises(Forbidden, match="attempting to grant RBAC permissions not currently held"):
            await cluster.core.create(Identity("jane"), role("large", *many), size=SIZE)
        await cluster.core.create(ADMIN, role("large", *many), size=SIZE)


async def test_of_a_large_object_with_nothing_right_in_it_so_many_faults_are_told(tmp_path):
    async with running_core(tmp_path) as cluster:
        tree = config_map("a") | {f"unknown{number}": 1 for number in range(5_000)}
        with pytest.raises(Invalid) as refusal:
            await cluster.core.create(ADMIN, tree, size=SIZE)
    assert len(refusal.value.fields) == FAULTS_TOLD + 1
    assert str(refusal.value).endswith("and 4500 more")


async def test_over_https_large_objects_of_every_way_to_write_them_are_stored_whole(tmp_path):
    path = "/api/v1/namespaces/default/configmaps"
    async with serving_rest(tmp_path) as rest:
        sent = config_map("large", LARGE) | {"unknown": 1}
        answer = await rest.ask("POST", f"{path}?fieldValidation=Warn", sent)
        assert answer.status == 201
        assert "unknown field" in answer.headers["Warning"]
        assert answer.tree["data"] == LARGE
        more = {"data": {f"more{number}": "y" * 50 for number in range(1_000)}}
        types = {"headers": {"Content-Type": "application/merge-patch+json"}}
        answer = await rest.ask("PATCH", f"{path}/large", more, **types)
        assert answer.tree["data"] == LARGE | more["data"]
        answer = await rest.ask("PUT", f"{path}/large", config_map("large", LARGE))
        assert answer.tree["data"] == LARGE


class Noting(Aside):
    """Notes how large what it is given is."""

    def __init__(self, gate):
        super().__init__(gate)
        self.sizes = []

    async def run(self, identity, size, work):
        self.sizes.append(size)
        return await super().run(identity, size, work)


async def test_changes_of_large_objects_are_compared_as_the_large_work_that_they_are(tmp_path):
    async with running_core(tmp_path) as cluster:
        aside = Noting(cluster.core.gate)
        await cluster.core.create(ADMIN, config_map("a", LARGE), size=SIZE)
        await cluster.core.patch(ADMIN, "configmaps", "", "a", "merge", b'{"data":{"more":"y"}}')
        history = await Past(cluster.replica, cluster.env, aside).history(ADMIN, Key("configmaps", "default", "a"), 0)
    assert [tuple(each.paths) for each in history.changes] == [(), ("data.more",)]
    assert min(aside.sizes) > LARGE_BYTES
