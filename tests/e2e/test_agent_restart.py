"""Killing a node's agent, or its Podman service, under load: containers go on as if nothing had happened."""

from __future__ import annotations

from contextlib import ExitStack

from tests.e2e.cluster import Space, condition, container_status, eventually, restarts, tell
from tests.e2e.test_pods import FOREVER
from tests.e2e.test_rollouts import web

__all__ = ["web"]


def container_starts(space: Space) -> dict[str, tuple[int, str]]:
    """Pid and kernel start time of each running container of a namespace, by name."""
    cluster, found = space.cluster, {}
    uids = {pod["metadata"]["uid"] for pod in space.pods()}
    for host in ("n1", "n2", "n3"):
        for name, container in cluster.containers(host).items():
            if container["State"] == "running" and name.partition("_")[0] in uids:
                stat = cluster.in_host(host, "cat", f"/proc/{container['Pid']}/stat").out
                found[name] = (container["Pid"], stat.rsplit(")", 1)[1].split()[19])
    return found


def test_containers_keep_pids_and_start_times_when_an_agent_is_killed_under_load(web):
    cluster = web.cluster
    before = container_starts(web)
    assert len(before) == 4
    with ExitStack() as stack:
        sources = {"pod": web.pod("client"), "host": "n2", "machine": ""}
        loads = [stack.enter_context(cluster.load(source, web.vip("web"))) for source in sources.values()]
        for pod in web.pods("app=web"):
            host, name = pod["spec"]["nodeName"], pod["metadata"]["name"]
            old = cluster.processes(host)["agent"]
            cluster.kill(host, "agent")
            eventually(
                "the agent runs again", lambda host=host, old=old: cluster.processes(host)["agent"] not in {0, old}
            )
            # Through the session of the new agent.
            eventually("logs can be read", lambda name=name: web.tim("logs", name, check=False).code == 0)
    for name, load in zip(sources, loads, strict=True):
        tell(load.report(f"kill -9 of one agent after the other, from {name}"))
    assert [load.failures for load in loads] == [[], [], []]
    assert container_starts(web) == before
    assert all(restarts(pod) == 0 for pod in web.pods())


def test_containers_keep_pids_and_start_times_when_all_agents_are_killed_at_once_three_times(web):
    cluster = web.cluster
    before = container_starts(web)
    with ExitStack() as stack:
        sources = {"pod": web.pod("client"), "host": "n2"}
        loads = [stack.enter_context(cluster.load(source, web.vip("web"))) for source in sources.values()]
        for _ in range(3):
            old = {host: cluster.processes(host)["agent"] for host in ("n1", "n2", "n3")}
            for host in old:
                cluster.kill(host, "agent")
            eventually(
                "the agents run again",
                lambda old=old: all(cluster.processes(host)["agent"] not in {0, old[host]} for host in old),
            )
            web.wait_pods("app=web", 3)
            counts = [load.total() for load in loads]
            eventually(
                "requests",
                lambda counts=counts: all(load.total() > n + 50 for load, n in zip(loads, counts, strict=True)),
            )
    for name, load in zip(sources, loads, strict=True):
        tell(load.report(f"kill -9 of all agents at once, three times, from {name}"))
    assert [load.failures for load in loads] == [[], []]
    assert container_starts(web) == before
    assert all(restarts(pod) == 0 for pod in web.pods())


STAGED = """
apiVersion: v1
kind: Pod
metadata: {name: staged}
spec:
  terminationGracePeriodSeconds: 2
  initContainers:
    - {name: first, image: "localhost/busybox:1", command: [sh, -c, "echo first >> /stage/steps"], volumeMounts: &work [{name: work, mountPath: /stage}]}
    - {name: side, image: "localhost/busybox:1", command: [sh, -c, "echo side >> /stage/steps; FOREVER"], restartPolicy: Always, volumeMounts: *work}
    - {name: second, image: "localhost/busybox:1", command: [sh, -c, "until [ -e /stage/go ]; do sleep 0.1; done; echo second >> /stage/steps"], volumeMounts: *work}
  containers:
    - {name: main, image: "localhost/busybox:1", command: [sh, -c, "echo main >> /stage/steps; FOREVER"], volumeMounts: *work}
  volumes: [{name: work, emptyDir: {}}]
""".replace("FOREVER", FOREVER)


