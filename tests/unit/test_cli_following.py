"""Commands that wait, follow or stream: wait, rollout, events, logs, exec, cordon, drain, and the small ones."""

from __future__ import annotations

import asyncio
import json

import pytest

from api import errors
from api.v1 import apiserver_pb2 as pb
from tests.cli_rig import CliApi, deployment, error_line, pod, tim


@pytest.fixture
def api():
    return CliApi(namespaces=["default", "shop"])


def once_watched(api, *changes):
    """Play the changes as soon as somebody watches."""

    def fault(call):
        if call.verb == "watch":
            api.fault = None
            for number, change in enumerate(changes):
                asyncio.get_running_loop().call_later(0.001 * (number + 1), change)

    api.fault = fault


def test_wait_returns_when_the_condition_is_met(api):
    tree = pod("web")
    tree["status"]["conditions"] = []
    api.put(tree)
    once_watched(
        api, lambda: api.report_ready("default", "web", ready=False), lambda: api.report_ready("default", "web")
    )
    result = tim(api, "wait", "pod/web", "--for=condition=Ready")
    assert (result.exit_code, result.stdout) == (0, "pod/web condition met\n")


def test_wait_looks_before_it_waits(api):
    api.put(pod("web"))
    assert tim(api, "wait", "pod/web", "--for=condition=Ready", "--timeout=0").exit_code == 0


def test_wait_for_an_end_returns_when_another_one_has_the_name(api):
    api.put(pod("web"))

    def replaced():
        api.finish("default", "web")
        api.put(pod("web"))

    once_watched(api, replaced)
    assert tim(api, "wait", "pod", "web", "--for=delete").stdout == "pod/web condition met\n"
    assert tim(api, "wait", "pod", "nope", "--for=delete").exit_code == 0


def test_wait_for_a_beginning_needs_no_object_yet(api):
    once_watched(api, lambda: api.put(pod("web")))
    assert tim(api, "wait", "pod/web", "--for=create").stdout == "pod/web condition met\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["pod/web", "--for=condition=Nope", "--timeout=5ms"],
            "TimedOut: timed out waiting for the condition on pod/web",
        ),
        (["pod/x", "--for=create", "--timeout=5ms"], "TimedOut: timed out waiting for pod/x to be created"),
        (["pod/x", "--for=condition=Ready"], 'NotFound: pods "x" not found'),
        (["pods", "-l", "a=b", "--for=condition=Ready"], "NotFound: no matching objects"),
        (["pods", "--for=delete"], "name the pods"),
        (["pod/web", "--for=ready"], "use condition=NAME"),
    ],
)
def test_wait_says_in_one_line_why_it_failed(api, words, said):
    api.put(pod("web"))
    assert said in error_line(tim(api, "wait", *words))


def test_waiting_for_what_is_deleted_meanwhile_fails(api):
    api.put(pod("web"))
    once_watched(api, lambda: api.finish("default", "web"))
    assert error_line(tim(api, "wait", "pod/web", "--for=condition=Nope")) == "Error: NotFound: pod/web was deleted"


def test_rollout_status_tells_each_step_once_and_ends_with_the_rollout(api):
    tree = deployment()
    tree["status"] |= {"updatedReplicas": 1, "availableReplicas": 1}
    api.put(tree)
    once_watched(
        api,
        lambda: api.report("deployments.apps", "default", "web", updatedReplicas=2, availableReplicas=1),
        lambda: api.report("deployments.apps", "default", "web", updatedReplicas=2, availableReplicas=2),
    )
    told = tim(api, "rollout", "status", "deploy/web").stdout.splitlines()
    assert [line.rpartition(": ")[2] for line in told] == [
        "1 out of 2 new replicas have been updated...",
        "1 of 2 updated replicas are available...",
        'deployment "web" successfully rolled out',
    ]


def test_rollout_status_may_only_look_or_give_up(api):
    tree = deployment()
    tree["status"]["updatedReplicas"] = 1
    api.put(tree)
    assert tim(api, "rollout", "status", "deploy/web", "--watch=false").exit_code == 0
    late = tim(api, "rollout", "status", "deploy/web", "--timeout=5ms")
    assert error_line(late) == "Error: TimedOut: timed out waiting for the rollout of deployment.apps/web"


