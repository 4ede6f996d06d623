"""A client and a node in one stream: whatever ends first, and whenever, both sides come to their end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import Invalid, Unavailable
from api.v1.apiserver_pb2 import StreamFrame
from controlplane.apiserver.bridges import PIECE_BYTES, QUEUE_BYTES, Bridge, FrameQueue
from tests.waiting import DEADLINE_SECONDS

OUT = StreamFrame(stdout=b"out")
IN = StreamFrame(stdin=b"in")
EXIT = StreamFrame(exit_code=0)


async def said(*frames, then=None):
    for frame in frames:
        yield frame
    if then is not None:
        await then


async def forever():
    await asyncio.Event().wait()


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


def bounded():
    return asyncio.timeout(DEADLINE_SECONDS)


async def collect(frames):
    return [frame async for frame in frames]


async def test_frames_come_in_order_and_the_end_behind_them():
    queue = FrameQueue()
    for number in range(5):
        await queue.put(StreamFrame(stdin=bytes((number,))))
    queue.end()
    assert [(await queue.get()).stdin[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert await queue.get() is None
    await queue.put(OUT)
    assert await queue.get() is None


async def test_a_writer_waits_for_a_reader_who_pauses_and_holds_no_more_than_the_bound():
    queue, written = FrameQueue(), 0

    async def write():
        nonlocal written
        for _ in range(50):
            await queue.put(StreamFrame(stdout=bytes(10_000)))
            written += 10_000

    writing = asyncio.ensure_future(write())
    await settled()
    assert QUEUE_BYTES - 10_000 < written <= QUEUE_BYTES + 10_000
    assert not writing.done()
    read = 0
    async with bounded():
        while read < 500_000:
            read += len((await queue.get()).stdout)
        await writing


@pytest.mark.parametrize("end", ["end", "abandon"])
async def test_the_end_frees_whoever_waits(end):
    empty, full = FrameQueue(), FrameQueue()
    await full.put(StreamFrame(stdout=bytes(QUEUE_BYTES)))
    reading, writing = asyncio.ensure_future(empty.get()), asyncio.ensure_future(full.put(OUT))
    await settled()
    assert not reading.done()
    assert not writing.done()
    getattr(empty, end)()
    getattr(full, end)()
    async with bounded():
        assert await reading is None
        await writing
        assert (await full.get() is None) == (end == "abandon")


async def test_much_input_goes_in_pieces():
    bridge = Bridge("n1", object())
    data = bytes(range(256)) * 1000
    saying = asyncio.ensure_future(bridge.client_says(said(StreamFrame(stdin=data), StreamFrame(stdin_closed=True))))
    got, pieces = b"", []
    async with bounded(), aclosing(bridge.for_agent()) as frames:
        async for frame in frames:
            if frame.WhichOneof("frame") == "stdin_closed":
                break
            pieces.append(len(frame.stdin))
            got += frame.stdin
        await saying
    assert got == data
    assert max(pieces) == PIECE_BYTES


async def test_a_client_that_says_nothing_more_is_still_there():
    bridge = Bridge("n1", object())
    bridge.accept()
    await bridge.client_says(said(IN))
    listening = asyncio.ensure_future(collect(bridge.for_agent()))
    await settled()
    assert not listening.done()
    assert bridge.client_left()
    async with bounded():
        await listening


async def test_what_a_client_says_wrongly_ends_the_stream():
    async def wrong():
        yield IN
        raise Invalid("no")

    bridge = Bridge("n1", object())
    with pytest.raises(Invalid):
        await bridge.client_says(wrong())
    async with bounded():
        assert await collect(bridge.for_client()) == []


async def test_the_client_gets_what_came_before_the_node_was_lost():
    session = object()
    bridge = Bridge("n1", session)
    bridge.accept()
    listening = asyncio.ensure_future(bridge.agent_says(said(OUT, OUT, then=forever())))
    await settled()
    assert bridge.holder is session
    bridge.node_lost()
    async with bounded():
        assert await collect(bridge.for_client()) == [OUT, OUT]
        assert await collect(bridge.for_agent()) == []
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_node_that_is_lost_before_it_dialled_is_not_waited_for():
    bridge = Bridge("n1", object())
    waiting = asyncio.ensure_future(bridge.dialled(10 * DEADLINE_SECONDS))
    await settled()
    bridge.node_lost()
    async with bounded():
        with pytest.raises(Unavailable, match="lost its connection to the control plane"):
            await waiting


async def test_a_node_that_does_not_dial_is_given_up():
    with pytest.raises(Unavailable, match="did not dial back"):
        await Bridge("n1", object()).dialled(0.001)


@pytest.mark.parametrize(("frames", "at_work"), [((), True), ((OUT,), True), ((OUT, EXIT), False)])
async def test_an_agent_that_has_told_the_end_is_not_asked_to_end(frames, at_work):
    bridge = Bridge("n1", object())
    bridge.accept()
    listening = asyncio.ensure_future(bridge.agent_says(said(*frames, then=forever())))
    await settled()
    assert bridge.client_left() is at_work
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


ENDS = ("session", "agent", "agent cut", "client cut", "client wrong")


class Stream:
    """A bridge and its two users, as the control plane has them; each end can come at any time."""

    def __init__(self, frames):
        self._bridge = Bridge("n1", object())
        self._frames = frames
        self._over, self._wrong = asyncio.Event(), asyncio.Event()
        self._client = asyncio.ensure_future(self._serve())
        self._dials = []

    def open(self):
        self._dials.append(asyncio.ensure_future(self._dial()))

    def end(self, how):
        match how:
            case "session":
                self._bridge.node_lost()
            case "agent":
                self._over.set()
            case "client wrong":
                self._wrong.set()
            case "client cut":
                self._client.cancel()
            case "agent cut":
                for dial in self._dials:
                    dial.cancel()

    async def ended(self):
        """Wait for both; what the client got, None when it was cut."""
        await asyncio.gather(self._client, *self._dials, return_exceptions=True)
        return None if self._client.cancelled() else self._client.result()

    async def _serve(self):
        saying = asyncio.ensure_future(self._bridge.client_says(self._said_by_client()))
        try:
            await self._bridge.dialled(2 * DEADLINE_SECONDS)
            return await collect(self._bridge.for_client())
        except Unavailable:
            return []
        finally:
            self._bridge.client_left()
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)

    async def _dial(self):
        self._bridge.accept()
        listening = asyncio.ensure_future(self._bridge.agent_says(self._said_by_agent()))
        try:
            await collect(self._bridge.for_agent())
        finally:
            self._bridge.agent_left()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _said_by_client(self):
        yield IN
        await self._wrong.wait()
        raise Invalid("no")

    async def _said_by_agent(self):
        for frame in self._frames:
            yield frame
        await self._over.wait()


@given(
    order=st.permutations(ENDS),
    opened=st.integers(0, len(ENDS)),
    output=st.integers(0, 3),
    piece_bytes=st.sampled_from([10, QUEUE_BYTES]),
    turns=st.lists(st.integers(0, 3), min_size=len(ENDS), max_size=len(ENDS)),
)
def test_both_sides_come_to_their_end_in_every_order_of_events(order, opened, output, piece_bytes, turns):
    """Sessions and agents end, are cut or cancelled, clients leave, before, while and after the stream opens."""
    frames = [StreamFrame(stdout=bytes(piece_bytes))] * output

    async def play():
        stream = Stream(frames)
        async with bounded():
            for number, how in enumerate(order):
                if number == opened:
                    stream.open()
                for _ in range(turns[number]):
                    await asyncio.sleep(0)
                stream.end(how)
            if opened == len(order):
                stream.open()
            return await stream.ended()

    got = asyncio.run(play())
    assert got is None or got == frames[: len(got)]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_any_one_end_is_enough(how, when):
    """Nothing else happens: client and agent must come to their ends by it alone, before the stream opens or after."""
    stream = Stream([OUT])
    if when == "before" and how != "agent cut":
        await settled()
        stream.end(how)
        await settled()
    stream.open()
    await settled()
    if when == "after" or how == "agent cut":
        stream.end(how)
    async with bounded():
        assert await stream.ended() in ([OUT], [], None)


async def test_a_cut_of_the_agents_call_while_it_is_being_ended_reaches_the_client():
    """grpc may cancel a call whose write has just failed: what is waited for then must not keep the client waiting."""
    bridge = Bridge("n1", object())

    async def dial():
        bridge.accept()
        try:
            async for _ in bridge.for_agent():
                raise ConnectionError("the write failed")
        finally:
            bridge.agent_left()
            await forever()

    await bridge.client_says(said(IN))
    dialling = asyncio.ensure_future(dial())
    async with bounded():
        assert await collect(bridge.for_client()) == []
    dialling.cancel()
    await asyncio.gather(dialling, return_exceptions=True)
