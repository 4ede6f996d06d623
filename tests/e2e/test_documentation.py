"""The manifests of the Kubernetes documentation do here what the documentation says."""

from __future__ import annotations

from tests.e2e.cluster import Cluster, condition, container_status, eventually


def test_deployment_runs_three_ready_replicas_through_one_replica_set(docs):
    docs.tim("rollout status", "deployment/nginx-deployment", "--timeout", "60s")
    deployment = docs.get("deployments.apps", "nginx-deployment")
    status = {name: deployment["status"].get(name) for name in ("replicas", "readyReplicas", "availableReplicas")}
    assert status == {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    assert condition(deployment, "Available") == condition(deployment, "Progressing") == "True"
    (replica_set,) = [
        each
        for each in docs.cluster.list("replicasets.apps", docs.name, "app=nginx")
        if each["metadata"]["ownerReferences"][0]["name"] == "nginx-deployment"
    ]
    pods = docs.pods("app=nginx")
    assert all(pod["metadata"]["name"].startswith(replica_set["metadata"]["name"] + "-") for pod in pods)
    assert all("pod-template-hash" in pod["metadata"]["labels"] for pod in pods)


def test_replica_set_runs_three_pods_spread_over_the_nodes(docs):
    pods = docs.wait_pods("tier=frontend", 3)
    assert len({pod["spec"]["nodeName"] for pod in pods}) > 1


def test_service_reaches_a_pod_by_the_name_of_its_port(docs):
    docs.wait_ready("nginx")
    docs.wait_ready("dapi-envars-fieldref")
    docs.wait_endpoints("nginx-service", 1)

    def answer() -> str:
        return docs.exec("dapi-envars-fieldref", "wget", "-qO-", "http://nginx-service", check=False).out

    eventually("it answers on the pod's node", lambda: "Welcome to nginx!" in answer())


def test_config_map_comes_as_variables_and_as_files(docs):
    docs.wait_ready("configmap-demo-pod")
    shown = docs.exec("configmap-demo-pod", "sh", "-c", "echo $PLAYER_INITIAL_LIVES $UI_PROPERTIES_FILE_NAME").out
    assert shown == "3 user-interface.properties\n"
    assert docs.exec("configmap-demo-pod", "ls", "/config").out.split() == [
        "game.properties",
        "user-interface.properties",
    ]
    content = docs.exec("configmap-demo-pod", "cat", "/config/game.properties").out
    assert content == "enemy.types=aliens,monsters\nplayer.maximum-lives=5\n"


def test_config_map_gives_all_its_keys_to_the_environment(docs):
    docs.wait_phase("dapi-test-pod", "Succeeded")
    assert {"SPECIAL_LEVEL=very", "SPECIAL_TYPE=charm"} <= set(docs.logs("dapi-test-pod").splitlines())


def test_secret_comes_as_files_in_memory_and_as_variables(docs):
    docs.wait_ready("secret-test-pod")
    docs.wait_ready("envfrom-secret")
    assert docs.exec("secret-test-pod", "ls", "/etc/secret-volume").out.split() == ["password", "username"]
    assert docs.exec("secret-test-pod", "cat", "/etc/secret-volume/password").out == "39528$vdg7Jb"
    assert docs.exec("secret-test-pod", "stat", "-f", "-c", "%T", "/etc/secret-volume").out.strip() == "tmpfs"
    assert docs.exec("envfrom-secret", "sh", "-c", "echo $username").out == "my-app\n"
    assert docs.exec("secret-test-pod", "touch", "/etc/secret-volume/x", check=False).code == 1


def test_a_sidecar_ships_the_log_of_the_container_it_serves(docs):
    docs.tim("rollout status", "deployment/myapp", "--timeout", "60s")
    eventually("the log is shipped", lambda: "logging" in docs.logs("deployment/myapp", "-c", "logshipper"))
    line = next(each for each in docs.tim("get pods").out.splitlines() if each.startswith("myapp-"))
    assert line.split()[1:3] == ["2/2", "Running"]


def test_two_containers_share_a_volume_and_localhost(docs):
    pod = docs.wait_pod(
        "two-containers",
        lambda pod: "terminated" in container_status(pod, "debian-container").get("state", {}),
        "wrote",
    )
    assert container_status(pod, "debian-container")["state"]["terminated"]["reason"] == "Completed"
    docs.wait_pod(
        "two-containers", lambda pod: "running" in container_status(pod, "nginx-container")["state"], "serves"
    )

    def answer() -> str:
        words = ("wget", "-qO-", "http://localhost")
        return docs.exec("two-containers", *words, container="nginx-container", check=False).out

    eventually("the other container's text is served", lambda: answer() == "Hello from the debian container\n")


def test_pod_learns_its_own_fields(docs):
    pod = docs.wait_ready("dapi-envars-fieldref")
    wanted = [
        pod["spec"]["nodeName"],
        "dapi-envars-fieldref",
        docs.name,
        pod["status"]["podIP"],
        "default",
    ]
    eventually("the fields are printed", lambda: docs.logs("dapi-envars-fieldref").split()[:5] == wanted)


def test_limits_stand_in_the_cgroups_of_the_containers(docs):
    pod = docs.wait_ready("frontend")
    assert pod["status"]["qosClass"] == "Burstable"
    host = pod["spec"]["nodeName"]
    for name, container in docs.cluster.containers(host).items():
        if not name.startswith(pod["metadata"]["uid"]):
            continue
        path = docs.cluster.in_host(host, "cat", f"/proc/{container['Pid']}/cgroup").out
        assert memory_limit(docs.cluster, host, path) == 128 << 20
        assert cpu_limit(docs.cluster, host, path) == 0.5


def test_log_of_the_counter_is_followed_and_cut(docs):
    docs.wait_ready("counter")
    eventually("two lines", lambda: len(docs.logs("counter").splitlines()) >= 2)
    lines = docs.logs("counter").splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["0", "1"]
    assert len(docs.logs("counter", "--tail=1").splitlines()) == 1


def memory_limit(cluster: Cluster, host: str, path: str) -> int:
    """The memory limit in bytes of a process, from its /proc/PID/cgroup."""
    for line in path.splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "memory":
            return int(cluster.in_host(host, "cat", f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes").out)
        if not controllers and len(path.splitlines()) == 1:
            return int(cluster.in_host(host, "cat", f"/sys/fs/cgroup{group}/memory.max").out)
    raise AssertionError(path)


def cpu_limit(cluster: Cluster, host: str, path: str) -> float:
    """The CPUs that a process may use."""
    for line in path.splitlines():
        _, controllers, group = line.split(":", 2)
        if "cpu" in controllers.split(","):
            folder = f"/sys/fs/cgroup/cpu{group}"
            quota, period = (
                int(cluster.in_host(host, "cat", f"{folder}/cpu.cfs_{name}_us").out) for name in ("quota", "period")
            )
            return quota / period
        if not controllers and len(path.splitlines()) == 1:
            quota_text, period_text = cluster.in_host(host, "cat", f"/sys/fs/cgroup{group}/cpu.max").out.split()
            return int(quota_text) / int(period_text)
    raise AssertionError(path)
