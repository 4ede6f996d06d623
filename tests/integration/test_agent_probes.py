"""Probes against real sockets, and the loop that repeats them."""

from __future__ import annotations

import asyncio

import grpc.aio
import msgspec
import pytest
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from agent.probe_actions import ProbeActions, port_number
from agent.probes import Answer, Prober, Tally, counted
from agent.runtime.protocol import ExecResult
from api.core import Container, LifecycleHandler, Probe
from component.env import system_env
from tests.agent_pods import container as observed
from tests.agent_pods import pod
from tests.fake_runtime import FakeRuntime
from tests.waiting import DEADLINE_SECONDS, eventually


def probe(**fields):
    """A probe that waits as long as tests do: what it finds, not how soon, is what most of them are about."""
    return msgspec.convert({"timeoutSeconds": int(DEADLINE_SECONDS), **fields}, Probe)


SPEC = msgspec.convert({"name": "main", "ports": [{"name": "web", "containerPort": 8080}]}, Container)


@pytest.fixture
async def actions():
    made = ProbeActions(FakeRuntime(), "0")
    yield made
    await made.close()


@pytest.fixture
async def server():
    seen = []

    async def answer(request):
        seen.append(request)
        if request.path == "/slow":
            await asyncio.sleep(30)
        if request.path == "/moved":
            raise web.HTTPFound("/healthz")
        if request.path.startswith("/hops/"):
            left = int(request.path.removeprefix("/hops/"))
            raise web.HTTPMovedPermanently(f"/hops/{left - 1}" if left > 1 else "/503")
        if request.path == "/elsewhere":
            raise web.HTTPFound("http://127.0.0.2:1/secret", text="go away")
        return web.Response(
            status=int(request.path.strip("/")) if request.path.strip("/").isdigit() else 200, text="hi"
        )

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server_port = runner.addresses[0][1]
    yield server_port, seen
    await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "ok"),
    [("/healthz", True), ("/204", True), ("/399", True), ("/400", False), ("/503", False), ("/moved", True)],
)
async def test_http_statuses_from_200_to_399_are_success(actions, server, path, ok):
    answer = await actions.probe("c", SPEC, probe(httpGet={"path": path, "port": server[0]}), "127.0.0.1")
    assert answer.ok is ok
    if not ok:
        assert answer.message == f"HTTP probe failed with statuscode: {path.strip('/')} hi"


async def test_redirects_to_another_host_are_not_followed_and_count_as_success_with_a_warning(actions, server):
    answer = await actions.probe("c", SPEC, probe(httpGet={"path": "/elsewhere", "port": server[0]}), "127.0.0.1")
    assert answer == Answer(ok=True, warning="Probe terminated redirects, Response body: go away")


async def test_ten_redirects_are_followed_and_the_eleventh_ends_it_as_success_with_a_warning(actions, server):
    ask = {hops: probe(httpGet={"path": f"/hops/{hops}", "port": server[0]}) for hops in (10, 11)}
    followed = await actions.probe("c", SPEC, ask[10], "127.0.0.1")
    assert not followed.ok
    assert "503" in followed.message
    ended = await actions.probe("c", SPEC, ask[11], "127.0.0.1")
    assert ended.ok
    assert ended.warning.startswith("Probe terminated redirects")


async def test_a_warning_of_a_probe_is_told():
    async def ask(container, probe):
        return Answer(ok=True, warning="Probe terminated redirects, Response body: hi")

    listener = Listener()
    prober = Prober(ask, listener, system_env())
    of = pod(containers=[{"name": "main", "image": "x", "readinessProbe": {"tcpSocket": {"port": 1}}}])
    prober.sync(of, {"main-0": observed()})
    await asyncio.wait_for(listener.changed.wait(), DEADLINE_SECONDS)
    await prober.close()
    assert listener.warnings == [("readiness", "Probe terminated redirects, Response body: hi")]
    assert not listener.failures


async def test_http_headers_are_sent(actions, server):
    headers = [{"name": "Host", "value": "example.com"}, {"name": "X-Probe", "value": "1"}]
    await actions.probe("c", SPEC, probe(httpGet={"port": server[0], "httpHeaders": headers}), "127.0.0.1")
    (request,) = server[1]
    assert request.headers["Host"] == "example.com"
    assert request.headers["X-Probe"] == "1"
    assert request.headers["User-Agent"].startswith("kube-probe/")


@pytest.mark.slow
async def test_a_slow_answer_is_a_failure(actions, server):
    answer = await actions.probe(
        "c", SPEC, probe(httpGet={"path": "/slow", "port": server[0]}, timeoutSeconds=1), "127.0.0.1"
    )
    assert answer == Answer(ok=False, message="no answer within 1s")


async def test_a_closed_port_is_a_failure_that_says_where(actions):
    port = await _closed_port()
    http = await actions.probe("c", SPEC, probe(httpGet={"port": port}), "127.0.0.1")
    tcp = await actions.probe("c", SPEC, probe(tcpSocket={"port": port}), "127.0.0.1")
    assert not http.ok
    assert str(port) in http.message
    assert not tcp.ok
    assert f"dial tcp 127.0.0.1:{port}" in tcp.message


async def _closed_port():
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    return port


async def test_an_open_port_is_success(actions, server):
    assert (await actions.probe("c", SPEC, probe(tcpSocket={"port": server[0]}), "127.0.0.1")).ok


