"""A replica that seals Secrets: nothing it logs or writes shows them, and every way of reading does."""

from __future__ import annotations

import asyncio
import base64
import random
from contextlib import asynccontextmanager

import pytest

from api import errors
from component.client import Write
from controlplane.apiserver.past import At
from controlplane.apiserver.secret_keys import KeyDesk, SecretsDesk
from controlplane.commands import Check, Envelope, Key, Put
from controlplane.key_ring import KeyRing
from controlplane.sealing import KEY_BYTES, Sealing, active_key, key_id, keys_needed, sealed_with
from controlplane.sealing_loop import SealingLoop
from controlplane.store import snapshot
from tests.api_server import ADMIN, config_map, running_core
from tests.single_log import SingleLog
from tests.waiting import DEADLINE_SECONDS

OLD, NEW, THIRD = (bytes([number]) * KEY_BYTES for number in range(3))
VALUE = b"a-value-that-nobody-else-uses"


def forms(value=VALUE):
    return value, base64.b64encode(value), value.hex().encode()


def secret(name="s", value=VALUE, **metadata):
    data = {"k": base64.b64encode(value).decode()}
    meta = {"name": name, "namespace": "default", "annotations": {"note": value.decode()}, **metadata}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


class Peers:
    """Other replicas, by id: the keys of each, None for one that is down."""

    def __init__(self, **keys):
        self.keys = keys

    async def share_keys(self, replica, keys):
        held = self.keys[replica]
        if held is None:
            return None
        held += [key for key in keys if key not in held]
        return held


@asynccontextmanager
async def sealing_core(folder, *keys, peers=None, **options):
    ring = KeyRing(folder / "secrets.key", keys)
    sealing = Sealing("r1", ring, random.Random(1).randbytes)
    async with running_core(folder / "data", sealing=sealing, **options) as cluster:
        peers = peers or Peers()
        loop = SealingLoop(cluster.replica, ring, sealing, peers, lambda: list(peers.keys), cluster.env)
        cluster.ring, cluster.sealing, cluster.loop = ring, sealing, loop
        yield cluster


def body_of(cluster, name="s"):
    return cluster.replica.state.held(Key("secrets", "default", name)).body


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_neither_log_nor_snapshot_nor_history_shows_a_secret(tmp_path):
    async with sealing_core(tmp_path, OLD) as cluster:
        await cluster.local.create(secret())
        await cluster.local.apply(secret(value=VALUE + b"2"))
        await cluster.core.transaction(ADMIN, [Write("create", secret("t"))])
        await cluster.local.create(secret("gone"))
        await cluster.local.delete("secrets", "default", "gone")
        log = b"".join(entry.data for entry in cluster.log._entries)
        cluster.replica.history.cut(cluster.replica.state)
        await cluster.replica.history.persist()
        snapshot.write(cluster.replica.state.clone(), tmp_path / "data")
    written = [path.read_bytes() for path in files(tmp_path / "data")]
    assert len(written) >= 2, "a snapshot and a segment of history"
    loaded, _ = snapshot.load_newest(tmp_path / "data")
    stored = b"".join(each.body for each in loaded.each("secrets"))  # as files are compressed
    for form in forms():
        assert form not in log
        assert form not in stored
        assert not any(form in content for content in written)


async def test_every_way_of_reading_shows_it(tmp_path):
    async with sealing_core(tmp_path, OLD) as cluster, asyncio.timeout(DEADLINE_SECONDS):
        made = await cluster.local.create(secret())
        assert made.tree()["metadata"]["annotations"] == {"note": VALUE.decode()}
        assert (await cluster.local.get("secrets", "default", "s")).json == made.json
        listed = await cluster.local.list("secrets", "default", field_selector="type=Opaque")
        assert [each.json for each in listed.items] == [made.json]
        changed = await cluster.local.update({**made.tree(), "data": {"k": "bmV3"}})
        seen = []
        async for batch in cluster.core.reads.watch(ADMIN, "secrets", "default", revision=made.revision - 1):
            seen += [event.body for event in batch.events]
            if len(seen) == 2:
                break
        assert seen == [made.json, changed.json]
        then = await cluster.core.reads.get(ADMIN, "secrets", "default", "s", at=At(made.revision))
        assert then.json == made.json
        history = await cluster.core.reads.history(ADMIN, "secrets", "default", "s")
        assert [each.paths for each in history.changes] == [(), ["data"]] or history.changes[-1].paths


async def test_sending_back_what_was_read_changes_nothing(tmp_path):
    async with sealing_core(tmp_path, OLD) as cluster:
        made = await cluster.local.create(secret())
        assert (await cluster.local.update(made.tree())).revision == made.revision


async def test_a_watch_from_before_what_the_rings_hold_opens_history(tmp_path):
    async with sealing_core(tmp_path, OLD) as cluster, asyncio.timeout(DEADLINE_SECONDS):
        made = await cluster.local.create(secret())
        await cluster.local.create(config_map("c"))
        cluster.replica.hub._history_bytes = 1
        await cluster.local.create(secret("t"))
        assert not cluster.replica.hub.holds("secrets", made.revision - 1)
        async for batch in cluster.core.reads.watch(ADMIN, "secrets", "default", revision=made.revision - 1):
            assert batch.events[0].body == made.json
            break


async def test_the_leader_agrees_on_the_key_it_has_and_then_uses_it(tmp_path):
    peers = Peers(r2=[], r3=[])
    async with sealing_core(tmp_path, OLD, peers=peers) as cluster:
        await cluster.loop.look()
        assert active_key(cluster.replica.state) == key_id(OLD)
        assert peers.keys == {"r2": [OLD], "r3": [OLD]}


