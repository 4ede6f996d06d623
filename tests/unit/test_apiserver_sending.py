"""A request that was sent more than once is done once, in whatever order its sendings come to life."""

from __future__ import annotations

import pytest

from api import errors
from component.client import Write
from component.rpc_failover import UNSERVED_SECONDS
from controlplane.apiserver.sending import Sending
from controlplane.store import state as store
from tests.api_server import ADMIN, config_map

ID = b"i" * 16
FIRST, AGAIN = Sending(ID), Sending(ID, repeated=True)


@pytest.fixture
def core(cluster):
    return cluster.core


def held_up(cluster, *meanwhile):
    """The next write is decided, and all of `meanwhile` happens before it reaches the log."""
    commit, waiting = cluster.replica.commit, list(meanwhile)

    async def held(ops, **options):
        todo, waiting[:] = list(waiting), []
        for each in todo:
            await each()
        return await commit(ops, **options)

    cluster.replica.commit = held


async def absent(api, name):
    with pytest.raises(errors.NotFound):
        await api.get("configmaps", "default", name)


async def data_of(api, name):
    return (await api.get("configmaps", "default", name)).tree()["data"]


async def test_a_create_whose_first_sending_comes_late_does_not_bring_the_object_back(cluster, core, api):
    tree = config_map("a", uid="0f3c1dfb-5a22-4bbf-9f2a-9a7b1c2d3e4f")

    async def again():
        assert (await core.create(ADMIN, tree, sending=AGAIN)).name == "a"

    held_up(cluster, again, lambda: api.delete("configmaps", "default", "a"))
    await core.create(ADMIN, tree, sending=FIRST)
    await absent(api, "a")


async def test_an_apply_whose_first_sending_comes_late_does_not_undo_a_later_one(cluster, core, api):
    await api.apply(config_map("a", {"k": "0"}))
    held_up(
        cluster,
        lambda: core.apply(ADMIN, config_map("a", {"k": "1"}), sending=AGAIN),
        lambda: api.apply(config_map("a", {"k": "2"})),
    )
    await core.apply(ADMIN, config_map("a", {"k": "1"}), sending=FIRST)
    assert await data_of(api, "a") == {"k": "2"}


@pytest.mark.parametrize("verb", ["update", "update_status"])
async def test_an_update_without_precondition_that_comes_late_changes_nothing(cluster, core, api, verb):
    tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    tree["spec"] = {"containers": [{"name": "main", "image": "app:1"}]}
    await api.create(tree)
    write = getattr(core, verb)
    one = {**tree, "metadata": {"name": "a", "labels": {"v": "1"}}, "status": {"message": "1"}}
    two = {**tree, "metadata": {"name": "a", "labels": {"v": "2"}}, "status": {"message": "2"}}
    held_up(cluster, lambda: write(ADMIN, one, sending=AGAIN), lambda: write(ADMIN, two))
    await write(ADMIN, one, sending=FIRST)
    found = (await api.get("pods", "default", "a")).tree()
    assert "2" in {found["metadata"].get("labels", {}).get("v"), found["status"].get("message")}
    assert "1" not in {found["metadata"].get("labels", {}).get("v"), found["status"].get("message")}


async def test_a_json_patch_counts_once_and_both_sendings_get_its_result(cluster, core, api):
    await api.create(config_map("a", {"k": "0"}))
    body = b'[{"op": "move", "from": "/data/k", "path": "/data/moved"}]'
    answers = []

    async def patched(sending):
        answers.append(await core.patch(ADMIN, "configmaps", "default", "a", "json", body, sending=sending))

    held_up(cluster, lambda: patched(AGAIN))
    await patched(FIRST)
    assert [each.tree()["data"] for each in answers] == [{"moved": "0"}] * 2
    assert answers[0].revision == answers[1].revision
    await patched(AGAIN)
    assert answers[2] == answers[0]


async def test_a_repeated_delete_answers_with_what_the_first_one_deleted_even_when_the_name_is_taken_again(core, api):
    stored = await api.create(config_map("a"))
    first = await core.delete(ADMIN, "configmaps", "default", "a", sending=FIRST)
    await api.create(config_map("a"))
    again = await core.delete(ADMIN, "configmaps", "default", "a", sending=AGAIN)
    assert again.uid == first.uid == stored.uid
    assert await data_of(api, "a") == {}


async def test_what_a_repetition_was_refused_cannot_happen_later(cluster, core, api):
    """The repetition told the user no; nothing that is still on its way may make it a yes."""
    await api.create(config_map("b"))

    async def refused_again():
        with pytest.raises(errors.NotFound):
            await core.delete(ADMIN, "configmaps", "default", "a", sending=AGAIN)
        await api.create(config_map("a"))

    await api.create(config_map("a"))
    held_up(cluster, lambda: api.delete("configmaps", "default", "a"), refused_again)
    await core.delete(ADMIN, "configmaps", "default", "a", sending=FIRST)
    assert await data_of(api, "a") == {}


async def test_a_repetition_with_nothing_to_do_learns_what_a_sending_did_after_a_collision(cluster, core, api):
    """The first id was refused and the second committed; what the first one met says nothing about the request."""
    await api.create(config_map("a", {"k": "0"}))
    body = b'[{"op": "move", "from": "/data/k", "path": "/data/moved"}]'

    async def patched(sending):
        return await core.patch(ADMIN, "configmaps", "default", "a", "json", body, sending=sending)

    held_up(cluster, lambda: api.apply(config_map("a", {"k": "1"})))
    first = await patched(FIRST)
    assert first.tree()["data"] == {"moved": "1"}
    assert await patched(AGAIN) == first


