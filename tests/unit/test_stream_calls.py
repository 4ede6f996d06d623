"""What webhooks are asked before a command, an attachment or a forwarded port reaches a pod over gRPC."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from api.v1 import apiserver_pb2 as pb
from controlplane.apiserver.decision import Identity
from controlplane.apiserver.stream_calls import StreamCalls


class Core:
    """Lets everybody do everything, once its webhooks were asked."""

    asks_webhooks = True

    def __init__(self) -> None:
        self.asked = []

    async def authorize(self, _identity, _asked) -> None:
        pass

    async def consult(self, request) -> None:
        self.asked.append(request)


class Streams:
    """Says what it is told."""

    async def attach(self, frames):
        async for frame in frames:
            yield frame

    forward = attach
    exec = attach


@pytest.mark.parametrize(
    ("frame", "options"),
    [
        (
            pb.StreamFrame(exec=pb.ExecStart(pod="web", container="main", command=["ls"], stdin=True)),
            {"stdin": True, "stdout": True, "stderr": True, "container": "main", "command": ["ls"]},
        ),
        (
            pb.StreamFrame(attach=pb.AttachStart(pod="web", container="main", tty=True)),
            {"stdout": True, "tty": True, "container": "main"},
        ),
        (pb.StreamFrame(forward=pb.ForwardStart(pod="web", port=80)), {"ports": [80]}),
    ],
)
async def test_webhooks_see_how_a_connection_is_opened(frame, options):
    core = Core()
    identity = SimpleNamespace(identify=lambda _context: Identity("jane"))
    calls = StreamCalls(core, Streams(), identity).behaviours()
    name = {"exec": "Exec", "attach": "Attach", "forward": "PortForward"}[frame.WhichOneof("frame")]

    async def sent():
        yield frame

    assert [each async for each in calls[name](sent(), None)] == [frame]
    [request] = core.asked
    shown = {name: value for name, value in request.tree.items() if name not in {"apiVersion", "kind"}}
    assert shown == options
