"""A running lab as the e2e tests use it: the API as plain calls, `tim` as a program, hosts and pods to look into."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from api import manifest, scheme
from api.errors import ApiError, NotFound
from api.object import Tree
from component.env import system_env
from component.rpc_client import RpcClient
from lab import cluster as labs
from lab import machine
from lab.layout import Lab
from tests.e2e.load import Load
from tests.waiting import DEADLINE_SECONDS, wait_until

TIM = str(Path(sys.executable).parent / "tim")
EXAMPLES = Path(__file__).parents[2] / "examples"
CALL_SECONDS = 120.0
LOG_LINES = 12  # of each program, when a failure is explained
STACKS_SECONDS = 1.0  # until programs have written where they stand

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Done:
    """A program that ended."""

    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """What it complained, which must be one line."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, f"expected one line, got exit code {self.code} and: {self.err}{self.out}"
        return lines[0]


def eventually(
    what: str,
    probe: Callable[[], Answer],
    seconds: float = DEADLINE_SECONDS,
    explain: Callable[[], object] | None = None,
) -> Answer:
    """Return what `probe` returns once it is true; API errors count as not yet. Fails the test after the deadline."""
    problem = ""

    def attempt() -> Answer | None:
        nonlocal problem
        problem = ""
        try:
            return probe()
        except ApiError as error:
            problem = f": {error.reason}: {error}"
            return None

    found = wait_until(attempt, seconds, lambda: what + problem + (f"\n{explain()}" if explain else ""))
    assert found is not None
    return found