def test_rollouts_are_paused_resumed_and_restarted(api):
    api.put(deployment())
    assert tim(api, "rollout", "pause", "deploy/web").stdout == "deployment.apps/web paused\n"
    assert tim(api, "rollout", "pause", "deploy/web").stdout == "deployment.apps/web is paused already\n"
    assert "resume it first" in error_line(tim(api, "rollout", "restart", "deploy/web"))
    assert tim(api, "rollout", "resume", "deploy/web").stdout == "deployment.apps/web resumed\n"
    assert tim(api, "rollout", "restart", "deploy/web").stdout == "deployment.apps/web restarted\n"
    template = api.tree("deployments.apps", "default", "web")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert "rollouts are of Deployments" in error_line(tim(api, "rollout", "restart", "svc/web"))


def test_history_lists_revisions_and_undo_goes_back(api):
    api.put(deployment())
    tree = api.tree("deployments.apps", "default", "web")
    for revision, image in (("1", "old"), ("2", "i")):
        template = json.loads(json.dumps(tree["spec"]["template"]))
        template["spec"]["containers"][0]["image"] = image
        api.put(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": f"web-{revision}",
                    "namespace": "default",
                    "annotations": {"deployment.kubernetes.io/revision": revision, "kubernetes.io/change-cause": image},
                    "ownerReferences": [{"uid": tree["metadata"]["uid"], "controller": True}],
                },
                "spec": {"template": template},
            }
        )
    listed = tim(api, "rollout", "history", "deploy/web").stdout.splitlines()
    assert [line.split() for line in listed[2:]] == [["1", "old"], ["2", "i"]]
    assert "image: old" in tim(api, "rollout", "history", "deploy/web", "--revision=1").stdout
    assert "no revision 9" in error_line(tim(api, "rollout", "history", "deploy/web", "--revision=9"))
    assert tim(api, "rollout", "undo", "deploy/web").stdout == "deployment.apps/web rolled back\n"
    spec = api.tree("deployments.apps", "default", "web")["spec"]
    assert spec["template"]["spec"]["containers"][0]["image"] == "old"


def event(name, kind="Pod", subject="web", minute=0, what="Normal"):
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {"kind": kind, "name": subject, "uid": "u"},
        "type": what,
        "reason": "R" + name,
        "message": "it\nhappened",
        "lastTimestamp": f"2025-01-01T00:{minute:02}:00Z",
    }


def test_events_come_oldest_first_of_the_object_and_type_wanted(api):
    for each in (event("b", minute=2), event("a", minute=1), event("c", "Node"), event("d", what="Warning", minute=3)):
        api.put(each)
    reasons = [line.split()[2] for line in tim(api, "events", "--for", "pod/web").stdout.splitlines()[1:]]
    assert reasons == ["Ra", "Rb", "Rd"]
    warnings = tim(api, "events", "--types=warning", "--no-headers").stdout.splitlines()
    assert [line.split()[2] for line in warnings] == ["Rd"]
    assert "No events found in shop namespace." in tim(api, "events", "-n", "shop").stderr
    assert "Normal and Warning" in error_line(tim(api, "events", "--types=Bad"))
    assert "KIND/NAME" in error_line(tim(api, "events", "--for=pod"))


def test_describe_shows_events_takes_prefixes_and_names_what_is_missing(api):
    stored = api.put(pod("web-1"))
    api.put(event("a") | {"involvedObject": {"kind": "Pod", "name": "web-1", "uid": stored.uid}})
    result = tim(api, "describe", "pod", "web", "nope")
    assert "Name:                    web-1" in result.stdout
    assert "Ra" in result.stdout
    assert error_line(result) == 'Error: NotFound: pods "nope" not found'
    assert tim(api, "describe", "cm").stderr == "No resources found\n"


def test_logs_pass_on_what_a_container_wrote(api):
    api.put(pod("web"))
    api.outputs["web", "app"] = [b"one\ntw", b"o\nno end"]
    result = tim(api, "logs", "web", "--tail=5", "--since=2m", "--previous", "--timestamps", "--limit-bytes=9", "-f")
    assert result.stdout == "one\ntwo\nno end"
    sent = api.log_requests[0]
    assert (sent.pod, sent.container, sent.tail_lines, sent.since_seconds) == ("web", "app", 5, 120)
    assert (sent.previous, sent.timestamps, sent.limit_bytes, sent.follow) == (True, True, 9, True)


def test_logs_of_several_containers_keep_whole_lines(api):
    api.put(pod("web", "default", "app", "side"))
    api.outputs = {("web", "app"): [b"a\nb"], ("web", "side"): [b"c\n"]}
    assert tim(api, "logs", "web", "--all-containers", "--prefix").stdout == (
        "[pod/web/app] a\n[pod/web/app] b\n[pod/web/side] c\n"
    )


