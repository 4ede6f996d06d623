"""`tim debug` and the ways of `tim run` that join the container: what is made, followed, told and removed."""

from __future__ import annotations

import pytest

from api import errors
from api.v1 import apiserver_pb2 as pb
from cli.debugging import Wanted, copy_of, node_debugger
from cli.mistakes import Misused
from tests.cli_rig import CliApi, deployment, error_line, pod, tim

RUNNING = {"running": {}}
BACKING_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}


def ended(code):
    return {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}


class NodeApi(CliApi):
    """An API with a node behind it that brings every new container into a state at once, and pods to their end."""

    def __init__(self, state=None, phase="Running", last=None):
        super().__init__()
        self.state, self.phase, self.last = state or RUNNING, phase, last or {}

    def status(self, name):
        return {"name": name, "state": self.state, "lastState": self.last}

    async def create(self, tree, *, dry_run=False):
        made = await super().create(tree, dry_run=dry_run)
        if made.resource == "pods":
            names = [each["name"] for each in made.tree()["spec"]["containers"]]
            status = {"phase": self.phase, "containerStatuses": [self.status(name) for name in names]}
            await self.update_status({**made.tree(), "status": status})
        return made

    async def patch(self, resource, namespace, name, *words, **options):
        made = await super().patch(resource, namespace, name, *words, **options)
        tree = made.tree()
        added = [each["name"] for each in tree["spec"].get("ephemeralContainers", [])]
        status = {
            **tree["status"],
            "ephemeralContainerStatuses": [self.status(each) for each in added],
        }
        await self.update_status({**tree, "status": status})
        return made


@pytest.fixture
def api():
    api = NodeApi()
    api.put(pod("web"))
    return api


def added(api):
    return api.tree("pods", "default", "web")["spec"]["ephemeralContainers"]


# debug


def test_debug_adds_a_container_and_names_it(api):
    result = tim(api, "debug", "web", "--image", "busybox", "--target", "app", "--env", "A=b", "--", "sleep", "1")
    [container] = added(api)
    assert result.stdout == f"pod/web got container {container['name']}\n"
    assert result.stderr == f"the container is called {container['name']}\n"
    assert container["name"].startswith("debugger-")
    assert {key: value for key, value in container.items() if key != "name"} == {
        "image": "busybox",
        "command": ["sleep", "1"],
        "env": [{"name": "A", "value": "b"}],
        "targetContainerName": "app",
    }
    assert api.attach_starts == []


def test_debug_joins_the_container_when_there_is_input(api):
    api.attach_answers = [pb.StreamFrame(stdout=b"out"), pb.StreamFrame(ended=True)]
    result = tim(api, "debug", "web", "-it", "--image", "busybox", "-c", "look", stdin="typed")
    said = "standard input is no terminal: debugging without one\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out", said)
    sent = api.attach_starts[0]
    assert (sent.pod, sent.container, sent.stdin, sent.tty, api.sent) == ("web", "look", True, False, b"typed")
    assert added(api) == [{"name": "look", "image": "busybox", "stdin": True, "stdinOnce": True}]


def test_who_only_looks_on_gets_everything_from_the_log(api):
    api.outputs[("web", "look")] = [b"one\n", b"two\n"]
    result = tim(api, "debug", "web", "--attach", "--image", "busybox", "-c", "look")
    assert (result.exit_code, result.stdout, api.attach_starts) == (0, "one\ntwo\n", [])
    assert api.log_requests[0].follow


def test_of_a_container_that_has_ended_already_the_log_is_shown(api):
    api.state = ended(0)
    api.outputs[("web", "look")] = [b"short\n"]
    assert tim(api, "debug", "web", "-i", "--image", "busybox", "-c", "look").stdout == "short\n"
    assert api.attach_starts == []


def test_of_a_container_that_is_only_seen_between_two_runs_the_log_is_shown():
    api = NodeApi(BACKING_OFF, last=ended(0))
    api.put(pod("web"))
    api.outputs[("copy", "look")] = [b"short\n"]
    words = ("--image", "b", "-c", "look", "--copy-to", "copy")
    assert tim(api, "debug", "web", *words, "--attach").stdout == "short\n"
    assert api.attach_starts == []


def test_run_tells_why_a_command_that_cannot_be_started_never_ran():
    failed = {"terminated": {"exitCode": 128, "reason": "StartError"}}
    api = NodeApi(BACKING_OFF, "Pending", last=failed)
    result = run(api, "--attach", "--pod-running-timeout", "200ms")
    assert result.exit_code == 1
    assert "has not started within 0.2 s (CrashLoopBackOff: back-off 10s)" in result.stderr


def test_a_container_that_ends_before_it_is_joined_is_no_failure(api):
    async def attach(_start, _frames):
        raise errors.NotReady("container look of pod web is not running")
        yield

    api.attach = attach
    api.outputs[("web", "look")] = [b"short\n"]
    result = tim(api, "debug", "web", "-i", "--image", "busybox", "-c", "look")
    assert (result.exit_code, result.stdout) == (0, "short\n")


def test_debug_of_a_deployment_takes_its_best_pod():
    api = NodeApi()
    api.put(deployment())
    api.put(pod("web-1", app="web"))
    assert "pod/web-1 got container look" in tim(api, "debug", "deploy/web", "--image", "b", "-c", "look").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the --image"),
        (["--set-image", "app=b"], "--set-image needs --copy-to"),
        (["--image", "b", "--same-node"], "--same-node needs --copy-to"),
        (["--image", "b", "--target", "app", "--copy-to", "x"], "either --target or --copy-to"),
        (["--image", "b", "-t"], "-t needs -i"),
        (["--image", "b", "--env", "A"], "write it as NAME=VALUE"),
        (["--copy-to", "x", "--set-image", "nope=b"], "the pod has no container nope; it has app"),
    ],
)
def test_what_does_not_go_together_is_one_line(api, words, said):
    assert said in error_line(tim(api, "debug", "web", *words))
    assert "ephemeralContainers" not in api.tree("pods", "default", "web")["spec"]


