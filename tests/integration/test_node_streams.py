"""Streams to nodes over their sessions: logs, commands, attaching and ports, and how each of them ends."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from api.errors import Invalid, NotFound, NotReady, Unavailable
from api.v1 import apiserver_pb2 as pb
from api.v1 import node_pb2
from component.rpc import error_of
from tests.node_sessions import serving_nodes
from tests.waiting import DEADLINE_SECONDS


@pytest.fixture
async def rig(tmp_path):
    async with serving_nodes(tmp_path) as made:
        yield made


@pytest.fixture
async def agent(rig):
    """The session of n1, which has pod a."""
    async with rig.agent() as made:
        await rig.pod("a")
        yield made


@pytest.fixture
async def command(rig, agent):
    """A command that runs in pod a: what its client gets, the first of it, the agent's request and its call."""
    received = rig.streams.exec(running())
    first = asyncio.ensure_future(anext(received))
    request, call = await dialled(agent)
    return received, first, request, call


async def dialled(agent):
    """Play the agent that dials back for the next OpenStream; returns the request and the call."""
    request = (await agent.read("open_stream")).open_stream
    call = agent.stub.Dial()
    await call.write(pb.StreamFrame(accept=request.stream_id))
    return request, call


async def answer(agent, frames):
    """Play the agent's answer to the next OpenStream; returns the request and what the client sent."""
    request, call = await dialled(agent)
    for frame in frames:
        await call.write(frame)
    await call.done_writing()
    sent = []
    while (frame := await call.read()) is not grpc.aio.EOF:
        sent.append(frame)
    return request, sent


async def test_a_log_travels_from_the_node_to_the_client(rig, agent):
    frames = [pb.StreamFrame(stdout=b"one\n"), pb.StreamFrame(stdout=b"two\n"), pb.StreamFrame(ended=True)]
    answering = asyncio.ensure_future(answer(agent, frames))
    got = [piece async for piece in rig.streams.logs(pb.LogsRequest(namespace="default", pod="a"))]
    request, _ = await answering
    assert got == [b"one\n", b"two\n"]
    assert request.logs.container == "c"


async def test_a_command_gets_its_input_and_gives_its_exit_code(rig, agent):
    async def frames():
        yield pb.StreamFrame(exec=pb.ExecStart(namespace="default", pod="a", command=["cat"], stdin=True))
        yield pb.StreamFrame(stdin=b"hello")
        yield pb.StreamFrame(stdin_closed=True)

    answering = asyncio.ensure_future(answer(agent, [pb.StreamFrame(stdout=b"hello"), pb.StreamFrame(exit_code=3)]))
    got = [frame async for frame in rig.streams.exec(frames())]
    await answering
    assert [frame.WhichOneof("frame") for frame in got] == ["stdout", "exit_code"]
    assert got[-1].exit_code == 3


async def test_who_attaches_gets_output_until_the_container_ends(rig, agent):
    async def frames():
        yield pb.StreamFrame(attach=pb.AttachStart(namespace="default", pod="a", stdin=True))
        yield pb.StreamFrame(stdin=b"hello")

    answering = asyncio.ensure_future(answer(agent, [pb.StreamFrame(stdout=b"hello"), pb.StreamFrame(ended=True)]))
    got = [frame async for frame in rig.streams.attach(frames())]
    await answering
    assert [frame.WhichOneof("frame") for frame in got] == ["stdout", "ended"]


async def test_a_connection_to_a_port_goes_both_ways_until_it_has_ended(rig, agent):
    async def frames(port):
        yield pb.StreamFrame(forward=pb.ForwardStart(namespace="default", pod="a", port=port))
        yield pb.StreamFrame(stdin=b"hello")
        yield pb.StreamFrame(stdin_closed=True)

    said = [pb.StreamFrame(stdout=b"hello"), pb.StreamFrame(stdout_closed=True), pb.StreamFrame(ended=True)]
    answering = asyncio.ensure_future(answer(agent, said))
    got = [frame.WhichOneof("frame") async for frame in rig.streams.forward(frames(80))]
    request, _ = await answering
    with pytest.raises(Invalid, match="70000 is no port"):
        await anext(aiter(rig.streams.forward(frames(70_000))))
    assert got == ["stdout", "stdout_closed"]
    assert request.forward.port == 80


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        ([pb.StreamFrame(error=pb.StreamError(reason="NotReady", message="it waits"))], NotReady, "it waits"),
        ([pb.StreamFrame(stdout=b"half")], Unavailable, "connection to node 'n1' was lost"),
    ],
)
async def test_a_stream_that_fails_says_why(rig, agent, frames, error, message):
    answering = asyncio.ensure_future(answer(agent, frames))
    with pytest.raises(error, match=message):
        async for _ in rig.streams.logs(pb.LogsRequest(namespace="default", pod="a")):
            pass
    await answering


