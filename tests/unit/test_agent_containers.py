"""From a container of a pod to what the runtime is asked for, and the files every pod has."""

from __future__ import annotations

import msgspec
import pytest

from agent.container_plan import container_spec, resource_limits
from agent.environment import ConfigError
from agent.pod_files import hostname, hosts, resolv_conf
from agent.pod_steps import default_pull_policy
from agent.runtime.protocol import Image
from agent.stop_signal import stop_signal
from api.core import Container, Pod
from tests.agent_pods import SANDBOX, container, pod

CAPACITY = 8 << 30


def planned(spec=None, image_user="", **container):
    of = pod(containers=[{"name": "main", "image": "x", **container}], **(spec or {}))
    return container_spec(
        of,
        of.spec.containers[0],
        attempt=2,
        image=Image("img", (), 0, image_user),
        sandbox=SANDBOX,
        variables={"A": "1"},
        mounts=(),
        log_path="/log",
        cgroup_root="/timonier/",
        memory_capacity_bytes=CAPACITY,
    )


def test_identity_and_places():
    found = planned()
    assert (found.pod_uid, found.pod_name, found.name, found.attempt) == ("uid-web", "web", "main", 2)
    assert (found.image, found.log_path, found.cgroup_parent) == ("img", "/log", "/timonier/poduid-web")
    assert (found.command, found.args) == (None, None)


def test_commands_are_expanded():
    found = planned(command=["run", "$(A)"], args=["$(B)", "$$(A)"])
    assert found.command == ("run", "1")
    assert found.args == ("$(B)", "$(A)")


@pytest.mark.parametrize(
    ("context", "pod_context", "user"),
    [
        ({}, {}, ""),
        ({"runAsUser": 5}, {"runAsUser": 6}, "5"),
        ({}, {"runAsUser": 6, "runAsGroup": 7}, "6:7"),
        ({"runAsUser": 0}, {}, "0"),
    ],
)
def test_users(context, pod_context, user):
    assert planned({"securityContext": pod_context}, securityContext=context).user == user


def test_root_is_refused_where_it_must_not_be():
    with pytest.raises(ConfigError, match="non-root"):
        planned(securityContext={"runAsNonRoot": True, "runAsUser": 0})


@pytest.mark.parametrize(
    ("image_user", "problem"),
    [
        ("", "image will run as root"),
        ("0", "image will run as root"),
        ("0:5", "image will run as root"),
        ("web", r"non-numeric user \(web\)"),
    ],
)
def test_an_image_must_say_by_number_that_it_does_not_run_as_root_where_root_is_refused(image_user, problem):
    with pytest.raises(ConfigError, match=problem):
        planned(image_user=image_user, securityContext={"runAsNonRoot": True})
    assert planned(image_user=image_user, securityContext={"runAsNonRoot": True, "runAsUser": 7}).user == "7"
    assert planned(image_user="65532:0", spec={"securityContext": {"runAsNonRoot": True}}).user == ""


def test_privileges():
    context = {
        "privileged": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
    }
    found = planned({"securityContext": {"fsGroup": 9, "supplementalGroups": [8]}}, securityContext=context)
    assert (found.privileged, found.read_only_root, found.no_new_privileges) == (True, True, True)
    assert (found.cap_add, found.cap_drop, found.groups) == (("NET_ADMIN",), ("ALL",), ("8", "9"))


@pytest.mark.parametrize(
    ("resources", "score"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, -997),
        ({}, 1000),
        ({"requests": {"memory": "4Gi"}}, 500),
        ({"requests": {"memory": "8Gi"}}, 3),
        ({"requests": {"cpu": "1"}}, 999),
    ],
)
def test_who_goes_first_when_memory_runs_out(resources, score):
    of = pod(containers=[{"name": "main", "image": "x", "resources": resources}])
    assert resource_limits(of, of.spec.containers[0], CAPACITY).oom_score_adj == score


def test_limits_are_enforced_and_requests_default_to_them():
    of = pod(containers=[{"name": "main", "image": "x", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}}}])
    found = resource_limits(of, of.spec.containers[0], CAPACITY)
    assert (found.cpu_limit_millicores, found.cpu_request_millicores) == (1500, 1500)
    assert found.memory_limit_bytes == 64 << 20


@pytest.mark.parametrize(
    ("reference", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_the_pull_policy_that_an_image_implies(reference, policy):
    assert default_pull_policy(reference) == policy


@pytest.mark.parametrize(
    ("name", "of_image", "number"),
    [(None, 0, 15), (None, 3, 3), ("SIGUSR1", 3, 10), ("SIGRTMIN+3", 0, 37), ("SIGNONSENSE", 0, 15)],
)
def test_stop_signals(name, of_image, number):
    lifecycle = {"stopSignal": name} if name else {}
    spec = msgspec.convert({"name": "main", "lifecycle": lifecycle}, Container)
    assert stop_signal(spec, container(stop_signal=of_image)) == number
    assert stop_signal(None, None) == 15


# The pod's files.


def test_host_names_are_cut_to_a_label():
    assert hostname(pod(hostname="db")) == "db"
    long = msgspec.convert({"metadata": {"name": "a" * 62 + "-tail"}}, Pod)
    assert hostname(long) == "a" * 62


def test_the_hosts_file():
    text = hosts(pod(), "10.244.1.2", "", "cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert text.endswith("\n10.244.1.2\tweb\n")


def test_a_subdomain_gives_the_full_name():
    text = hosts(pod(hostname="db-0", subdomain="db"), "10.244.1.2", "", "cluster.local")
    assert "10.244.1.2\tdb-0.db.default.svc.cluster.local\tdb-0\n" in text


def test_host_aliases_stand_at_the_end():
    of = pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    assert hosts(of, "10.244.1.2", "", "c").endswith("\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_on_the_hosts_network_the_hosts_own_file_is_shown():
    text = hosts(pod(hostNetwork=True), "", "127.0.0.1 localhost node\n", "c")
    assert text == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost node\n"


CLUSTER, HOST = "nameserver 169.254.20.10\nsearch a.svc b\noptions ndots:5\n", "nameserver 1.1.1.1\n"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, HOST),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "Default"}, HOST),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"]}}, "nameserver 9.9.9.9\n"),
    ],
)
def test_dns_policies(spec, wanted):
    assert resolv_conf(pod(**spec), CLUSTER, HOST) == wanted


def test_own_dns_settings_are_added_and_replace_options():
    config = {
        "nameservers": ["8.8.8.8"],
        "searches": ["b", "c"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert resolv_conf(pod(dnsConfig=config), CLUSTER, HOST) == (
        "nameserver 169.254.20.10\nnameserver 8.8.8.8\nsearch a.svc b c\noptions ndots:2 edns0\n"
    )
