"""The life of a pod: restarts, exit codes, graceful ends, limits, volumes, probes."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.cluster import condition, container_status, eventually, restarts, tell, terminated, waiting


def pod(name: str, script: str, more: str = "", container: str = "", image: str = "localhost/busybox:1") -> str:
    """A pod of one container that runs a script; `more` goes to the pod's spec, `container` to the container's."""
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 2
  {more}
  containers:
    - name: main
      image: {image}
      command: [sh, -c, {json.dumps(script)}]
      {container}
"""


FOREVER = "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done"


def test_a_failing_container_backs_off_with_its_exit_code_shown(space):
    space.apply(pod("crash", "echo attempt; exit 3"))
    found = space.wait_pod("crash", lambda pod: waiting(pod).get("reason") == "CrashLoopBackOff", "backs off")
    last = container_status(found)["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert found["status"]["phase"] == "Running"
    assert "back-off 10s restarting failed container=main" in waiting(found)["message"]
    line = next(each for each in space.tim("get pods").out.splitlines() if each.startswith("crash"))
    assert "CrashLoopBackOff" in line
    assert "attempt" in space.logs("crash", "--previous")
    space.wait_event("crash", "BackOff")


def test_restart_policies_decide_what_runs_again(space):
    for policy in ("Never", "OnFailure"):
        for code in (0, 4):
            space.apply(pod(f"{policy.lower()}-{code}", f"exit {code}", f"restartPolicy: {policy}"))
    assert terminated(space.wait_phase("never-0", "Succeeded"))["reason"] == "Completed"
    assert terminated(space.wait_phase("never-4", "Failed"))["exitCode"] == 4
    assert restarts(space.wait_phase("onfailure-0", "Succeeded")) == 0
    space.wait_pod("onfailure-4", lambda pod: restarts(pod) >= 1, "is restarted")


def test_memory_limit_kills_and_says_so(space):
    # dd takes one block of 64 MiB into memory
    script = "dd if=/dev/zero of=/dev/null bs=64M"
    space.apply(pod("greedy", script, "restartPolicy: Never", "resources: {limits: {memory: 20Mi}}"))
    ended = terminated(space.wait_phase("greedy", "Failed"))
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    assert "OOMKilled" in space.tim("get pods").out


def test_term_is_delivered_and_the_pod_ends_early(space):
    space.apply(pod("polite", "trap 'echo got TERM; exit 0' TERM; echo up; while true; do sleep 0.1; done"))
    space.wait_ready("polite")
    eventually("it listens", lambda: "up" in space.logs("polite"))
    began = time.monotonic()
    space.tim("delete pod", "polite", "--grace-period", "30")
    assert time.monotonic() - began < 25


def test_a_container_that_ignores_term_is_killed_after_its_grace(space):
    manifest = pod("deaf", "trap '' TERM; echo up; while true; do sleep 1; done")
    space.apply(manifest.replace("terminationGracePeriodSeconds: 2", "terminationGracePeriodSeconds: 60"))
    space.wait_ready("deaf")
    eventually("it listens", lambda: "up" in space.logs("deaf"))
    began = time.monotonic()
    space.tim("delete pod", "deaf", "--grace-period", "3")
    took = time.monotonic() - began
    assert 2.9 < took < 25, took  # by itself the pod has 60


def test_pre_stop_runs_before_term_and_within_the_grace(space):
    volume = "volumes: [{name: out, hostPath: {path: /tmp, type: Directory}}]"
    marks = f"/out/timonier-{space.name}"
    script = f"trap 'echo term >> {marks}; exit 0' TERM; while true; do sleep 0.1; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", f"echo hook >> {marks}; sleep 1"]}}}
    options = f"volumeMounts: [{{name: out, mountPath: /out}}]\n      lifecycle: {json.dumps(hook)}"
    space.apply(pod("hooked", script, volume, options).replace("PeriodSeconds: 2", "PeriodSeconds: 20"))
    host = space.wait_ready("hooked")["spec"]["nodeName"]
    path = marks.replace("/out", "/tmp")
    try:
        space.tim("delete pod", "hooked")
        assert space.cluster.in_host(host, "cat", path).out.split() == ["hook", "term"]
    finally:
        space.cluster.in_host(host, "rm", "-f", path)