async def test_streams_to_what_does_not_exist_or_is_not_connected_are_refused(rig):
    async def first(request):
        await anext(aiter(rig.streams.logs(request)))

    await rig.pod("a")
    with pytest.raises(NotFound, match='pods "b" not found'):
        await first(pb.LogsRequest(namespace="default", pod="b"))
    with pytest.raises(NotFound, match="container x is not valid for pod a"):
        await first(pb.LogsRequest(namespace="default", pod="a", container="x"))
    with pytest.raises(Unavailable, match="node 'n1' is not connected"):
        await first(pb.LogsRequest(namespace="default", pod="a"))


def running(command="sleep"):
    async def frames():
        yield pb.StreamFrame(exec=pb.ExecStart(namespace="default", pod="a", command=[command], stdin=True))
        await asyncio.Event().wait()

    return frames()


async def test_a_stream_ends_at_once_with_the_session_of_its_node(rig, agent, command):
    received, first, _, dial = command
    await dial.write(pb.StreamFrame(stdout=b"half"))
    assert (await first).stdout == b"half"
    agent.call.cancel()
    # The agent's call is still open: its replica alone knows that the session is over.
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(Unavailable, match="connection to node 'n1' was lost while the command ran"):
            await anext(received)
        assert await dial.read() is grpc.aio.EOF
    assert not rig.streams._bridges


async def test_a_stream_whose_node_goes_before_it_dials_back_ends_at_once(rig, agent, monkeypatch):
    monkeypatch.setattr("controlplane.apiserver.streams.DIAL_SECONDS", 100 * DEADLINE_SECONDS)
    first = asyncio.ensure_future(anext(rig.streams.exec(running())))
    await agent.read("open_stream")
    agent.call.cancel()
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(Unavailable, match="node 'n1' lost its connection to the control plane"):
            await first
    assert not rig.streams._bridges
    assert not rig.streams._waiting


@pytest.mark.parametrize("ended", [True, False])
async def test_an_agent_at_work_is_told_that_its_client_left(rig, agent, command, ended):
    received, first, request, dial = command
    await dial.write(pb.StreamFrame(exit_code=3) if ended else pb.StreamFrame(stdout=b"out"))
    await first
    await received.aclose()
    if not ended:
        told = (await agent.read("close_stream")).close_stream
        assert told.stream_id == request.stream_id
    assert await asyncio.wait_for(dial.read(), DEADLINE_SECONDS) is grpc.aio.EOF
    await agent.call.write(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat()))
    while (message := await agent.read()).WhichOneof("message") != "heartbeated":
        assert message.WhichOneof("message") != "close_stream"
    assert not rig.streams._bridges


async def test_a_stream_id_is_good_for_one_node_and_once(rig, agent):
    async def read():
        return [piece async for piece in rig.streams.logs(pb.LogsRequest(namespace="default", pod="a"))]

    reading = asyncio.ensure_future(read())
    request = (await agent.read("open_stream")).open_stream
    stranger = rig.stub("n2").Dial()
    await stranger.write(pb.StreamFrame(accept=request.stream_id))
    with pytest.raises(NotFound, match="no stream"):
        await refused(stranger)
    call = agent.stub.Dial()
    await call.write(pb.StreamFrame(accept=request.stream_id))
    await call.write(pb.StreamFrame(ended=True))
    assert await reading == []
    again = agent.stub.Dial()
    await again.write(pb.StreamFrame(accept=request.stream_id))
    with pytest.raises(NotFound, match="no stream"):
        await refused(again)


async def refused(call):
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from None