async def test_what_is_refused_to_a_repetition_stays_refused_to_a_sending_that_collides(cluster, core, api):
    await api.create(config_map("a", {"k": "0"}))

    async def refused_again():
        with pytest.raises(errors.NotFound):
            await core.delete(ADMIN, "configmaps", "default", "a", sending=AGAIN)
        await api.create(config_map("a"))

    commit, commits = cluster.replica.commit, []

    async def meanwhile(ops, **options):
        commits.append(options)
        if len(commits) == 1:  # the first sending's first try collides ...
            await api.apply(config_map("a", {"k": "1"}))
        elif len(commits) == 3:  # ... and before its second one a repetition is refused
            await api.delete("configmaps", "default", "a")
            await refused_again()
        return await commit(ops, **options)

    cluster.replica.commit = meanwhile
    await core.delete(ADMIN, "configmaps", "default", "a", sending=FIRST)  # nobody waits for this answer any more
    assert len(commits) > 3
    assert await data_of(api, "a") == {}


async def test_what_a_repetition_found_done_already_cannot_be_done_again_later(cluster, core, api):
    await api.apply(config_map("a", {"k": "0"}))

    async def found_unchanged():
        _, outcome = await core.apply(ADMIN, config_map("a", {"k": "1"}), sending=AGAIN)
        assert outcome == "unchanged"

    held_up(
        cluster,
        lambda: api.apply(config_map("a", {"k": "1"})),
        found_unchanged,
        lambda: api.apply(config_map("a", {"k": "2"})),
    )
    await core.apply(ADMIN, config_map("a", {"k": "1"}), sending=FIRST)
    assert await data_of(api, "a") == {"k": "2"}


async def test_a_collision_is_decided_anew_by_every_sending_and_committed_by_one(cluster, core, api):
    await api.create(config_map("a", {"k": "0"}))
    body = b'{"data": {"mine": "1"}}'

    async def patched(sending):
        return await core.patch(ADMIN, "configmaps", "default", "a", "merge", body, sending=sending)

    held_up(cluster, lambda: api.update(config_map("a", {"k": "1"})), lambda: patched(AGAIN))
    first = await patched(FIRST)
    assert first.tree()["data"] == {"k": "1", "mine": "1"}
    assert (await api.get("configmaps", "default", "a")).revision == first.revision


async def test_a_repetition_whose_first_sending_was_changed_since_tells_the_first_result(core, api):
    first = await core.create(ADMIN, config_map("a", {"k": "1"}), sending=FIRST)
    await api.update({**first.tree(), "data": {"k": "2"}})
    assert await core.create(ADMIN, config_map("a", {"k": "1"}), sending=AGAIN) == first


async def test_a_transaction_that_comes_late_changes_nothing(cluster, core, api):
    creates = [Write("create", config_map("a")), Write("create", config_map("b"))]

    async def again():
        assert (await core.transaction(ADMIN, creates, sending=AGAIN)).committed

    async def gone():
        for name in ("a", "b"):
            await api.delete("configmaps", "default", name)

    held_up(cluster, again, gone)
    await core.transaction(ADMIN, creates, sending=FIRST)
    await absent(api, "a")
    await absent(api, "b")


async def test_a_request_older_than_what_is_remembered_is_not_done(cluster, core, api):
    await api.create(config_map("a"))
    cluster.replica.state.remembered_revision = cluster.replica.state.revision
    sending = Sending(ID, since=cluster.replica.state.revision - 1)
    with pytest.raises(errors.Unknown, match="too late"):
        await core.create(ADMIN, config_map("b"), sending=sending)
    await absent(api, "b")
    assert await core.create(ADMIN, config_map("b"), sending=Sending(ID, since=cluster.replica.state.revision))


def test_an_id_that_was_cut_is_refused():
    with pytest.raises(errors.Invalid, match=r"sending.id: Invalid value: 3 bytes; an id has 16"):
        Sending(b"abc")


def test_remembering_covers_what_a_client_may_try_again():
    assert store.REMEMBERED_MILLISECONDS >= UNSERVED_SECONDS * 1000


async def test_what_was_refused_before_and_could_be_done_now_is_not_called_done(core, api):
    """The answer of the first repetition is lost, and the name becomes free before the second one."""
    await api.create(config_map("a", {"k": "theirs"}))
    with pytest.raises(errors.AlreadyExists):
        await core.create(ADMIN, config_map("a", {"k": "mine"}), sending=AGAIN)
    await api.delete("configmaps", "default", "a")
    with pytest.raises(errors.Conflict, match="nothing was done"):
        await core.create(ADMIN, config_map("a", {"k": "mine"}), sending=AGAIN)
    await absent(api, "a")
    assert (await core.create(ADMIN, config_map("a", {"k": "mine"}), sending=Sending(b"j" * 16))).revision


async def test_a_transaction_that_was_refused_before_and_could_be_done_now_is_not_called_done(core, api):
    await api.create(config_map("a"))
    creates = [Write("create", config_map("a")), Write("create", config_map("b"))]
    assert not (await core.transaction(ADMIN, creates, sending=AGAIN)).committed
    await api.delete("configmaps", "default", "a")
    with pytest.raises(errors.Conflict, match="nothing was done"):
        await core.transaction(ADMIN, creates, sending=AGAIN)
    await absent(api, "a")
    await absent(api, "b")
