"""Logs and commands through the session: the agent dials back and carries the streams."""

from __future__ import annotations

import pytest

from agent.logs import rotated
from agent.runtime.protocol import ExecResult
from api.v1 import apiserver_pb2, node_pb2
from tests.agent_rig import agent_rig, container_tree, pod_tree

pytestmark = pytest.mark.slow

Frame = apiserver_pb2.StreamFrame


@pytest.fixture
async def rig(tmp_path):
    async with agent_rig(tmp_path) as made:
        made.plane.put(pod_tree())
        await made.until_ready()
        yield made


def write_log(rig, *lines, attempt=0, name="main"):
    path = rig.paths.log("uid-web", name, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for number, line in enumerate(lines):
            file.write(f"2025-01-15T08:30:{number % 60:02}.123456789+00:00 stdout F {line}\n")
    return path


def logs(**options):
    return apiserver_pb2.LogsRequest(namespace="default", pod="web", container="main", **options)


def command(*words, **options):
    return apiserver_pb2.ExecStart(namespace="default", pod="web", container="main", command=words, **options)


def text(frames):
    return b"".join(frame.stdout for frame in frames)


async def test_logs_of_a_running_container(rig):
    write_log(rig, "one", "two")
    rig.plane.open("s1", logs=logs())
    frames = await rig.plane.frames("s1")
    assert text(frames) == b"one\ntwo\n"
    assert frames[-1].ended


async def test_logs_are_followed_until_the_container_ends(rig):
    path = write_log(rig, "one")
    rig.plane.open("s1", logs=logs(follow=True))
    first = await rig.plane.dials["s1"].get()
    assert first.stdout == b"one\n"
    write_log(rig, "two")
    path.replace(rotated(path))
    write_log(rig, "three")
    rig.runtime.end(rig.runtime.of("main").id, 0)
    frames = await rig.plane.frames("s1")
    assert text(frames) == b"two\nthree\n"
    assert frames[-1].ended


async def test_logs_of_the_attempt_before(rig):
    write_log(rig, "old")
    rig.runtime.end(rig.runtime.of("main").id, 1)
    await rig.until(lambda: rig.container().get("restartCount") == 1 and "running" in rig.container()["state"])
    write_log(rig, "new", attempt=1)
    rig.plane.open("s1", logs=logs(previous=True))
    assert text(await rig.plane.frames("s1")) == b"old\n"
    rig.plane.open("s2", logs=logs())
    assert text(await rig.plane.frames("s2")) == b"new\n"


async def test_there_is_no_attempt_before_the_first(rig):
    rig.plane.open("s1", logs=logs(previous=True))
    (frame,) = await rig.plane.frames("s1")
    assert frame.error.reason == "NotFound"
    assert "previous terminated container main not found" in frame.error.message


async def test_logs_of_a_container_that_waits_are_not_ready(rig):
    rig.plane.put(pod_tree("later", container_tree(image="example.com/none:1")))
    await rig.until(lambda: (rig.status("later") or {}).get("containerStatuses"))
    request = apiserver_pb2.LogsRequest(namespace="default", pod="later", container="main")
    rig.plane.open("s1", logs=request)
    (frame,) = await rig.plane.frames("s1")
    assert frame.error.reason == "NotReady"
    assert "container main of pod later is waiting to start: " in frame.error.message


async def test_a_bad_time_is_invalid(rig):
    rig.plane.open("s1", logs=logs(since_time="yesterday"))
    (frame,) = await rig.plane.frames("s1")
    assert frame.error.reason == "Invalid"
    assert "yesterday" in frame.error.message


async def test_a_pod_of_another_node_is_not_found(rig):
    rig.plane.open("s1", logs=apiserver_pb2.LogsRequest(namespace="default", pod="elsewhere", container="main"))
    (frame,) = await rig.plane.frames("s1")
    assert frame.error.reason == "NotFound"


async def test_a_command_tells_output_and_exit_code(rig):
    rig.runtime.exec_output = [("stdout", b"out"), ("stderr", b"err")]
    rig.runtime.exec_results["ls /"] = ExecResult(3, b"")
    rig.plane.open("s1", exec=command("ls", "/"))
    frames = await rig.plane.frames("s1")
    assert [frame.WhichOneof("frame") for frame in frames] == ["stdout", "stderr", "exit_code"]
    assert frames[-1].exit_code == 3
    await rig.until(lambda: rig.runtime.exec_streams[0].closed)


async def test_input_size_and_half_close_reach_the_command(rig):
    rig.plane.open("s1", exec=command("cat", stdin=True, tty=True))
    inward = rig.plane.to_agent["s1"]
    inward.put_nowait(Frame(resize=apiserver_pb2.TerminalSize(width=120, height=40)))
    inward.put_nowait(Frame(stdin=b"hello"))
    inward.put_nowait(Frame(stdin_closed=True))
    frames = await rig.plane.frames("s1")
    assert text(frames) == b"hello"
    assert frames[-1].WhichOneof("frame") == "exit_code"
    assert rig.runtime.exec_streams[0].sizes == [(120, 40)]


async def test_a_client_that_goes_away_ends_its_command(rig):
    rig.plane.open("s1", exec=command("cat", stdin=True))
    await rig.until(lambda: rig.runtime.exec_streams)
    rig.plane.to_agent["s1"].put_nowait(None)
    await rig.until(lambda: rig.runtime.exec_streams[0].closed)


async def test_a_command_in_a_container_that_does_not_run_is_not_ready(rig):
    rig.plane.put(pod_tree("later", container_tree(image="example.com/none:1")))
    await rig.until(lambda: rig.status("later"))
    request = apiserver_pb2.ExecStart(namespace="default", pod="later", container="main", command=["ls"])
    rig.plane.open("s1", exec=request)
    (frame,) = await rig.plane.frames("s1")
    assert frame.error.reason == "NotReady"


def joining(pod="web", **options):
    return apiserver_pb2.AttachStart(namespace="default", pod=pod, container="main", **options)


async def test_who_attaches_sees_what_is_written_from_then_on_until_the_container_ends(rig):
    write_log(rig, "before")
    rig.plane.open("s1", attach=joining())
    # What is written before the agent looks is not told.
    await rig.until(lambda: write_log(rig, "now") and not rig.plane.dials["s1"].empty())
    write_log(rig, "out")
    rig.runtime.end(rig.runtime.of("main").id, 0)
    frames = await rig.plane.frames("s1")
    assert text(frames).endswith(b"now\nout\n")
    assert b"before" not in text(frames)
    assert frames[-1].ended
    assert not rig.runtime.exec_streams  # the runtime was not asked: its attach would end the container's input


@pytest.mark.parametrize(
    ("container", "request_", "said"),
    [
        ({"tty": True, "stdin": True}, {"stdin": True, "tty": True}, ("attach", "stdin=True tty=True")),
        ({"tty": True}, {}, ("attach", "stdin=False tty=True")),
        ({"stdin": True, "stdinOnce": True}, {"stdin": True}, ("attach", "stdin=True tty=False")),
    ],
)
async def test_terminals_and_the_one_session_with_input_are_the_runtimes(rig, container, request_, said):
    rig.plane.put(pod_tree("shell", container_tree(**container)))
    await rig.until_ready("shell")
    rig.plane.open("s1", attach=joining("shell", **request_))
    await rig.until(lambda: rig.runtime.exec_streams)
    assert said in rig.runtime.calls
    rig.plane.to_agent["s1"].put_nowait(Frame(resize=apiserver_pb2.TerminalSize(width=120, height=40)))
    await rig.until(lambda: rig.runtime.exec_streams[0].sizes == [(120, 40)] or not request_)
    rig.plane.to_agent["s1"].put_nowait(None)
    await rig.until(lambda: rig.runtime.exec_streams[0].closed)
    assert rig.runtime.of("main").state == "running"


@pytest.mark.parametrize(
    ("pod", "options", "reason", "said"),
    [
        ("web", {"stdin": True}, "Invalid", "container main takes no input: its `stdin` is not true"),
        ("web", {"tty": True}, "Invalid", "container main has no terminal: its `tty` is not true"),
        ("elsewhere", {}, "NotFound", "not on this node"),
    ],
)
async def test_streams_that_a_container_does_not_have_are_refused(rig, pod, options, reason, said):
    rig.plane.open("s1", attach=joining(pod, **options))
    (frame,) = await rig.plane.frames("s1")
    assert frame.error.reason == reason
    assert said in frame.error.message


async def test_an_empty_command_is_invalid(rig):
    rig.plane.open("s1", exec=command())
    (frame,) = await rig.plane.frames("s1")
    assert frame.error.reason == "Invalid"


async def test_a_client_that_stops_following_a_quiet_log_is_noticed(rig):
    write_log(rig, "one")
    rig.plane.open("s1", logs=logs(follow=True))
    await rig.plane.dials["s1"].get()
    rig.plane.to_agent["s1"].put_nowait(None)
    await rig.until(lambda: not rig.agent._streams._tasks)


async def test_a_reader_may_pause_as_long_as_he_likes_and_loses_nothing_of_what_is_ready(rig):
    lines = [f"{number:06} {'x' * 500}" for number in range(4000)]
    write_log(rig, *lines)
    rig.plane.reading.clear()
    rig.plane.open("s1", logs=logs())
    await rig.until(lambda: rig.plane.dialling)
    rig.runtime.exec_output = [("stdout", b"y" * 30_000)] * 20
    rig.plane.open("s2", exec=command("cat"))
    await rig.until(lambda: len(rig.plane.dialling) == 2)
    await rig.until(lambda: rig.runtime.exec_streams)
    rig.plane.reading.set()
    assert text(await rig.plane.frames("s1")).decode().splitlines() == lines
    frames = await rig.plane.frames("s2")
    assert text(frames) == b"y" * 600_000
    assert frames[-1].WhichOneof("frame") == "exit_code"


async def test_a_command_that_says_nothing_ends_with_the_session(rig):
    rig.plane.open("s1", exec=command("cat", stdin=True))
    await rig.until(lambda: rig.runtime.exec_streams)
    rig.plane.hang_up()
    await rig.until(lambda: rig.runtime.exec_streams[0].closed)
    await rig.until(lambda: not rig.agent._streams._tasks)
    await rig.until(lambda: not rig.plane.dialling)


async def test_a_command_that_takes_no_input_ends_when_its_client_leaves(rig):
    """The end of the client's frames stands behind input that nobody takes."""
    rig.plane.open("s1", exec=command("sleep", stdin=True))
    await rig.until(lambda: rig.runtime.exec_streams)
    rig.runtime.exec_streams[0].takes_input = False
    for _ in range(40):
        rig.plane.to_agent["s1"].put_nowait(Frame(stdin=bytes(60_000)))
    rig.plane.to_agent["s1"].put_nowait(None)
    rig.plane.send(node_pb2.ServerMessage(close_stream=node_pb2.CloseStream(stream_id="s1")))
    await rig.until(lambda: rig.runtime.exec_streams[0].closed)
    await rig.until(lambda: not rig.agent._streams._tasks)


async def test_streams_beyond_the_limit_are_refused_with_a_reason(rig, monkeypatch):
    monkeypatch.setattr("agent.streams.STREAMS_AT_ONCE", 1)
    rig.plane.open("s1", exec=command("cat", stdin=True))
    await rig.until(lambda: rig.runtime.exec_streams)
    rig.plane.open("s2", exec=command("cat"))
    (frame,) = await rig.plane.frames("s2")
    assert frame.error.reason == "TooManyRequests"
    assert "carries 1 streams, which is its limit" in frame.error.message
    rig.plane.to_agent["s1"].put_nowait(None)
    await rig.until(lambda: not rig.agent._streams._tasks)
    rig.plane.open("s3", exec=command("cat"))
    assert (await rig.plane.frames("s3"))[-1].WhichOneof("frame") == "exit_code"


async def test_a_command_of_a_container_that_ended_is_let_go_although_its_reader_pauses(rig, monkeypatch):
    monkeypatch.setattr("agent.carrying.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("agent.carrying.DRAIN_SECONDS", 0.01)
    rig.plane.reading.clear()
    rig.runtime.exec_output = [("stdout", bytes(30_000))] * 40
    rig.plane.open("s1", exec=command("cat", stdin=True))
    await rig.until(lambda: rig.runtime.exec_streams)
    rig.runtime.end(rig.runtime.of("main").id, 0)
    await rig.until(lambda: rig.runtime.exec_streams[0].closed)
    assert rig.agent._streams._tasks  # what was read of it still waits for the reader
    rig.plane.reading.set()
    rig.plane.to_agent["s1"].put_nowait(None)
    await rig.until(lambda: not rig.agent._streams._tasks)
