"""The socket between API and Raft process: every entry once, whichever side dies."""

import asyncio
import signal
import socket
import time

import pytest

from controlplane.raft.link import SILENCE_SECONDS, TICK_SECONDS, UNANSWERED_TICKS, LinkRefused, SocketLog
from controlplane.raft.protocol import NotLeader
from tests.integration.raft_processes import RaftProcesses, Reader, put
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
async def one(tmp_path):
    """A cluster of one replica, and API ends that are closed afterwards."""
    cluster = RaftProcesses(tmp_path, 1)
    cluster.start()
    cluster.apis = []

    def connectable():
        api = cluster.api("r1")
        cluster.apis.append(api)
        return api

    cluster.connectable = connectable
    yield cluster
    try:
        for api in cluster.apis:
            await asyncio.gather(api.log.close(), return_exceptions=True)
    finally:
        cluster.close()


def assert_no_gap_and_no_duplicate(api, first=1):
    assert [entry.index for entry in api.entries] == list(range(first, first + len(api.entries)))


async def test_a_restarted_raft_process_delivers_neither_twice_nor_with_a_gap(one):
    api = one.connectable()
    await api.connect()
    for round_number in range(3):
        for number in range(20):
            await put([api], b"%d.%d" % (round_number, number))
        one.kill("r1")
        await eventually(lambda: not api.log.status.leading)
        with pytest.raises(NotLeader):
            await api.log.read_index()
        one.start("r1")
    await put([api], b"last")
    assert_no_gap_and_no_duplicate(api)
    assert len(set(api.data)) == 61
    assert len(api.data) <= api.proposed, "something was delivered more often than it was sent"


async def test_a_new_api_process_continues_where_the_dead_one_stood(one):
    api = one.connectable()
    await api.connect()
    for number in range(20):
        await put([api], b"%d" % number)
    api.log._writer.transport.abort()  # as kill -9: the kernel closes the socket
    await api.log.close()
    heir = one.connectable()
    await heir.connect(api.applied)
    await put([heir], b"after")
    assert_no_gap_and_no_duplicate(heir, first=api.applied[0] + 1)


async def test_a_lost_connection_is_made_again_without_gap_or_duplicate(one):
    api = one.connectable()
    await api.connect()
    for number in range(3):
        await put([api], b"%d" % number)
        api.log._writer.transport.abort()
    await put([api], b"last")
    assert_no_gap_and_no_duplicate(api)


async def test_a_raft_process_that_stands_still_is_noticed_and_taken_back_when_it_goes_on(one):
    assert UNANSWERED_TICKS * TICK_SECONDS < SILENCE_SECONDS / 2, "it is noticed well before the connection is given up"
    api = one.connectable()
    api.log._silence_seconds = DEADLINE_SECONDS  # a stall of this process must not make it so long
    await api.connect()
    await api.lead()
    process = one.running["r1"]
    process.send_signal(signal.SIGSTOP)
    try:
        await eventually(lambda: api.log.status.cut_off)
        assert api.log.status.connected
        assert not api.log.status.leading
    finally:
        process.send_signal(signal.SIGCONT)
    await eventually(lambda: not api.log.status.cut_off)
    await put([api], b"after")
    assert_no_gap_and_no_duplicate(api)
    assert all(status.connected for status in api.statuses)


async def test_an_api_process_that_stood_still_itself_keeps_its_connection(one):
    api = one.connectable()
    api.log._silence_seconds = 0.1
    api.log._most_unanswered = 10_000  # the other process may be slow, too: that is not the question here
    await api.connect()
    await api.lead()
    connection = api.log._writer
    time.sleep(0.3)  # noqa: ASYNC251 - nothing of this process goes on meanwhile
    await put([api], b"after")
    assert api.log._writer is connection
    assert all(status.connected for status in api.statuses)


async def test_proposals_are_refused_while_there_is_no_raft_process(one):
    api = one.connectable()
    await api.connect()
    term = await api.lead()
    one.kill("r1")
    await eventually(lambda: not api.log.status.leader)
    refused = []
    api.log.propose(b"x", term, lambda: refused.append(True))
    await eventually(lambda: refused)


async def test_an_api_process_of_another_history_is_told_so(one):
    api = one.connectable()
    await api.connect()
    await put([api], b"x")
    await api.log.close()
    for cursor, said in (((api.applied[0], 99), "of term 99"), ((500, 1), "it lost data")):
        stranger = one.connectable()
        await stranger.connect(cursor)
        with pytest.raises(LinkRefused, match=said):
            await asyncio.wait_for(asyncio.shield(stranger.log.run), DEADLINE_SECONDS)


async def test_an_api_process_of_another_replica_is_told_so(one):
    stranger = Reader(SocketLog(one.socket_path("r1"), "r9"))
    one.apis.append(stranger)
    await stranger.connect()
    with pytest.raises(LinkRefused, match="r1, not of r9"):
        await asyncio.wait_for(asyncio.shield(stranger.log.run), DEADLINE_SECONDS)


async def test_a_reader_that_applies_slowly_is_not_flooded(one):
    """Credits: what is under way to the API process is bounded, and everything arrives in the end."""
    api = one.connectable()
    await api.connect()
    for number in range(24):
        await put([api], b"%d" % number + bytes(1 << 20))
    await api.log.close()
    slow = one.connectable()
    await slow.connect()
    await eventually(lambda: slow.seen >= api.seen)
    assert_no_gap_and_no_duplicate(slow)


async def test_garbage_on_the_socket_ends_only_that_connection(one):
    api = one.connectable()
    await eventually(lambda: any(line["event"] == "raft_started" for line in one.logs("r1")))
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(one.socket_path("r1")))
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        stranger.settimeout(DEADLINE_SECONDS)
        assert stranger.recv(10) == b""
    await api.connect()
    await put([api], b"still alive")


async def test_a_status_names_the_leader_on_followers(tmp_path):
    cluster = RaftProcesses(tmp_path, 3)
    cluster.start()
    apis = {name: cluster.api(name) for name in cluster.names}
    try:
        for api in apis.values():
            await api.connect()

        def agreed():
            """Whether all name the one that leads, in its term; another one may come to lead while replicas start."""
            leaders = [(name, api.log.status.term) for name, api in apis.items() if api.log.status.leading]
            told = {(api.log.status.leader, api.log.status.term) for api in apis.values()}
            return len(leaders) == 1 and told == set(leaders)

        await eventually(agreed)
        follower = next(api for api in apis.values() if not api.log.status.leading)
        assert follower.log.status.role == "follower"
        with pytest.raises(NotLeader):
            await follower.log.read_index()
    finally:
        for api in apis.values():
            await api.log.close()
        cluster.close()
