"""Fields of pods that one test each shows on real containers: hooks, signals, files, names, namespaces, users, gates."""

from __future__ import annotations

import json

from tests.e2e.cluster import Space, condition, container_status, eventually, restarts, terminated, waiting
from tests.e2e.test_pods import FOREVER, pod


def test_a_container_is_not_running_before_its_post_start_hook_ended(space):
    hook = {
        "postStart": {"exec": {"command": ["sh", "-c", "until [ -e /tmp/go ]; do sleep 0.1; done; echo x > /tmp/x"]}}
    }
    space.apply(
        pod("hooked", FOREVER, container=f"lifecycle: {json.dumps(hook)}")
        + f"    - {{name: other, image: 'localhost/busybox:1', command: [sh, -c, {json.dumps(FOREVER)}]}}\n"
    )
    space.wait_event("hooked", "Started")
    found = space.wait_pod("hooked", waiting, "waits")
    assert waiting(found, "main")["reason"] == "ContainerCreating"
    assert waiting(found, "other")["reason"] == "ContainerCreating"
    assert found["status"]["phase"] == "Pending"
    host = found["spec"]["nodeName"]
    (name,) = [each for each in space.cluster.containers(host) if each.startswith(found["metadata"]["uid"])]
    pid = space.cluster.containers(host)[name]["Pid"]
    space.cluster.in_host(host, "touch", f"/proc/{pid}/root/tmp/go")
    space.wait_ready("hooked")
    assert space.exec("hooked", "cat", "/tmp/x", container="main").out == "x\n"


def test_a_container_whose_post_start_hook_fails_is_restarted(space):
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo broken; exit 3"]}}}
    space.apply(pod("broken", FOREVER, container=f"lifecycle: {json.dumps(hook)}"))
    space.wait_pod("broken", lambda pod: restarts(pod) >= 1, "is restarted")
    space.wait_event("broken", "FailedPostStartHook", "PostStartHook failed: broken")


def test_a_container_is_ended_with_the_signal_it_asks_for(space):
    options = "lifecycle: {stopSignal: SIGUSR1}\n      terminationMessagePath: /tmp/last"
    script = "trap 'echo got USR1 > /tmp/last; exit 4' USR1; touch /tmp/up; while true; do sleep 1 & wait $!; done"
    space.apply(pod("signalled", script, "os: {name: linux}\n  restartPolicy: Never", options))
    space.wait_ready("signalled")
    eventually("it listens", lambda: space.exec("signalled", "cat", "/tmp/up", check=False).code == 0)
    uid = space.pod("signalled")["metadata"]["uid"]
    space.tim("delete pod", "signalled", "--no-wait", "--grace-period", "20")
    eventually(
        "it is gone", lambda: uid not in {each["metadata"]["uid"] for each in space.cluster.list("pods", space.name)}
    )
    client, call = space.cluster.client, space.cluster.call
    deleted = call(client.history("pods", space.name, "signalled")).changes[-1].revision
    last = terminated(call(client.get("pods", space.name, "signalled", at_revision=deleted - 1)).tree())
    assert (last["exitCode"], last["message"]) == (4, "got USR1\n")


def test_the_end_of_the_log_is_the_message_of_a_container_that_failed_without_one(space):
    options = "terminationMessagePolicy: FallbackToLogsOnError"
    space.apply(pod("talker", "echo out of luck; exit 5", "restartPolicy: Never", options))
    assert terminated(space.wait_phase("talker", "Failed"))["message"] == "out of luck\n"


def test_a_probe_has_a_grace_of_its_own(space):
    probe = {
        "exec": {"command": ["false"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 1,
    }
    script = "trap '' TERM; while true; do sleep 1; done"
    text = pod("stuck", script, container=f"livenessProbe: {json.dumps(probe)}").replace(
        "Seconds: 2\n", "Seconds: 300\n", 1
    )
    space.apply(text)
    space.wait_pod("stuck", lambda pod: restarts(pod) >= 1, "is killed long before the pod's own grace is over")
    space.tim("delete pod", "stuck", "--force", "--grace-period", "0")


def test_a_grpc_probe_asks_the_health_service(space):
    probe = {"grpc": {"port": 7443}, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 1}
    space.apply(pod("asked", FOREVER, container=f"livenessProbe: {json.dumps(probe)}"))
    space.wait_pod("asked", lambda pod: restarts(pod) >= 1, "is restarted, for nobody answers")
    space.wait_event("asked", "Unhealthy", "gRPC health check: UNAVAILABLE")


def test_files_about_the_pod_follow_its_labels(space):
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}},
    ]
    volume = f"volumes: [{{name: self, downwardAPI: {{items: {json.dumps(items)}}}}}]"
    options = "volumeMounts: [{name: self, mountPath: /self}]\n      resources: {limits: {cpu: 250m}}"
    space.apply(pod("mirror", FOREVER, volume, options))
    space.wait_ready("mirror")
    assert space.exec("mirror", "sh", "-c", "cd /self && cat labels name cpu").out == 'app="mirror"mirror250'
    space.tim("label pod", "mirror", "mood=good")
    # A file that is opened while the agent exchanges all of them may be gone.
    eventually(
        "the file follows",
        lambda: space.exec("mirror", "cat", "/self/labels", check=False).out == 'app="mirror"\nmood="good"',
    )