def test_host_path_shows_the_hosts_files(space):
    volume = "volumes: [{name: etc, hostPath: {path: /etc, type: Directory}}]"
    space.apply(pod("looker", FOREVER, volume, "volumeMounts: [{name: etc, mountPath: /host, readOnly: true}]"))
    host = space.wait_ready("looker")["spec"]["nodeName"]
    assert space.exec("looker", "cat", "/host/passwd").out == space.cluster.in_host(host, "cat", "/etc/passwd").out


def test_empty_dir_in_memory_has_its_size_and_survives_a_restart_of_the_container(space):
    volume = "volumes: [{name: fast, emptyDir: {medium: Memory, sizeLimit: 4Mi}}]"
    script = "date >> /fast/starts; " + FOREVER
    space.apply(pod("scratch", script, volume, "volumeMounts: [{name: fast, mountPath: /fast}]"))
    space.wait_ready("scratch")
    assert space.exec("scratch", "stat", "-f", "-c", "%T", "/fast").out.strip() == "tmpfs"
    full = space.exec("scratch", "dd", "if=/dev/zero", "of=/fast/big", "bs=1M", "count=8", check=False)
    assert full.code != 0
    assert "No space left" in full.err
    space.exec("scratch", "rm", "/fast/big")
    space.end_main("scratch")
    space.wait_pod("scratch", lambda pod: restarts(pod) == 1 and condition(pod, "Ready") == "True", "runs again")
    # It is ready as soon as it runs, before its first command has ended.
    eventually("both starts are told", lambda: len(space.exec("scratch", "cat", "/fast/starts").out.splitlines()) == 2)


def test_a_pod_of_two_containers_shares_names_and_ipc_but_not_file_systems(space):
    space.apply(
        pod("pair", FOREVER + " # one")
        + f"    - {{name: other, image: 'localhost/busybox:1', command: [sh, -c, {json.dumps(FOREVER)}]}}\n"
    )
    space.wait_ready("pair")
    hostnames = {space.exec("pair", "hostname", container=name).out for name in ("main", "other")}
    assert hostnames == {"pair\n"}
    spaces = [
        space.exec("pair", "sh", "-c", "for n in net ipc uts; do readlink /proc/self/ns/$n; done", container=name)
        for name in ("main", "other")
    ]
    assert spaces[0].out == spaces[1].out
    space.exec("pair", "touch", "/only-main", container="main")
    assert space.exec("pair", "ls", "/only-main", container="other", check=False).code == 1


@pytest.mark.parametrize(
    ("kind", "probe"),
    [
        ("http", "httpGet: {path: /healthz, port: 8080}"),
        ("exec", "exec: {command: [cat, /srv/www/healthz]}"),
    ],
)
def test_readiness_takes_a_pod_out_and_back_in(space, kind, probe):
    options = f"readinessProbe: {{{probe}, periodSeconds: 1, failureThreshold: 1}}"
    space.apply(pod("gate", "exec /usr/bin/web", container=options, image="localhost/web:1"))
    space.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: gate}, spec: {selector: {app: gate}, "
        "ports: [{port: 80, targetPort: 8080}]}}"
    )
    space.wait_endpoints("gate", 1)
    space.exec("gate", "mv", "/srv/www/healthz", "/srv/www/away")
    space.wait_endpoints("gate", 0)
    assert condition(space.pod("gate"), "Ready") == "False"
    assert restarts(space.pod("gate")) == 0
    space.exec("gate", "mv", "/srv/www/away", "/srv/www/healthz")
    space.wait_endpoints("gate", 1)


@pytest.mark.parametrize(
    ("probe", "breakage"),
    [
        ("httpGet: {path: /healthz, port: 8080}", "rm /srv/www/healthz"),
        ("tcpSocket: {port: 8080}", "killall -STOP web httpd; killall -KILL httpd"),
    ],
)
def test_liveness_restarts_what_fails_it(space, probe, breakage):
    options = f"livenessProbe: {{{probe}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 2}}"
    script = "echo ok > /srv/www/healthz; httpd -p 8080 -h /srv/www; " + FOREVER
    space.apply(pod("alive", script, container=options))
    space.wait_ready("alive")
    space.exec("alive", "sh", "-c", breakage, check=False)
    space.wait_pod("alive", lambda pod: restarts(pod) >= 1, "is restarted")
    space.wait_event("alive", "Unhealthy", "Liveness probe failed")
    space.wait_event("alive", "Killing", "failed liveness probe, will be restarted")