def test_logs_by_labels_are_the_last_lines_of_every_pod(api):
    api.put(pod("a", app="x"))
    api.put(pod("b", app="x"))
    api.outputs = {("a", "app"): errors.NotReady("not started"), ("b", "app"): [b"fine\n"]}
    result = tim(api, "logs", "-l", "app=x")
    assert result.stdout == "fine\n"
    assert error_line(result) == "Error: NotReady: not started"
    assert [each.tail_lines for each in api.log_requests] == [10, 10]
    assert tim(api, "logs", "-l", "app=y").stderr == "No resources found in default namespace.\n"


def test_logs_of_a_deployment_are_those_of_its_best_pod_and_say_which(api):
    api.put(deployment())
    ill = pod("web-1", app="web")
    ill["status"]["conditions"] = []
    api.put(ill)
    api.put(pod("web-2", "default", "app", "side", app="web"))
    api.outputs["web-2", "app"] = [b"hello\n"]
    result = tim(api, "logs", "deploy/web")
    assert result.stdout == "hello\n"
    assert result.stderr == ("found 2 pods, using pod/web-2\nusing container 'app' out of app, side (-c chooses)\n")


def test_a_pod_that_runs_is_better_than_one_that_ends_and_that_than_one_that_has_not_begun(api):
    api.put(deployment())
    ends, begins, runs = pod("web-1", app="web"), pod("web-2", app="web"), pod("web-3", app="web")
    ends["metadata"]["deletionTimestamp"] = "2025-06-15T15:06:40Z"
    begins["status"] = {"phase": "Pending"}
    runs["status"]["conditions"] = []
    api.put(begins)
    api.put(ends)
    assert "using pod/web-1" in tim(api, "logs", "deploy/web").stderr
    api.put(runs)
    assert "using pod/web-3" in tim(api, "logs", "deploy/web").stderr
    assert "using pod/web-3" in tim(api, "exec", "deploy/web", "ls").stderr


def test_init_containers_have_logs_too(api):
    tree = pod("web")
    tree["spec"]["initContainers"] = [{"name": "init", "image": "i"}]
    api.put(tree)
    api.outputs = {("web", "init"): [b"first\n"], ("web", "app"): [b"second\n"]}
    assert tim(api, "logs", "web", "-c", "init").stdout == "first\n"
    result = tim(api, "logs", "web")
    assert (result.stdout, result.stderr) == (
        "second\n",
        "using container 'app' out of app, init (init) (-c chooses)\n",
    )
    assert tim(api, "logs", "web", "--all-containers").stdout == "first\nsecond\n"
    assert "it has app, init (init)" in error_line(tim(api, "logs", "web", "-c", "nope"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], 'pods "nope" not found'),
        (["web", "-c", "nope"], "it has app"),
        (["web", "nope"], "it has app"),
        (["cm/x"], "configmaps have no pods"),
        (["deploy/empty"], "deploy/empty has no pods"),
        (["web", "--since-time=yesterday"], "write it as 2025-01-15"),
    ],
)
def test_logs_of_nothing_are_one_line(api, words, said):
    api.put(pod("web"))
    api.put(deployment("empty"))
    assert said in error_line(tim(api, "logs", *words))


def test_exec_passes_streams_and_the_exit_code_on(api):
    api.put(pod("web", "default", "app", "side"))
    api.exec_answers = [pb.StreamFrame(stdout=b"out"), pb.StreamFrame(stderr=b"err"), pb.StreamFrame(exit_code=3)]
    result = tim(api, "exec", "-i", "web", "-c", "side", "--", "sh", "-c", "x -- y", stdin="typed")
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out", "err")
    sent = api.exec_starts[0]
    assert (sent.pod, sent.container, list(sent.command)) == ("web", "side", ["sh", "-c", "x -- y"])
    assert (sent.stdin, sent.tty, api.sent) == (True, False, b"typed")


def test_exec_says_that_a_command_was_killed_and_nothing_of_other_exit_codes(api):
    api.put(pod("web"))
    for code, said in ((137, "exit code 137: the command was killed"), (143, ""), (1, "")):
        api.exec_answers = [pb.StreamFrame(exit_code=code)]
        result = tim(api, "exec", "web", "--", "kill", "-TERM", "1")
        assert result.exit_code == code
        assert said in result.stderr
        assert bool(result.stderr) is bool(said)


def test_exec_without_dashes_takes_all_behind_the_pod_as_the_command(api):
    api.put(pod("web"))
    assert tim(api, "exec", "web", "ls", "-la", "-n", "x").exit_code == 0
    assert list(api.exec_starts[0].command) == ["ls", "-la", "-n", "x"]


def test_exec_without_a_terminal_goes_on_without_one(api):
    api.put(pod("web"))
    result = tim(api, "exec", "-it", "web", "--", "sh")
    assert result.stderr == "standard input is no terminal: running without one\n"
    assert not api.exec_starts[0].tty