def test_a_projected_volume_holds_files_of_several_sources_for_the_pods_group(space):
    space.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: conf}, data: {colour: green}}")
    space.apply("{apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {word: sesame}}")
    sources = [
        {"configMap": {"name": "conf"}},
        {"secret": {"name": "key", "items": [{"key": "word", "path": "secret/word", "mode": 0o400}]}},
        {"downwardAPI": {"items": [{"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}}]}},
    ]
    more = (
        f"volumes: [{{name: all, projected: {{sources: {json.dumps(sources)}}}}}, {{name: scratch, emptyDir: {{}}}}]\n"
        "  securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, runAsNonRoot: true}"
    )
    options = "volumeMounts: [{name: all, mountPath: /all}, {name: scratch, mountPath: /scratch}]"
    space.apply(pod("several", FOREVER, more, options))
    uid = space.wait_ready("several")["metadata"]["uid"]
    assert space.exec("several", "sh", "-c", "cd /all && cat colour secret/word uid").out == f"greensesame{uid}"
    assert space.exec("several", "sh", "-c", "touch /scratch/a && stat -c '%u %g' /scratch/a").out == "1000 2000\n"
    assert space.exec("several", "stat", "-L", "-c", "%a %g", "/all/secret/word").out == "440 2000\n"
    assert "2000" in space.exec("several", "id", "-G").out.split()
    assert space.exec("several", "stat", "-f", "-c", "%T", "/all").out.strip() == "tmpfs"


def test_sub_paths_show_parts_of_a_volume(space):
    space.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: conf}, data: {colour: green, size: big}}")
    volumes = "volumes: [{name: shared, emptyDir: {}}, {name: conf, configMap: {name: conf}}]"
    options = (
        "env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n"
        "      volumeMounts: [{name: shared, mountPath: /all}, {name: shared, mountPath: /part, subPathExpr: logs/$(POD)},"
        " {name: conf, mountPath: /etc/colour, subPath: colour}]"
    )
    space.apply(pod("parts", FOREVER, volumes, options))
    space.wait_ready("parts")
    space.exec("parts", "touch", "/part/here")
    assert space.exec("parts", "ls", "/all/logs/parts").out == "here\n"
    assert space.exec("parts", "cat", "/etc/colour").out == "green"
    space.end_main("parts")
    space.wait_pod("parts", lambda pod: restarts(pod) == 1 and condition(pod, "Ready") == "True", "runs again")
    assert space.exec("parts", "ls", "/part").out == "here\n"
    uid, host = space.pod("parts")["metadata"]["uid"], space.pod("parts")["spec"]["nodeName"]
    space.tim("delete pod", "parts")
    assert uid not in space.cluster.in_host(host, "cat", "/proc/self/mountinfo").out


def test_root_is_refused_where_the_pod_says_so(space):
    space.apply(pod("rootless", FOREVER, "securityContext: {runAsNonRoot: true}"))
    found = space.wait_pod(
        "rootless", lambda pod: waiting(pod).get("reason") == "CreateContainerConfigError", "is refused"
    )
    assert "image will run as root" in waiting(found)["message"]


def namespaces(space: Space, name: str) -> dict[str, str]:
    """The kernel namespaces that a container sees itself in."""
    return {kind: space.exec(name, "readlink", f"/proc/self/ns/{kind}").out.strip() for kind in ("pid", "ipc", "net")}


def test_a_pod_may_share_the_hosts_processes_and_shared_memory(space):
    space.apply(pod("host", "sleep 7777 & " + FOREVER, "hostPID: true\n  hostIPC: true"))
    host = space.wait_ready("host")["spec"]["nodeName"]
    found = namespaces(space, "host")
    for kind, same in (("pid", True), ("ipc", True), ("net", False)):
        assert (found[kind] == space.cluster.in_host(host, "readlink", f"/proc/self/ns/{kind}").out.strip()) is same
    mark = f"/dev/shm/timonier-{space.name}"
    space.exec("host", "touch", mark)
    space.cluster.in_host(host, "rm", mark)
    pids = space.cluster.in_host(host, "pgrep", "-f", "slee[p] 7777").out.split()
    assert pids
    space.tim("delete pod", "host")
    for pid in pids:  # nothing of the container stays, though it had no process of its own to die with
        state = space.cluster.in_host(host, "cat", f"/proc/{pid}/cmdline", check=False)
        assert "7777" not in state.out


def test_names_in_a_pod_are_what_it_asks_for(space):
    more = (
        "hostname: alpha\n  subdomain: team\n"
        "  hostAliases: [{ip: 192.0.2.9, hostnames: [oracle, oracle.example.com]}]\n"
        "  dnsPolicy: None\n"
        "  dnsConfig: {nameservers: [192.0.2.1], searches: [example.com], options: [{name: ndots, value: '2'}]}"
    )
    space.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: team}, spec: {clusterIP: None, selector: {app: named}, "
        "ports: [{port: 80}]}}"
    )
    space.apply(pod("named", FOREVER, more))
    space.apply(pod("asking", FOREVER))
    found = space.wait_ready("named")
    space.wait_ready("asking")
    assert space.exec("named", "cat", "/etc/resolv.conf").out == (
        "nameserver 192.0.2.1\nsearch example.com\noptions ndots:2\n"
    )
    lines = [line.split() for line in space.exec("named", "cat", "/etc/hosts").out.splitlines()]
    address, full = found["status"]["podIP"], f"alpha.team.{space.name}.svc.cluster.local"
    assert [address, full, "alpha"] in lines
    assert ["192.0.2.9", "oracle", "oracle.example.com"] in lines
    assert space.exec("named", "hostname").out == "alpha\n"
    eventually("the name resolves", lambda: address in space.exec("asking", "nslookup", full, check=False).out)


def test_a_pod_on_the_hosts_network_may_ask_the_clusters_names(space):
    space.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: target}, spec: {selector: {app: x}, ports: [{port: 80}]}}"
    )
    space.apply(pod("outside", FOREVER, "hostNetwork: true\n  dnsPolicy: ClusterFirstWithHostNet"))
    space.wait_ready("outside")
    name = f"target.{space.name}.svc.cluster.local"
    eventually("it resolves", lambda: space.vip("target") in space.exec("outside", "nslookup", name, check=False).out)