def test_ports_may_be_named():
    assert port_number("web", SPEC) == 8080
    assert port_number("81", SPEC) == 81
    assert port_number(82, SPEC) == 82
    assert port_number("none", SPEC) is None


async def test_an_unknown_port_name_is_told(actions):
    answer = await actions.probe("c", SPEC, probe(tcpSocket={"port": "none"}), "127.0.0.1")
    assert answer.message == "couldn't find port 'none' in container main"


async def test_grpc_health_checks(actions):
    server, servicer = grpc.aio.server(), health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await servicer.set("up", health_pb2.HealthCheckResponse.SERVING)
        await servicer.set("down", health_pb2.HealthCheckResponse.NOT_SERVING)
        ask = {name: probe(grpc={"port": port, "service": name}) for name in ("up", "down", "none")}
        found = {name: (await actions.probe("c", SPEC, ask[name], "127.0.0.1")).ok for name in ask}
        assert found == {"up": True, "down": False, "none": False}
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    ("result", "ok", "message"),
    [
        (ExecResult(0, b""), True, "exit code 0"),
        (ExecResult(2, b"broken\n"), False, "broken"),
        (TimeoutError(), False, "command timed out: 'check it' after 1s"),
    ],
)
async def test_commands(result, ok, message):
    runtime = FakeRuntime()
    runtime.containers["c"] = observed()
    runtime.exec_results["check it"] = result
    answer = await ProbeActions(runtime, "0").probe(
        "c", SPEC, probe(exec={"command": ["check", "it"]}, timeoutSeconds=1), ""
    )
    assert answer == Answer(ok=ok, message=message)


async def test_a_hook_may_sleep_only_as_long_as_it_has(actions):
    hook = msgspec.convert({"sleep": {"seconds": 60}}, LifecycleHandler)
    answer = await actions.hook("c", SPEC, hook, "", 0.01)
    assert not answer.ok


def test_verdicts_need_their_thresholds():
    asked = probe(successThreshold=2, failureThreshold=3)
    tally, verdicts = Tally(), []
    for ok in (True, True, False, False, False, True, True):
        tally = counted(tally, asked, ok=ok)
        verdicts.append(tally.verdict)
    assert verdicts == [None, True, True, True, False, False, True]


def test_an_interruption_starts_counting_anew():
    asked, tally = probe(failureThreshold=2), Tally()
    for ok in (True, False, True, False):
        tally = counted(tally, asked, ok=ok)
    assert tally.verdict is True


class Listener:
    def __init__(self):
        self.changed = asyncio.Event()
        self.failures = []
        self.warnings = []
        self.unhealthy = []

    def health_changed(self):
        self.changed.set()

    def probe_failed(self, container, kind, message):
        self.failures.append((kind, message))

    def probe_warned(self, container, kind, message):
        self.warnings.append((kind, message))

    def container_unhealthy(self, container, kind, probe):
        self.unhealthy.append((container.name, kind))


async def test_the_startup_probe_gates_the_others():
    asked, answers = [], {"startup": False}

    async def ask(container, probe):
        kind = probe.exec.command[0]
        asked.append(kind)
        return Answer(ok=answers.get(kind, True), message="no")

    def probed(kind):
        return {"exec": {"command": [kind]}, "periodSeconds": 1}

    of = pod(
        containers=[
            {
                "name": "main",
                "image": "x",
                "startupProbe": probed("startup"),
                "readinessProbe": probed("readiness"),
                "livenessProbe": probed("liveness"),
            }
        ]
    )
    listener = Listener()
    prober = Prober(ask, listener, system_env())
    try:
        prober.sync(of, {"main-0": observed()})
        await eventually(lambda: asked.count("startup") >= 2)
        assert set(asked) == {"startup"}
        assert not prober.health(of)["main"].started
        answers["startup"] = True
        await eventually(lambda: {"readiness", "liveness"} <= set(asked))
        await eventually(lambda: prober.health(of)["main"].ready)
        assert prober.health(of)["main"].started
        prober.sync(of, {})
        assert prober.health(of) == {}
    finally:
        await prober.close()


@pytest.mark.slow
async def test_a_container_is_ready_soon_after_its_server_is_up():
    """The first failures come at short intervals, and count for nothing."""
    up = asyncio.Event()

    async def ask(container, probe):
        return Answer(ok=up.is_set(), message="refused")

    of = pod(
        containers=[{"name": "main", "image": "x", "readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 60}}]
    )
    listener = Listener()
    prober = Prober(ask, listener, system_env())
    try:
        prober.sync(of, {"main-0": observed()})
        await asyncio.sleep(0)
        up.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await listener.changed.wait()
        assert prober.health(of)["main"].ready
        assert listener.failures == []
    finally:
        await prober.close()


async def test_a_probe_that_breaks_is_asked_again(monkeypatch):
    monkeypatch.setattr("agent.probes.CRASH_PAUSE_SECONDS", 0.01)
    outcomes = [KeyError("a bug"), Answer(ok=True)]

    async def ask(container, probe):
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    of = pod(containers=[{"name": "main", "image": "x", "readinessProbe": {"tcpSocket": {"port": 1}}}])
    prober = Prober(ask, Listener(), system_env())
    try:
        prober.sync(of, {"main-0": observed()})
        await eventually(lambda: prober.health(of)["main"].ready)
    finally:
        await prober.close()
