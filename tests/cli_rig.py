"""`tim` in this process, against FakeApi: what tests of the command line run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from click.testing import CliRunner, Result

from api.errors import ApiError, NotFound
from api.v1 import apiserver_pb2 as pb
from cli.main import main
from component.client import OperationResult, TransactionResult, Write
from tests.fakes import FakeApi


class CliApi(FakeApi):
    """FakeApi with the calls that only people make. `outputs` maps (pod, container) to pieces of log."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.outputs: dict[tuple[str, str], list[bytes] | Exception] = {}
        self.log_requests: list[pb.LogsRequest] = []
        self.exec_starts: list[pb.ExecStart] = []
        self.exec_answers: list[pb.StreamFrame] = [pb.StreamFrame(exit_code=0)]
        self.attach_starts: list[pb.AttachStart] = []
        self.attach_answers: list[pb.StreamFrame] = [pb.StreamFrame(ended=True)]
        self.sent = b""
        self.times: list[int] = []
        self.asked_times: list[str] = []
        self.histories: dict[tuple[str, str, str], pb.HistoryResponse] = {}

    async def logs(self, request: pb.LogsRequest) -> AsyncIterator[bytes]:
        self.log_requests.append(request)
        output = self.outputs.get((request.pod, request.container), [])
        if isinstance(output, Exception):
            raise output
        for piece in output:
            yield piece

    async def exec(self, start: pb.ExecStart, frames: AsyncIterator[pb.StreamFrame]) -> AsyncIterator[pb.StreamFrame]:
        self.exec_starts.append(start)
        async for frame in frames:
            self.sent += frame.stdin
        for answer in self.exec_answers:
            yield answer

    async def attach(
        self, start: pb.AttachStart, frames: AsyncIterator[pb.StreamFrame]
    ) -> AsyncIterator[pb.StreamFrame]:
        self.attach_starts.append(start)
        async for frame in frames:
            self.sent += frame.stdin
        for answer in self.attach_answers:
            yield answer

    async def transaction(self, operations: list[Write], *, dry_run: bool = False) -> TransactionResult:
        """All or nothing, by the faults that the test planted."""
        found: list[OperationResult] = []
        for operation in operations:
            try:
                stored, outcome = await self.apply(operation.tree, dry_run=True)
                found.append(OperationResult(outcome, stored))
            except ApiError as error:
                found.append(OperationResult("refused", None, error))
        if any(each.error for each in found):
            return TransactionResult(False, tuple(each if each.error else OperationResult("") for each in found))
        if dry_run:
            return TransactionResult(True, tuple(found))
        found = [OperationResult(*reversed(await self.apply(each.tree))) for each in operations]
        return TransactionResult(True, tuple(found), self.revision)

    async def moment(self, *, revision: int | None = None, time: str = "") -> pb.MomentResponse:
        """Revisions stand for themselves; `times` says what times stand for."""
        self.asked_times.append(time)
        known = revision if revision is not None else self.times[0] if time else self.revision
        return pb.MomentResponse(revision=known, time="2026-11-21T10:00:00Z", oldest_revision=1)

    async def history(self, resource: str, namespace: str, name: str, *, limit: int = 0) -> pb.HistoryResponse:
        answer = self.histories.get((resource, namespace, name))
        if answer is None:
            raise NotFound(f'{resource} "{name}" not found')
        return answer

    async def cluster_status(self) -> pb.ClusterStatusResponse:
        replica = pb.ReplicaStatus(id="r1", role="leader", term=3, ready=True)
        endpoint = pb.Endpoint(address="10.0.0.1:7443")
        return pb.ClusterStatusResponse(cluster_uid="c", version="9.9", replicas=[replica], endpoints=[endpoint])

    async def create_join_token(self, role: str, *, name: str = "", ttl_seconds: int = 0) -> pb.CreateJoinTokenResponse:
        return pb.CreateJoinTokenResponse(token="abcdef.0123456789abcdef", ca_hash="sha256:00")


def tim(api: FakeApi | None, *words: str, stdin: str | bytes = "") -> Result:
    """Run one command line."""
    return CliRunner().invoke(main, list(words), obj=api, input=stdin)


def error_line(result: Result) -> str:
    """The one line that a failed run says; fails when it says more, or printed a traceback."""
    assert result.exit_code != 0
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.output
    return result.stderr.rstrip("\n")


def pod(name: str, namespace: str = "default", *containers: str, **labels: str) -> dict[str, Any]:
    """A running pod, as it is stored."""
    names = containers or ("app",)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": "n1", "containers": [{"name": each, "image": "i"} for each in names]},
        "status": {
            "phase": "Running",
            "podIP": "10.244.0.2",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {"name": each, "ready": True, "restartCount": 0, "state": {"running": {}}} for each in names
            ],
        },
    }


def deployment(name: str = "web", replicas: int = 2, **spec: Any) -> dict[str, Any]:
    """A Deployment that is complete."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
            **spec,
        },
        "status": {
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "conditions": [{"type": "Available", "status": "True"}],
        },
    }
