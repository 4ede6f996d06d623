"""The fate of single proposals, with a log that does only what the test says."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from api import errors
from component.env import Env
from controlplane.commands import Committed, Release, Transaction, decode_entry, encode_transaction, transaction_id
from controlplane.gathering import COMPANY
from controlplane.raft.protocol import NotLeader, RaftStatus
from controlplane.replica_proposals import (
    BATCH_TRANSACTIONS,
    IN_FLIGHT_BATCHES,
    QUEUE_TRANSACTIONS,
    RETRY_SECONDS,
    Proposals,
)
from tests.waiting import eventually

LEADING = RaftStatus("leader", 1, "r1", 0, 0, leading=True)
FOLLOWING = RaftStatus("follower", 1, "r2", 0, 0)
NOBODY = RaftStatus("follower", 1, "", 0, 0)
REMEMBERED = 100


class HandLog:
    """Keeps what was proposed, with the way to refuse it."""

    def __init__(self, status):
        self.status = status
        self.proposed = []
        self.elsewhere = []

    def propose(self, data, term, on_refused, *, awaited_elsewhere=False):
        self.elsewhere.append(awaited_elsewhere)
        self.proposed.append((decode_entry(data)[0], term, on_refused))


class HandLink:
    """Keeps what was forwarded; `answer` is awaited for each."""

    def __init__(self):
        self.sent = []
        self.answer = None

    async def propose(self, leader, term, transactions):
        self.sent.append((leader, term, tuple(transactions)))
        if self.answer is not None:
            await self.answer()


class Installed:
    """A state that was installed."""

    def __init__(self, term, count, results):
        self.applied_term = term
        self.transaction_count = count
        self.results = results

    def result_of(self, one):
        return self.results.get(one)


class Bench:
    def __init__(self, status):
        self.log = HandLog(status)
        self.link = HandLink()
        self.count = 0
        rng = random.Random(1)
        self.now = 0.0
        env = Env(lambda: self.now, lambda: 5.0, rng, str)
        self.proposals = Proposals(self.log, self.link, env, remembered=REMEMBERED, applied_count=lambda: self.count)
        self.number = 0

    def data(self):
        self.number += 1
        return encode_transaction(Transaction(self.number.to_bytes(16, "big"), (Release("s", "v"),)))

    async def commit(self, data, deadline_seconds=5.0):
        task = asyncio.ensure_future(self.proposals.commit(data, deadline_seconds))
        await turns()
        return task

    def applied(self, term, *datas):
        self.proposals.applied(term, [(transaction_id(data), Committed(1, 0)) for data in datas])

    def become(self, status):
        self.log.status = status
        self.proposals.status_changed(status)


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def leader():
    bench = Bench(LEADING)
    yield bench
    await bench.proposals.close()


@pytest.fixture
async def follower():
    bench = Bench(FOLLOWING)
    yield bench
    await bench.proposals.close()


async def test_while_batches_are_in_flight_the_rest_gathers_into_one(leader):
    datas = [leader.data() for _ in range(IN_FLIGHT_BATCHES + 20)]
    tasks = [await leader.commit(data) for data in datas]
    assert [len(batch) for batch, _, _ in leader.log.proposed] == [1] * IN_FLIGHT_BATCHES
    leader.applied(1, datas[0])
    await turns()
    assert leader.log.proposed[-1][0] == tuple(datas[IN_FLIGHT_BATCHES:])
    leader.applied(1, *datas[1:])
    assert await asyncio.gather(*tasks) == [Committed(1, 0)] * len(datas)


async def test_a_batch_is_bounded(leader):
    datas = [leader.data() for _ in range(BATCH_TRANSACTIONS + 1)]
    leader.log.status = NOBODY
    tasks = [await leader.commit(data) for data in datas]
    leader.become(LEADING)
    await turns()
    leader.applied(1, *datas[:BATCH_TRANSACTIONS])
    await turns()
    assert [len(batch) for batch, _, _ in leader.log.proposed] == [BATCH_TRANSACTIONS, 1]
    leader.applied(1, datas[-1])
    await asyncio.gather(*tasks)


async def test_a_batch_says_whether_a_client_of_another_replica_waits_for_any_of_it(leader):
    first, own, forwarded = (leader.data() for _ in range(3))
    tasks = [await leader.commit(first), await leader.commit(own)]
    leader.proposals.accept(1, [forwarded])
    leader.applied(1, first)
    await turns()
    leader.applied(1, own, forwarded)
    await asyncio.gather(*tasks)
    assert [batch for batch, _, _ in leader.log.proposed] == [(first,), (own, forwarded)]
    assert leader.log.elsewhere == [False, True]


async def with_company(leader):
    """A batch of writers that is done after 3 ms."""
    datas = [leader.data() for _ in range(COMPANY)]
    leader.become(NOBODY)
    tasks = [await leader.commit(data) for data in datas]
    leader.become(LEADING)
    await turns()
    leader.now += 0.003
    leader.applied(1, *datas)
    await asyncio.gather(*tasks)


async def test_after_a_batch_with_company_the_next_waits_for_those_that_come_again(leader):
    await with_company(leader)
    late = [leader.data() for _ in range(COMPANY)]
    tasks = [await leader.commit(data) for data in late[:-1]]
    assert len(leader.log.proposed) == 1
    tasks.append(await leader.commit(late[-1]))
    assert [batch for batch, _, _ in leader.log.proposed[1:]] == [tuple(late)], (
        "they are all there: nothing to wait for"
    )
    leader.applied(1, *late)
    await asyncio.gather(*tasks)


async def test_who_does_not_come_again_is_not_waited_for_long(leader):
    await with_company(leader)
    late = leader.data()
    task = await leader.commit(late)
    assert len(leader.log.proposed) == 1
    await eventually(lambda: len(leader.log.proposed) == 2)
    assert leader.log.proposed[-1][0] == (late,)
    leader.applied(1, late)
    await task
    alone = leader.data()
    task = await leader.commit(alone)
    assert leader.log.proposed[-1][0] == (alone,), "who writes alone from then on does not wait at all"
    leader.applied(1, alone)
    await task


async def test_nobody_is_waited_for_when_leadership_comes_and_goes_meanwhile(leader):
    await with_company(leader)
    late = leader.data()
    task = await leader.commit(late)
    leader.become(NOBODY)
    await turns()
    assert len(leader.log.proposed) == 1
    leader.become(LEADING)
    await eventually(lambda: len(leader.log.proposed) == 2)
    leader.applied(1, late)
    await task


async def test_who_writes_alone_never_waits_for_others(leader):
    for _ in range(3):
        data = leader.data()
        task = await leader.commit(data)
        assert leader.log.proposed[-1][0] == (data,)
        leader.now += 0.003
        leader.applied(1, data)
        await task


@pytest.mark.slow
async def test_a_full_queue_refuses_at_once_but_not_for_writes_nobody_waits_for(leader):
    leader.become(NOBODY)
    tasks = [asyncio.ensure_future(leader.proposals.commit(leader.data(), 3600.0)) for _ in range(QUEUE_TRANSACTIONS)]
    await turns()
    with pytest.raises(errors.Unavailable, match="wait already"):
        await leader.proposals.commit(leader.data(), 3600.0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    again = await leader.commit(leader.data())
    assert not again.done()


async def test_a_refused_batch_is_proposed_again_when_there_is_a_leader(leader):
    data = leader.data()
    task = await leader.commit(data)
    leader.log.status = NOBODY
    leader.log.proposed[0][2]()
    leader.become(FOLLOWING)
    await turns()
    assert leader.link.sent == [("r2", 1, (data,))]
    leader.applied(1, data)
    assert await task == Committed(1, 0)


async def test_a_late_refusal_of_a_lost_copy_says_nothing_about_the_new_one(leader):
    data = leader.data()
    task = await leader.commit(data, deadline_seconds=0.2)
    leader.become(RaftStatus("leader", 2, "r1", 0, 0))
    leader.applied(2)
    await turns()
    assert [term for _, term, _ in leader.log.proposed] == [1, 2]
    leader.log.proposed[0][2]()
    with pytest.raises(errors.Unknown):
        await task


async def test_what_was_certainly_refused_by_the_deadline_is_unavailable(follower):
    async def refuse():
        follower.become(NOBODY)  # else it may be on its way again, and so doubtful, when the deadline comes
        raise NotLeader

    follower.link.answer = refuse
    with pytest.raises(errors.Unavailable, match="nothing was changed"):
        await follower.proposals.commit(follower.data(), 0.05)


async def test_without_a_leader_patience_is_short_and_nothing_was_changed(follower):
    follower.become(NOBODY)
    with pytest.raises(errors.Unavailable, match="no replica leads"):
        await follower.proposals.commit(follower.data(), 3600.0, 0.01)


@pytest.mark.slow
async def test_a_write_that_found_a_leader_outlives_the_patience_for_finding_one(follower):
    """Else it would be doubtful, though nothing went wrong since it was handed over."""
    follower.become(NOBODY)
    data = follower.data()
    writing = asyncio.ensure_future(follower.proposals.commit(data, 3600.0, 0.25))  # no pause of the machine is so long
    await turns()
    follower.become(FOLLOWING)
    await turns()
    assert follower.link.sent == [("r2", 1, (data,))]
    await asyncio.wait({writing}, timeout=0.4)
    assert not writing.done()
    follower.applied(1, data)
    assert await writing == Committed(1, 0)


async def test_a_refusal_does_not_hide_that_an_earlier_copy_may_have_arrived(follower):
    async def lose_the_reply_then_refuse():
        if len(follower.link.sent) == 1:
            raise errors.Unavailable("broken")
        raise NotLeader

    follower.link.answer = lose_the_reply_then_refuse
    with pytest.raises(errors.Unknown):
        await follower.proposals.commit(follower.data(), 0.5)
    assert len(follower.link.sent) > 1


async def test_a_link_that_breaks_in_an_unforeseen_way_does_not_stop_writes(follower):
    async def break_twice():
        if len(follower.link.sent) < 3:
            raise RuntimeError("a bug in the link")

    follower.link.answer = break_twice
    data = follower.data()
    task = await follower.commit(data)
    await eventually(lambda: len(follower.link.sent) >= 3)
    follower.applied(1, data)
    assert await task == Committed(1, 0)


async def test_failures_in_a_row_are_tried_less_and_less_often(follower):
    tried = []

    async def refuse():
        tried.append(asyncio.get_running_loop().time())
        raise NotLeader

    follower.link.answer = refuse
    task = asyncio.ensure_future(follower.proposals.commit(follower.data(), 60))
    await eventually(lambda: len(tried) >= 4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried)]
    least = [RETRY_SECONDS * 2**failures for failures in (0, 1, 2)]
    assert all(pause > 0.9 * each for pause, each in zip(pauses, least, strict=False)), pauses


async def test_after_its_raft_process_was_away_a_leader_hands_over_again_what_may_not_have_arrived(leader):
    data = leader.data()
    task = await leader.commit(data)
    leader.become(NOBODY)
    leader.become(LEADING)
    await turns()
    assert [batch for batch, _, _ in leader.log.proposed] == [(data,), (data,)]
    leader.applied(1, data)
    assert await task == Committed(1, 0)


async def test_a_copy_that_the_state_may_have_forgotten_is_never_made_again(follower):
    async def lose_the_reply():
        follower.count += REMEMBERED
        raise errors.Unavailable("broken")

    follower.link.answer = lose_the_reply
    with pytest.raises(errors.Unknown):
        await follower.proposals.commit(follower.data(), 0.1)
    assert len(follower.link.sent) == 1


async def test_an_installed_state_tells_what_it_remembers(follower):
    done, lost, open_ = follower.data(), follower.data(), follower.data()
    tasks = [await follower.commit(data) for data in (done, lost)]
    follower.log.status = RaftStatus("follower", 2, "r3", 0, 0)
    follower.proposals.installed(Installed(2, 10, {transaction_id(done): Committed(7, 7)}))
    assert await tasks[0] == Committed(7, 7)
    tasks.append(await follower.commit(open_))
    follower.applied(2, lost)
    await turns()
    assert {each for leader, term, batch in follower.link.sent if term == 2 for each in batch} == {lost, open_}
    follower.applied(2, open_)
    await asyncio.gather(*tasks)


async def test_an_installed_state_that_may_have_forgotten_leaves_the_outcome_unknown(follower):
    task = await follower.commit(follower.data())
    follower.proposals.installed(Installed(2, REMEMBERED, {}))
    with pytest.raises(errors.Unknown, match="fell behind"):
        await task


async def test_a_forwarded_write_that_waited_here_since_an_earlier_term_is_proposed_in_the_new_one(leader):
    first, forwarded = leader.data(), leader.data()
    task = await leader.commit(first)
    leader.proposals.accept(1, [forwarded])  # it waits behind the first
    leader.become(RaftStatus("leader", 3, "r1", 0, 0, leading=True))
    leader.proposals.accept(3, [forwarded])
    leader.applied(3)  # nothing of term 1 was kept
    await turns()
    assert [(batch, term) for batch, term, _ in leader.log.proposed] == [((first,), 1), ((first, forwarded), 3)]
    leader.applied(3, first, forwarded)
    await task


async def test_a_leader_takes_in_forwarded_writes_of_its_term_once(leader):
    data = leader.data()
    for term in (0, 2):
        with pytest.raises(NotLeader):
            leader.proposals.accept(term, [data])
    leader.proposals.accept(1, [data])
    leader.proposals.accept(1, [data])
    await turns()
    assert [(batch, term) for batch, term, _ in leader.log.proposed] == [((data,), 1)]
    with pytest.raises(errors.Invalid):
        leader.proposals.accept(1, [b"\x01garbage"])
    leader.become(FOLLOWING)
    with pytest.raises(NotLeader):
        leader.proposals.accept(1, [data])


async def test_a_forwarded_write_is_dropped_with_its_term_for_its_sender_makes_it_again(leader):
    leader.proposals.accept(1, [leader.data()])
    leader.become(RaftStatus("leader", 3, "r1", 0, 0))
    await turns()
    assert leader.log.proposed == []


async def test_a_refused_forwarded_write_is_proposed_again_while_the_term_lasts(leader):
    data = leader.data()
    leader.proposals.accept(1, [data])
    await turns()
    leader.log.proposed[0][2]()
    leader.proposals.status_changed(LEADING)
    await turns()
    assert [batch for batch, _, _ in leader.log.proposed] == [(data,), (data,)]


async def test_closing_tells_what_is_known(leader):
    sent = await leader.commit(leader.data())
    leader.become(NOBODY)
    waiting = await leader.commit(leader.data())
    await leader.proposals.close()
    with pytest.raises(errors.Unknown):
        await sent
    with pytest.raises(errors.Unavailable):
        await waiting
    with pytest.raises(errors.Unavailable, match="shutting down"):
        await leader.proposals.commit(leader.data(), 1.0)


async def test_nothing_is_kept_of_proposals_that_are_settled(leader):
    datas = [leader.data() for _ in range(300)]
    tasks = [await leader.commit(data, deadline_seconds=0.05) for data in datas[:100]]
    for task in tasks[50:]:
        task.cancel()
    leader.applied(1, *datas[:60])
    await asyncio.gather(*tasks, return_exceptions=True)
    leader.become(RaftStatus("leader", 2, "r1", 0, 0))
    leader.applied(2)
    await turns()
    leader.applied(2, *datas)
    proposals = leader.proposals
    assert (proposals._open, proposals._in_flight, list(proposals._queue), proposals._queued_bytes) == ({}, {}, [], 0)


async def test_a_second_sending_of_the_same_write_is_sent_on_while_the_first_one_waits(leader):
    data = leader.data()
    first = await leader.commit(data)
    with pytest.raises(errors.Unavailable, match="under way here already"):
        await leader.proposals.commit(data, 5.0)
    leader.applied(1, data)
    assert await first == Committed(1, 0)


async def test_a_second_sending_waits_for_the_copy_that_the_first_one_left_behind(leader):
    data = leader.data()
    first = await leader.commit(data)
    first.cancel()
    await turns()
    second = await leader.commit(data)
    assert len(leader.log.proposed) == 1
    leader.applied(1, data)
    assert await second == Committed(1, 0)
    third = await leader.commit(leader.data())
    assert len(leader.log.proposed) == 2, "the slot was given back"
    third.cancel()
    await asyncio.gather(first, third, return_exceptions=True)


async def test_a_sending_to_the_leader_waits_for_the_copy_that_a_follower_forwarded(leader):
    data = leader.data()
    leader.proposals.accept(1, [data])
    await turns()
    waiting = await leader.commit(data)
    assert len(leader.log.proposed) == 1
    leader.become(RaftStatus("leader", 3, "r1", 0, 0, leading=True))
    leader.applied(3)
    await turns()
    assert len(leader.log.proposed) == 2, "lost with its term, and not pinned to it any more"
    leader.applied(3, data)
    assert await waiting == Committed(1, 0)


async def test_what_a_caller_waits_for_is_not_pinned_to_a_term_by_a_forwarded_copy(leader):
    data = leader.data()
    waiting = await leader.commit(data)
    leader.proposals.accept(1, [data])
    leader.become(RaftStatus("leader", 3, "r1", 0, 0, leading=True))
    leader.applied(3)
    await turns()
    leader.applied(3, data)
    assert await waiting == Committed(1, 0)