def test_debug_of_a_copy_leaves_the_pod_alone(api):
    words = ("--image", "busybox", "-c", "look", "--copy-to", "copy", "--set-image", "app=other")
    assert tim(api, "debug", "web", *words).stdout == "pod/copy created\n"
    assert api.tree("pods", "default", "copy")["spec"] == {
        "containers": [{"name": "app", "image": "other"}, {"name": "look", "image": "busybox"}]
    }
    assert "ephemeralContainers" not in api.tree("pods", "default", "web")["spec"]


def test_debug_of_a_node_sees_all_of_it(api):
    api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {}})
    result = tim(api, "debug", "node/n1", "--image", "busybox")
    [name] = [name for name in api.names("pods") if name != "web"]
    assert result.stdout == f"pod/{name} created\n"
    assert api.tree("pods", "default", name)["spec"]["hostPID"]
    assert "not found" in error_line(tim(api, "debug", "node/n2", "--image", "b", "-c", "look"))


def test_a_copy_is_found_by_no_service_and_restarted_by_no_probe():
    tree = pod("web", app="web")
    tree["metadata"]["annotations"] = {"a": "b", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    tree["spec"]["containers"][0] |= {"livenessProbe": {}, "readinessProbe": {}, "startupProbe": {}, "args": ["x"]}
    tree["spec"]["ephemeralContainers"] = [{"name": "old", "image": "b"}]
    copied = copy_of(tree, "copy", Wanted("app", "", ["sh"], stdin=True, tty=True), {"*": "new"}, same_node=False)
    assert copied["metadata"] == {"name": "copy", "namespace": "default", "annotations": {"a": "b"}}
    assert copied["spec"] == {
        "containers": [{"name": "app", "image": "new", "command": ["sh"], "stdin": True, "tty": True}]
    }
    assert copy_of(tree, "copy", Wanted("x", "i"), {}, same_node=True)["spec"]["nodeName"] == "n1"
    with pytest.raises(Misused, match="no container a, b"):
        copy_of(tree, "copy", Wanted("x", "i"), {"b": "1", "a": "1"}, same_node=False)


def test_the_pod_of_a_node_tolerates_everything_and_is_not_restarted():
    spec = node_debugger("n1", "d", Wanted("look", "i"))["spec"]
    assert (spec["nodeName"], spec["restartPolicy"], spec["tolerations"]) == ("n1", "Never", [{"operator": "Exists"}])
    assert spec["containers"][0]["volumeMounts"] == [{"name": "host-root", "mountPath": "/host"}]


def test_ephemeral_containers_can_be_named_like_others(api):
    tim(api, "debug", "web", "--image", "b", "-c", "look")
    api.outputs[("web", "look")] = [b"seen\n"]
    assert tim(api, "logs", "web", "-c", "look").stdout == "seen\n"
    assert "it has app, look (ephemeral)" in error_line(tim(api, "logs", "web", "-c", "nope"))


# run


def run(api, *words, stdin=""):
    return tim(api, "run", "once", "--image", "b", *words, stdin=stdin)


def test_run_with_input_joins_the_pod_and_deletes_it_afterwards(api):
    api.attach_answers = [pb.StreamFrame(stdout=b"out"), pb.StreamFrame(ended=True)]
    result = run(api, "-i", "--rm", stdin="typed")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out", "pod/once deleted\n")
    assert api.sent == b"typed"
    assert api.names("pods") == ["web"]


def test_run_ends_with_the_exit_code_of_a_container_that_is_not_restarted():
    api = NodeApi(ended(3), "Failed")
    api.outputs[("once", "once")] = [b"bad\n"]
    result = run(api, "--attach", "--restart", "Never")
    assert (result.exit_code, result.stdout, result.stderr) == (3, "bad\n", "pod once terminated (Error)\n")
    assert api.names("pods") == ["once"]
    assert run(NodeApi(ended(0), "Succeeded"), "--attach", "--restart", "Never").exit_code == 0
    assert run(NodeApi(ended(3), "Failed"), "--attach").exit_code == 0


def test_run_deletes_the_pod_when_it_does_not_start():
    api = NodeApi({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}, "Pending")
    result = run(api, "-i", "--rm", "--pod-running-timeout", "200ms")  # enough for a look at the pod
    assert result.exit_code == 1
    assert "has not started within 0.2 s (ErrImagePull: no such image)" in result.stderr
    assert api.names("pods") == []


def test_run_leaves_the_input_open_when_it_is_told_to(api):
    run(api, "-i", "--leave-stdin-open")
    assert api.tree("pods", "default", "once")["spec"]["containers"][0] == {"name": "once", "image": "b", "stdin": True}


def test_run_removes_the_service_that_it_made_as_well(api):
    result = run(api, "-i", "--rm", "--expose", "--port", "80")
    assert result.stderr == "pod/once deleted\nservice/once deleted\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rm"], "--rm needs -i or --attach"),
        (["-t"], "-t needs -i"),
        (["--leave-stdin-open", "--attach"], "--leave-stdin-open needs -i"),
        (["-i", "--dry-run=client"], "for pods that nobody joins"),
        (["--attach", "-o", "yaml"], "for pods that nobody joins"),
    ],
)
def test_run_refuses_what_does_not_go_together(api, words, said):
    assert said in error_line(run(api, *words))
    assert api.names("pods") == ["web"]