def test_an_image_that_cannot_be_pulled_is_told_at_once(space):
    space.apply(pod("absent", "true", image="registry.invalid/absent:1"))
    began = time.monotonic()
    found = space.wait_pod(
        "absent", lambda pod: waiting(pod).get("reason") in {"ErrImagePull", "ImagePullBackOff"}, "is not pulled"
    )
    tell(f"missing image told after {time.monotonic() - began:.1f} s: {waiting(found)['message']}")
    assert "registry.invalid/absent:1" in waiting(found)["message"]
    for reason in ("Pulling", "Failed"):
        space.wait_event("absent", reason)
    never = pod("never", "true", container="imagePullPolicy: Never", image="localhost/absent:1")
    space.apply(never)
    space.wait_pod("never", lambda pod: waiting(pod).get("reason") == "ErrImageNeverPull", "is never pulled")


def test_a_command_that_is_not_in_the_image_is_told(space):
    space.apply(pod("wrong", "true").replace("command: [sh, -c, ", "command: [/bin/absent, "))
    found = space.wait_pod(
        "wrong",
        lambda pod: (
            waiting(pod).get("reason") in {"RunContainerError", "CrashLoopBackOff"}
            or terminated(pod).get("reason") == "StartError"
        ),
        "does not start",
    )
    told = json.dumps(container_status(found))
    assert "/bin/absent" in told
    space.wait_event("wrong", "Failed", "/bin/absent")


def test_a_missing_config_map_holds_the_pod_until_it_comes(space):
    options = "envFrom: [{configMapRef: {name: later}}]"
    space.apply(pod("needy", "echo $COLOUR; " + FOREVER, container=options))
    found = space.wait_pod(
        "needy", lambda pod: waiting(pod).get("reason") == "CreateContainerConfigError", "waits for its ConfigMap"
    )
    assert 'configmap "later" not found' in waiting(found)["message"]
    space.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: later}, data: {COLOUR: green}}")
    space.wait_ready("needy")
    eventually("it has the value", lambda: space.logs("needy") == "green\n")


def test_mounted_config_map_follows_changes_and_variables_do_not(space):
    config = "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: live}}, data: {{colour: {}}}}}"
    space.apply(config.format("green"))
    options = (
        "volumeMounts: [{name: config, mountPath: /config}]\n"
        "      env: [{name: COLOUR, valueFrom: {configMapKeyRef: {name: live, key: colour}}}]"
    )
    space.apply(pod("follower", FOREVER, "volumes: [{name: config, configMap: {name: live}}]", options))
    space.wait_ready("follower")
    assert space.exec("follower", "cat", "/config/colour").out == "green"
    space.apply(config.format("blue"))
    began = time.monotonic()
    # A file that is opened while the agent exchanges all of them may be gone.
    eventually("the file changes", lambda: space.exec("follower", "cat", "/config/colour", check=False).out == "blue")
    tell(f"mounted ConfigMap changed after {time.monotonic() - began:.1f} s")
    assert space.exec("follower", "sh", "-c", "echo $COLOUR").out == "green\n"


def test_service_variables_stand_in_the_environment(space):
    space.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: redis-primary}, spec: {selector: {app: x}, "
        "ports: [{port: 6379}]}}"
    )
    space.apply(pod("env", "env; " + FOREVER))
    space.wait_ready("env")
    printed = dict(line.split("=", 1) for line in space.exec("env", "env").out.splitlines())
    address = space.vip("redis-primary")
    assert printed["REDIS_PRIMARY_SERVICE_HOST"] == address
    assert printed["REDIS_PRIMARY_SERVICE_PORT"] == "6379"
    assert printed["REDIS_PRIMARY_PORT_6379_TCP"] == f"tcp://{address}:6379"
    assert printed["KUBERNETES_SERVICE_PORT"] == "443"


def test_a_pod_that_fits_nowhere_says_why(space):
    space.apply(pod("huge", "true", container="resources: {requests: {cpu: 1000}}"))
    found = space.wait_pod("huge", lambda pod: condition(pod, "PodScheduled") == "False", "is unschedulable")
    message = next(each["message"] for each in found["status"]["conditions"] if each["type"] == "PodScheduled")
    assert message == "0/3 nodes are available: 3 Insufficient cpu."
    space.wait_event("huge", "FailedScheduling")