def test_exec_whose_connection_ends_early_is_no_success(api):
    api.put(pod("web"))
    api.exec_answers = []
    assert "may still be running" in error_line(tim(api, "exec", "web", "--", "ls"))


def test_exec_needs_a_command(api):
    assert tim(api, "exec", "web").exit_code == 2


def test_attach_passes_streams_on_until_the_container_ends(api):
    api.put(pod("web", "default", "app", "side"))
    api.attach_answers = [pb.StreamFrame(stdout=b"out"), pb.StreamFrame(stderr=b"err"), pb.StreamFrame(ended=True)]
    result = tim(api, "attach", "-it", "web", "-c", "side", stdin="typed")
    said = "standard input is no terminal: attaching without one\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out", said + "err")
    sent = api.attach_starts[0]
    assert (sent.pod, sent.container, sent.stdin, sent.tty, api.sent) == ("web", "side", True, False, b"typed")


def test_attach_whose_connection_ends_early_is_no_success(api):
    api.put(pod("web"))
    api.attach_answers = []
    assert "what the container runs goes on" in error_line(tim(api, "attach", "web"))


def node(name):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}}


def test_nodes_are_cordoned_and_uncordoned_although_one_is_missing(api):
    api.put(node("n1"))
    result = tim(api, "cordon", "nope", "node/n1")
    assert result.stdout == "node/n1 cordoned\n"
    assert error_line(result) == 'Error: NotFound: nodes "nope" not found'
    assert tim(api, "cordon", "n1").stdout == "node/n1 already cordoned\n"
    assert api.tree("nodes", "", "n1")["spec"] == {"unschedulable": True}
    tim(api, "uncordon", "n1")
    assert api.tree("nodes", "", "n1")["spec"] == {}


def owned(name, kind="ReplicaSet", **spec):
    tree = pod(name)
    tree["metadata"]["ownerReferences"] = [{"kind": kind, "name": "o", "controller": True}]
    tree["spec"] |= spec
    return tree


def test_drain_evicts_what_is_made_again_elsewhere_and_waits(api):
    api.put(node("n1"))
    api.put(owned("web"))
    api.put(owned("agent", "DaemonSet"))
    once_watched(api, lambda: api.finish("default", "web"))
    result = tim(api, "drain", "n1", "--ignore-daemonsets", "--timeout=5s")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "node/n1 cordoned",
        "evicting pod default/web",
        "pod/web evicted",
        "node/n1 drained",
    ]
    assert api.names("pods") == ["agent"]


def test_drain_touches_no_pod_while_one_is_in_the_way(api):
    api.put(node("n1"))
    api.put(owned("web"))
    api.put(pod("alone"))
    api.put(owned("scratch", volumes=[{"name": "v", "emptyDir": {}}]))
    said = error_line(tim(api, "drain", "n1"))
    assert "default/alone is not made again by any controller (--force" in said
    assert "default/scratch has an emptyDir volume (--delete-emptydir-data" in said
    assert api.names("pods") == ["alone", "scratch", "web"]


def test_drain_gives_up_after_its_time_out(api):
    api.put(node("n1"))
    api.put(owned("web"))
    assert "not gone after 0.005 s" in error_line(tim(api, "drain", "n1", "--timeout=5ms"))


def test_status_version_and_token_tell_of_the_cluster(api):
    assert "r1" in tim(api, "status").stdout
    assert tim(api, "version").stdout.splitlines()[1] == "cluster 9.9"
    assert json.loads(tim(api, "version", "-o", "json").stdout)["cluster"] == "9.9"
    assert "cluster" not in tim(None, "version", "--client").stdout
    assert tim(api, "token", "create", "--name", "n7").stdout == (
        "tim join 10.0.0.1 --token abcdef.0123456789abcdef --ca-hash sha256:00 --name n7\n"
    )
    assert tim(api, "token", "create", "--renew", "--name", "n7").stdout == (
        "tim join 10.0.0.1 --renew --token abcdef.0123456789abcdef --ca-hash sha256:00 --name n7\n"
    )
    assert "--renew is for one node: say its --name" in error_line(tim(api, "token", "create", "--renew"))


def test_the_kinds_are_listed_by_name_and_scope():
    listed = tim(None, "api-resources", "--namespaced=false", "-o", "name").stdout.split()
    assert {"namespaces", "nodes", "priorityclasses.scheduling.k8s.io"} <= set(listed)
    assert "pods" not in listed
    rows = [line.split() for line in tim(None, "api-resources").stdout.splitlines()]
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in rows