async def test_no_key_is_used_before_every_member_has_it(tmp_path):
    async with sealing_core(tmp_path, peers=Peers(r2=[], r3=None)) as cluster:
        with pytest.raises(errors.NotReady, match="replica r3 does not take the key"):
            await cluster.loop.look()
        assert active_key(cluster.replica.state) == ""


async def test_secrets_of_an_older_version_are_sealed_once_the_level_allows_it(tmp_path):
    async with sealing_core(tmp_path, level=1) as cluster:
        made = await cluster.local.create(secret())
        await cluster.loop.look()
        assert (active_key(cluster.replica.state), cluster.ring.ids) == ("", ())
        assert sealed_with(body_of(cluster)) == ""
    async with sealing_core(tmp_path, log=cluster.log, seed=8) as cluster:
        await cluster.loop.look()
        assert sealed_with(body_of(cluster)) == active_key(cluster.replica.state) != ""
        assert (await cluster.local.get("secrets", "default", "s")).json == made.json


async def test_another_key_makes_everything_be_rewritten_and_the_content_stays(tmp_path):
    async with sealing_core(tmp_path, OLD) as cluster:
        made = [await cluster.local.create(secret(f"s{number}")) for number in range(45)]
        await cluster.loop.look()
        revision = cluster.replica.state.revision
        await cluster.loop.look()
        assert cluster.replica.state.revision == revision, "nothing is rewritten that need not be"
        await cluster.loop.use(NEW)
        await cluster.loop.look()
        assert keys_needed(cluster.replica.state) == {key_id(NEW)}
        listed = await cluster.local.list("secrets", "default")
        assert sorted(each.json for each in listed.items) == sorted(each.json for each in made)


async def test_a_replica_without_the_key_is_not_ready_says_so_and_gets_it_from_another(tmp_path):
    log = SingleLog("r1")
    async with sealing_core(tmp_path, OLD, log=log) as cluster:
        await cluster.local.create(secret())
    peers = Peers(r2=None)
    (tmp_path / "other").mkdir()
    async with sealing_core(tmp_path / "other", log=log, peers=peers, seed=8) as cluster:
        assert cluster.replica.ready
        await cluster.loop.look()
        assert not cluster.replica.ready
        with pytest.raises(errors.Unavailable, match=f"lacks key {key_id(OLD)}"):
            await cluster.local.get("secrets", "default", "s")
        with pytest.raises(errors.Unavailable, match="lacks key"):
            async for _ in cluster.core.reads.watch(ADMIN, "secrets", "default"):
                pass
        assert await cluster.local.get("namespaces", "", "default")
        peers.keys["r2"] = [NEW, OLD]
        await cluster.loop.look()
        assert cluster.replica.ready
        assert cluster.ring.ids[0] == key_id(OLD)
        assert await cluster.local.get("secrets", "default", "s")


async def test_a_swapped_body_is_refused_and_hinders_nobody_else(tmp_path):
    async with sealing_core(tmp_path, OLD) as cluster:
        await cluster.local.create(secret())
        await cluster.local.create(secret("t"))
        swapped = Put(Envelope(Key("secrets", "default", "u"), uid="u"), body_of(cluster))
        await cluster.replica.commit((Check(swapped.envelope.key, absent=True), swapped))
        with pytest.raises(errors.Unavailable, match="not sealed for it"):
            await cluster.local.get("secrets", "default", "u")
        await cluster.loop.use(NEW)
        await cluster.loop.look()
        assert sealed_with(body_of(cluster, "t")) == key_id(NEW)
        await cluster.replica.read_barrier()


class KeyHolders:
    """Another replica's own desk."""

    def __init__(self, desk):
        self.desk = desk

    async def key_uses(self, _replica):
        return self.desk and await self.desk.uses()

    async def forget_keys(self, _replica, keys):
        await self.desk.forget(keys)


async def test_a_key_is_forgotten_only_once_nothing_anywhere_needs_it(tmp_path):
    peers = Peers(r2=[])
    async with sealing_core(tmp_path, OLD, peers=peers) as cluster:
        await cluster.local.create(secret())
        await cluster.loop.look()
        for key in (NEW, THIRD):
            await cluster.loop.use(key)
        await cluster.loop.look()
        (tmp_path / "log").mkdir()
        (tmp_path / "log" / "segment").write_bytes(b"".join(entry.data for entry in cluster.log._entries))
        (tmp_path / "log" / "empty").touch()
        other = KeyRing(tmp_path / "other.key", [OLD, NEW, THIRD])
        own, holders = KeyDesk(cluster.ring, cluster.replica, [tmp_path / "log"]), KeyHolders(None)
        desk = SecretsDesk(cluster.replica, own, holders, lambda: ["r2"], cluster.loop.use, bytes, 0.0)
        with pytest.raises(errors.NotReady, match="replica r2 does not answer"):
            await desk.retire(None, None)
        holders.desk = KeyDesk(other, cluster.replica, [])
        shown = {key.id: key for key in (await desk.show(None, None)).keys}
        assert shown[key_id(OLD)].needed_by == ["history of r1, r2", "log and snapshots of r1"]
        assert (shown[key_id(NEW)].needed_by, shown[key_id(THIRD)].active) == ([], True)
        assert (await desk.retire(None, None)).forgotten == [key_id(NEW)]
        assert cluster.ring.ids == other.ids == (key_id(OLD), key_id(THIRD))
        with pytest.raises(errors.NotReady, match=f"key {key_id(OLD)} is still needed here: history"):
            await own.forget([key_id(OLD)])
        assert (await desk.retire(None, None)).forgotten == []