def test_a_mount_follows_what_the_host_mounts_later_if_it_asks_to(space):
    folder = f"/tmp/timonier-{space.name}"
    volume = f"volumes: [{{name: host, hostPath: {{path: {folder}, type: DirectoryOrCreate}}}}]"
    options = (
        "volumeMounts: [{name: host, mountPath: /follows, mountPropagation: HostToContainer}, "
        "{name: host, mountPath: /stays}]"
    )
    host = "n1"
    try:
        space.cluster.in_host(host, "mkdir", "-p", f"{folder}/late")
        space.cluster.in_host(host, "mount", "--bind", folder, folder)
        space.cluster.in_host(host, "mount", "--make-shared", folder)  # as systemd makes the mounts of a machine
        space.apply(pod("mounted", FOREVER, f"nodeSelector: {{kubernetes.io/hostname: {host}}}\n  {volume}", options))
        space.wait_ready("mounted")
        space.cluster.in_host(host, "mount", "-t", "tmpfs", "tmpfs", f"{folder}/late")
        space.cluster.in_host(host, "touch", f"{folder}/late/file")
        assert space.exec("mounted", "ls", "/follows/late").out == "file\n"
        assert space.exec("mounted", "ls", "/stays/late").out == ""
    finally:
        space.cluster.in_host(host, "umount", f"{folder}/late", check=False)
        space.tim("delete pod", "mounted", check=False)
        space.cluster.in_host(host, "umount", folder, check=False)
        space.cluster.in_host(host, "rm", "-rf", folder)


def test_a_pod_is_ready_once_its_gates_are_open(space):
    space.apply(pod("gated", FOREVER, "readinessGates: [{conditionType: example.com/open}]"))
    space.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: gated}, spec: {selector: {app: gated}, ports: [{port: 80}]}}"
    )
    found = space.wait_pod("gated", lambda pod: condition(pod, "ContainersReady") == "True", "runs")
    assert condition(found, "Ready") == "False"
    assert space.endpoints("gated") == []

    def set_gate(status: str) -> None:
        tree = space.pod("gated")
        others = [each for each in tree["status"]["conditions"] if each["type"] != "example.com/open"]
        tree["status"]["conditions"] = [*others, {"type": "example.com/open", "status": status}]
        space.cluster.call(space.cluster.client.update_status(tree))

    eventually("the gate is set", lambda: set_gate("True") is None)
    space.wait_ready("gated")
    assert len(space.wait_endpoints("gated", 1)) == 1
    eventually("the gate is set", lambda: set_gate("False") is None)
    space.wait_pod("gated", lambda pod: condition(pod, "Ready") == "False", "is not ready any more")
    assert container_status(space.pod("gated"))["ready"]
    assert condition(space.pod("gated"), "example.com/open") == "False"
    space.wait_endpoints("gated", 0)