def lines_of(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()


class Cluster:
    """One lab. Calls block; the gRPC client lives in a thread of its own."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="e2e-client", daemon=True)
        self._thread.start()
        self.client = self.call(self._connect())

    async def _connect(self) -> RpcClient:
        return labs.client_of(self.lab, system_env())

    def close(self) -> None:
        """Disconnect."""
        self.call(self.client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a coroutine in the client's thread."""
        return self.begin(work).result(CALL_SECONDS)

    def begin(self, work: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        """Let a coroutine run in the client's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    # The command line

    def tim(self, *words: str, stdin: str | bytes = "", check: bool = True, seconds: float = CALL_SECONDS) -> Done:
        """Run `tim`; with `check` it must exit with 0."""
        done = run([TIM, *words], stdin=stdin, seconds=seconds, environment=self.environment())
        assert not check or done.code == 0, f"tim {' '.join(words)}: exit code {done.code}: {done.err}{done.out}"
        return done

    def environment(self) -> dict[str, str]:
        """What `tim` needs to find this lab."""
        return {**os.environ, "TIMCONFIG": str(self.lab.admin_conf)}

    # Objects

    def apply(self, text: str, namespace: str = "default") -> None:
        """Apply manifests through the API."""
        for tree in manifest.load_all(text, "test"):
            kind = scheme.by_kind(tree["apiVersion"], tree["kind"])
            if kind.namespaced:
                tree["metadata"].setdefault("namespace", namespace)
            self.call(self.client.apply(tree))

    def get(self, resource: str, namespace: str, name: str) -> Tree:
        """One object; NotFound."""
        return self.call(self.client.get(resource, namespace, name)).tree()

    def list(self, resource: str, namespace: str = "", labels: str = "", fields: str = "") -> list[Tree]:
        """All that match."""
        listed = self.call(self.client.list(resource, namespace, label_selector=labels, field_selector=fields))
        return [item.tree() for item in listed.items]

    def exists(self, resource: str, namespace: str, name: str) -> bool:
        """Whether it is there."""
        with suppress(NotFound):
            return bool(self.get(resource, namespace, name))
        return False

    def ready_nodes(self) -> set[str]:
        """The names of nodes that are Ready."""
        return {each["metadata"]["name"] for each in self.list("nodes") if condition(each, "Ready") == "True"}

    def tainted_nodes(self) -> set[str]:
        """The names of nodes that do not take every pod."""
        return {each["metadata"]["name"] for each in self.list("nodes") if each["spec"].get("taints")}

    # Hosts

    def in_host(self, host: str, *words: str, check: bool = True) -> Done:
        """Run a program in a host's namespaces."""
        done = run(machine.enter(self.lab.host(host), words))
        assert not check or done.code == 0, f"{host}: {' '.join(words)}: exit code {done.code}: {done.err}{done.out}"
        return done

    def enter_pod(self, pod: Tree) -> list[str]:
        """The words that run a program of the machine in a pod's network."""
        host = self.lab.host(pod["spec"]["nodeName"])
        pin = host.run_dir / "agent" / "sandboxes" / pod["metadata"]["uid"] / "net"
        return [*machine.enter(host, ["nsenter", f"--net={pin}"]), "--"]

    def load(self, source: str | Tree, address: str, port: int = 80, **options: Any) -> Load:
        """Constant load from a host (by name), from a pod (its tree), or from this machine ("")."""
        if isinstance(source, dict):
            enter = self.enter_pod(source)
        else:
            enter = machine.enter(self.lab.host(source), []) if source else []
        return Load(enter, address, port, **options)

    def kill(self, host: str, process: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a program of a host, which starts it again when it ends; returns the pid it had."""
        pid = self.processes(host)[process]
        assert pid, f"{process} does not run on {host}"
        os.kill(pid, number)
        return pid

    def wait_restarted(self, killed: Sequence[tuple[str, str, int]]) -> None:
        """Return once programs (host, name, old pid) run again and the whole lab is well."""
        eventually(
            "what was killed runs again",
            lambda: all(self.processes(host)[process] not in {0, pid} for host, process, pid in killed),
        )
        self.wait_healthy()

    def switch(self, host: str, process: str, *, on: bool) -> None:
        """Stop a program of a host until it is switched on again."""
        machine.ask(self.lab.host(host), {"do": "start" if on else "stop", "process": process})

    def processes(self, host: str) -> dict[str, int]:
        """The pids of a host's programs, 0 for one that does not run."""
        answer = machine.ask(self.lab.host(host), {"do": "status"})
        return {name: each["pid"] for name, each in answer["processes"].items()}

    def containers(self, host: str) -> dict[str, Tree]:
        """All containers of a host's Podman, dead ones too, by name; once it answers, for it may be starting again."""
        socket = labs.podman_of(self.lab, self.lab.host(host)).socket_path
        url = "http://podman/v4.0.0/libpod/containers/json?all=true"
        words = ["curl", "-sS", "--fail", "--max-time", "10", "--unix-socket", str(socket), url]
        said: list[Done] = []

        def answered() -> bool:
            said[:] = [run(words)]
            return said[0].code == 0

        eventually(f"Podman of {host} answers", answered, explain=lambda: said)
        return {each["Names"][0]: each for each in json.loads(said[0].out)}

    # Replicas

    def leader(self) -> str:
        """The replica that leads; "" when nobody is known to."""
        status = self.call(self.client.cluster_status())
        return next((each.id for each in status.replicas if each.role == "leader"), "")

    def ready_replicas(self) -> int:
        """How many replicas say by themselves that they are ready: what they say of each other is a second old."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        count = 0
        for host in self.lab.hosts:
            if host.role == "replica":
                url = f"https://{host.address}:6443/readyz"
                with suppress(OSError), urllib.request.urlopen(url, timeout=1, context=context) as answer:
                    count += answer.status == 200
        return count

    def replicas_ready(self) -> bool:
        """Whether all replicas are ready and one leads."""
        return self.ready_replicas() == self.lab.replicas and bool(self.leader())

    def wait_healthy(self, seconds: float = 60.0) -> None:
        """Return once all replicas and nodes are ready and every node takes pods: its taints go after it is Ready."""
        explain = self.describe_hosts
        eventually("all replicas are ready", self.replicas_ready, seconds, explain)
        eventually("all nodes are Ready", lambda: len(self.ready_nodes()) == self.lab.nodes, seconds, explain)
        eventually("all nodes take pods", lambda: not self.tainted_nodes(), seconds, explain)

    def describe_hosts(self) -> str:
        """How hosts and nodes are, what their programs said last and where they stand, for the message of a failure."""
        told = [self.tim("lab", "status", "--name", self.lab.name, check=False).out]
        told += [
            self.tim("describe", "node", host.name, check=False).out for host in self.lab.hosts if host.role == "node"
        ]
        logs = {path: len(lines_of(path)) for host in self.lab.hosts for path in (host.state_dir / "log").glob("*.log")}
        for host in self.lab.hosts:
            with suppress(AssertionError, OSError):  # the program does not run, or the host has no power
                self.kill(host.name, "agent" if host.role == "node" else "api", signal.SIGUSR1)
        time.sleep(STACKS_SECONDS)
        for path, count in sorted(logs.items()):
            told += [f"{path}:", *lines_of(path)[max(0, count - LOG_LINES) :]]
        return "\n".join(told)


class Space:
    """One test's namespace."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def tim(self, verb: str, *words: str, stdin: str | bytes = "", check: bool = True) -> Done:
        """Run a verb of `tim` in this namespace."""
        return self.cluster.tim(*verb.split(), "-n", self.name, *words, stdin=stdin, check=check)

    def apply(self, text: str) -> None:
        """Apply manifests."""
        self.cluster.apply(text, self.name)

    def get(self, resource: str, name: str) -> Tree:
        """One object; NotFound."""
        return self.cluster.get(resource, self.name, name)

    def pod(self, name: str) -> Tree:
        """One pod; NotFound."""
        return self.get("pods", name)

    def pods(self, labels: str = "") -> list[Tree]:
        """Pods by labels, without those that are ending."""
        found = self.cluster.list("pods", self.name, labels)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def exec(self, pod: str, *words: str, container: str = "", stdin: str = "", check: bool = True) -> Done:
        """Run a program in a container."""
        options = [*(["-c", container] if container else []), *(["-i"] if stdin else [])]
        return self.tim("exec", *options, pod, "--", *words, stdin=stdin, check=check)

    def end_main(self, pod: str) -> None:
        """Ask the first process of a container to end, once it catches TERM: before, the kernel would drop it."""
        catches = "^SigCgt:.*[4-7c-f]...$"
        script = f"until grep -q '{catches}' /proc/1/status; do sleep 0.1; done; kill -TERM 1"
        self.exec(pod, "sh", "-c", script, check=False)  # the command may end with the container

    def wait_event(self, pod: str, reason: str, text: str = "") -> None:
        """Return once a pod has such an event: events are written apart from the status they explain."""

        def told() -> bool:
            found = self.cluster.list("events", self.name, fields=f"involvedObject.name={pod}")
            return any(each["reason"] == reason and text in each["message"] for each in found)

        eventually(f"event {reason} of pod {pod} says {text!r}", told, explain=lambda: self.describe(pod))

    def logs(self, pod: str, *options: str) -> str:
        """A container's log."""
        return self.tim("logs", pod, *options).out

    def wait_pod(self, name: str, test: Callable[[Tree], object], what: str, seconds: float = DEADLINE_SECONDS) -> Tree:
        """Return the pod once it passes."""

        def probe() -> Tree | None:
            pod = self.pod(name)
            return pod if test(pod) else None

        found = eventually(f"pod {name} {what}", probe, seconds, lambda: self.describe(name))
        assert found is not None
        return found

    def wait_ready(self, name: str, seconds: float = DEADLINE_SECONDS) -> Tree:
        """Return the pod once it is ready."""
        return self.wait_pod(name, lambda pod: condition(pod, "Ready") == "True", "is ready", seconds)

    def wait_phase(self, name: str, *phases: str, seconds: float = DEADLINE_SECONDS) -> Tree:
        """Return the pod once it is in one of the phases."""
        return self.wait_pod(name, lambda pod: pod["status"].get("phase") in phases, f"is {'/'.join(phases)}", seconds)

    def wait_pods(self, labels: str, count: int, seconds: float = DEADLINE_SECONDS) -> list[Tree]:
        """Return the pods once exactly so many are there and ready."""

        def probe() -> list[Tree]:
            pods = self.pods(labels)
            ready = [pod for pod in pods if condition(pod, "Ready") == "True"]
            return pods if len(ready) == len(pods) == count else []

        if not count:
            eventually(f"no pods {labels}", lambda: not self.pods(labels), seconds, self.describe_all)
            return []
        return eventually(f"{count} pods {labels} are ready", probe, seconds, self.describe_all)

    def wait_endpoints(self, service: str, count: int, seconds: float = DEADLINE_SECONDS) -> list[str]:
        """Return the ready addresses of a Service once there are so many."""

        def probe() -> tuple[list[str]] | None:
            found = self.endpoints(service)
            return (found,) if len(found) == count else None

        return eventually(f"{service} has {count} endpoints", probe, seconds, self.describe_all)[0]

    def endpoints(self, service: str) -> list[str]:
        """The ready addresses of a Service."""
        slices = self.cluster.list(
            "endpointslices.discovery.k8s.io", self.name, f"kubernetes.io/service-name={service}"
        )
        return [
            address
            for each in slices
            for endpoint in each.get("endpoints") or ()
            if endpoint["conditions"].get("ready", True)
            for address in endpoint["addresses"]
        ]

    def vip(self, service: str) -> str:
        """A Service's virtual IP."""
        return str(self.get("services", service)["spec"]["clusterIP"])

    def wait_answers(self, source: str | Tree, service: str, port: int = 80, answers: int = 1) -> str:
        """Return the VIP once so many different answers come through it from a host, a pod or the machine."""
        address = self.vip(service)
        with self.cluster.load(source, address, port, interval_seconds=0.002) as load:
            eventually(
                f"{answers} answers from {service}",
                lambda: len(load.answers()) >= answers,
                explain=lambda: load.report(service),
            )
        return address

    def describe(self, name: str) -> str:
        """All about a pod, for the message of a failure."""
        return self.tim("describe pod", name, check=False).out

    def describe_all(self) -> str:
        """All about this namespace, for the message of a failure."""
        pods = self.tim("get pods", "-o", "wide", check=False)
        return pods.out + pods.err + self.tim("events", check=False).out


def condition(tree: Tree, name: str) -> str:
    """The status of a condition, "" when there is none."""
    for each in tree.get("status", {}).get("conditions", ()):
        if each["type"] == name:
            return str(each["status"])
    return ""


def container_status(pod: Tree, name: str = "") -> Tree:
    """The status of the container (or init container) of that name, or of the first; {} before there is one."""
    status = pod.get("status", {})
    statuses = [*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())]
    return next((each for each in statuses if name in {"", each["name"]}), {})


def restarts(pod: Tree, name: str = "") -> int:
    """How often a container was started again."""
    return int(container_status(pod, name).get("restartCount", 0))


def waiting(pod: Tree, name: str = "") -> Tree:
    """Reason and message of a container that waits, {} when it does not."""
    return dict(container_status(pod, name).get("state", {}).get("waiting") or {})


def terminated(pod: Tree, name: str = "") -> Tree:
    """How a container ended that is not started again yet, {} when it runs."""
    return dict(container_status(pod, name).get("state", {}).get("terminated") or {})


def run(
    command: Sequence[str],
    *,
    stdin: str | bytes = "",
    seconds: float = CALL_SECONDS,
    environment: dict[str, str] | None = None,
) -> Done:
    """Run a program to its end."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=seconds, env=environment)
    return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


FIGURES: list[str] = []


def tell(line: str) -> None:
    """Note a measured figure; all are printed at the end of the run."""
    FIGURES.append(line)