def test_an_agent_that_is_killed_between_init_containers_goes_on_where_it_was(space):
    cluster = space.cluster
    space.apply(STAGED)
    pod = space.wait_pod("staged", lambda pod: "running" in container_status(pod, "second").get("state", {}), "waits")
    line = next(each for each in space.tim("get pods").out.splitlines() if each.startswith("staged"))
    assert line.split()[1:3] == ["1/2", "Init:2/3"]
    assert condition(pod, "Initialized") == "False"
    host, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
    old, pid = cluster.processes(host)["agent"], cluster.containers(host)[f"{uid}_side_0"]["Pid"]
    cluster.kill(host, "agent")
    cluster.in_host(host, "touch", f"/proc/{pid}/root/stage/go")
    eventually("the agent runs again", lambda: cluster.processes(host)["agent"] not in {0, old})
    pod = space.wait_ready("staged")

    def steps() -> list[str]:
        """None while the agent has not connected again: what it does goes on before."""
        return space.exec("staged", "cat", "/stage/steps", container="side", check=False).out.split()

    told = eventually("the main container has begun", lambda: found if "main" in (found := steps()) else [])
    assert told == ["first", "side", "second", "main"]
    assert [restarts(pod, name) for name in ("first", "side", "second", "main")] == [0, 0, 0, 0]
    assert container_status(pod, "second")["state"]["terminated"]["reason"] == "Completed"
    assert "Init Containers:" in space.tim("describe pod", "staged").out


def test_all_agents_may_be_away_for_long_and_services_go_on(web):
    cluster, hosts = web.cluster, ("n1", "n2", "n3")
    before = container_starts(web)
    with cluster.load("n2", web.vip("web")) as load:
        try:
            for host in hosts:
                cluster.switch(host, "agent", on=False)
            eventually("no node is Ready", lambda: not cluster.ready_nodes())
            count = load.total() + 100
            eventually("requests", lambda: load.total() > count)
        finally:
            for host in hosts:
                cluster.switch(host, "agent", on=True)
        eventually("all nodes are Ready", lambda: len(cluster.ready_nodes()) == len(hosts))
        count = load.total() + 100
        eventually("requests", lambda: load.total() > count)
    tell(load.report("all agents stopped until every node is NotReady, then started, from host"))
    assert not load.failures
    assert container_starts(web) == before
    assert all(restarts(pod) == 0 for pod in web.pods())


def test_containers_go_on_when_podman_is_killed(web):
    cluster = web.cluster
    before = container_starts(web)
    for host in ("n1", "n2", "n3"):
        cluster.kill(host, "podman")
    web.tim("scale", "deployment/web", "--replicas", "4")
    web.wait_pods("app=web", 4)
    after = container_starts(web)
    assert {name: after[name] for name in before} == before


def test_a_container_that_dies_while_the_agent_is_away_is_started_again_once(web):
    cluster = web.cluster
    pod = web.pods("app=web")[0]
    host, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
    (pid,) = [pid for name, (pid, _) in container_starts(web).items() if name.startswith(uid)]
    cluster.switch(host, "agent", on=False)
    try:
        eventually("the agent is down", lambda: cluster.processes(host)["agent"] == 0)
        cluster.in_host(host, "kill", "-9", str(pid))
    finally:
        cluster.switch(host, "agent", on=True)
    web.wait_pod(pod["metadata"]["name"], lambda pod: restarts(pod) == 1, "is restarted")
    web.wait_pods("app=web", 3)
