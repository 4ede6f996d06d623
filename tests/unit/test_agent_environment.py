"""Variables of containers, as the Kubernetes documentation says."""

from __future__ import annotations

import base64

import msgspec
import pytest

from agent.environment import ConfigError, Sources, container_environment, expand
from api.core import ConfigMap, Container, Secret, Service
from tests.agent_pods import pod


def config_map(**data):
    return ConfigMap(data=data)


def secret(**data):
    return Secret(data={key: base64.b64encode(value.encode()).decode() for key, value in data.items()})


def service(name, address, *ports, namespace="default"):
    tree = {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "ports": [{"name": n, "port": p} if n else {"port": p} for n, p in ports]},
    }
    return msgspec.convert(tree, Service)


def container(**fields):
    return msgspec.convert({"name": "main", "image": "x", **fields}, Container)


def variables(of=None, sources=None, spec=None, **fields):
    return dict(container_environment(of or pod(**(spec or {})), container(**fields), sources or Sources()).variables)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NONE)", "$(NONE)"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("$", "$"),
    ],
)
def test_expansion(text, wanted):
    assert expand(text, {"A": "1", "B": "2"}) == wanted


def test_later_variables_may_use_earlier_ones_only():
    env = [{"name": "B", "value": "$(A)"}, {"name": "A", "value": "1"}, {"name": "C", "value": "$(A)"}]
    assert variables(env=env) == {"B": "$(A)", "A": "1", "C": "1"}


def test_a_service_gives_the_variables_of_the_documentation():
    found = variables(sources=Sources(services=[service("redis-primary", "10.0.0.11", ("", 6379))]))
    assert found == {
        "REDIS_PRIMARY_SERVICE_HOST": "10.0.0.11",
        "REDIS_PRIMARY_SERVICE_PORT": "6379",
        "REDIS_PRIMARY_PORT": "tcp://10.0.0.11:6379",
        "REDIS_PRIMARY_PORT_6379_TCP": "tcp://10.0.0.11:6379",
        "REDIS_PRIMARY_PORT_6379_TCP_PROTO": "tcp",
        "REDIS_PRIMARY_PORT_6379_TCP_PORT": "6379",
        "REDIS_PRIMARY_PORT_6379_TCP_ADDR": "10.0.0.11",
    }


def test_named_ports_have_variables_of_their_own():
    found = variables(sources=Sources(services=[service("web", "10.0.0.1", ("http-alt", 80), ("x", 81))]))
    assert found["WEB_SERVICE_PORT"] == "80"
    assert found["WEB_SERVICE_PORT_HTTP_ALT"] == "80"
    assert found["WEB_SERVICE_PORT_X"] == "81"


def test_headless_services_and_those_of_other_namespaces_give_none():
    others = [service("a", "None", ("", 1)), service("b", "10.0.0.2", ("", 1), namespace="other")]
    assert variables(sources=Sources(services=others)) == {}


def test_without_links_only_the_api_is_there():
    services = [service("web", "10.0.0.1", ("", 80)), service("kubernetes", "10.96.0.1", ("https", 443))]
    found = variables(sources=Sources(services=services), spec={"enableServiceLinks": False})
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert not [name for name in found if name.startswith("WEB_")]


def test_env_wins_over_env_from_and_both_over_services():
    sources = Sources(
        config_maps={"cm": config_map(A="map", B="map")},
        services=[service("x", "10.0.0.1", ("", 80))],
    )
    found = variables(
        sources=sources,
        envFrom=[{"configMapRef": {"name": "cm"}}],
        env=[{"name": "A", "value": "own"}, {"name": "X_SERVICE_HOST", "value": "mine"}],
    )
    assert (found["A"], found["B"], found["X_SERVICE_HOST"]) == ("own", "map", "mine")


def test_keys_that_are_no_names_are_skipped_and_told():
    sources = Sources(config_maps={"cm": config_map(**{"good": "1", "b=d": "2"})})
    found = container_environment(pod(), container(envFrom=[{"configMapRef": {"name": "cm"}}]), sources)
    assert found.variables == {"good": "1"}
    assert found.skipped == ("ConfigMap default/cm: b=d",)


def test_secrets_are_decoded():
    ref = {"secretKeyRef": {"name": "s", "key": "k"}}
    assert variables(sources=Sources(secrets={"s": secret(k="v")}), env=[{"name": "A", "valueFrom": ref}]) == {"A": "v"}


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "k"}}, "couldn't find key k in ConfigMap default/cm"),
        ({"fieldRef": {"fieldPath": "spec.nope"}}, "field 'spec.nope' cannot be used"),
    ],
)
def test_what_is_missing_is_told(ref, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        variables(sources=Sources(config_maps={"cm": config_map(a="1")}), env=[{"name": "A", "valueFrom": ref}])


def test_what_is_optional_may_be_missing():
    env = [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": True}}},
    ]
    env_from = [{"configMapRef": {"name": "none", "optional": True}}, {"secretRef": {"name": "x", "optional": True}}]
    assert variables(env=env, envFrom=env_from) == {}


def test_a_missing_env_from_is_told():
    with pytest.raises(ConfigError, match='secret "none" not found'):
        variables(envFrom=[{"secretRef": {"name": "none"}}])


def test_fields_of_the_pod_and_its_node():
    paths = ["metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.hostIP", "status.podIP"]
    env = [{"name": f"F{n}", "valueFrom": {"fieldRef": {"fieldPath": path}}} for n, path in enumerate(paths)]
    env.append({"name": "SA", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}})
    found = variables(env=env, sources=Sources(node_name="n1", host_ip="10.0.0.1", pod_ip="10.244.1.2"))
    wanted = ["web", "default", "uid-web", "n1", "10.0.0.1", "10.244.1.2", "default"]
    assert list(found.values()) == wanted


@pytest.mark.parametrize(
    ("resource", "divisor", "wanted"),
    [
        ("limits.cpu", None, "1"),
        ("limits.cpu", "1m", "500"),
        ("limits.memory", "1Mi", "64"),
        ("requests.cpu", "1m", "250"),
        ("requests.memory", None, "0"),
        ("limits.ephemeral-storage", None, "1000"),
    ],
)
def test_resources_are_divided_and_rounded_up(resource, divisor, wanted):
    ref = {"resource": resource} | ({"divisor": divisor} if divisor else {})
    found = variables(
        resources={"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}},
        env=[{"name": "R", "valueFrom": {"resourceFieldRef": ref}}],
        sources=Sources(allocatable={"ephemeral-storage": 1000}),
    )
    assert found == {"R": wanted}


def test_a_missing_limit_reads_as_the_nodes():
    env = [{"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]
    assert variables(env=env, sources=Sources(allocatable={"cpu": 3500})) == {"R": "4"}


def test_a_resource_of_a_container_that_is_not_there_is_an_error():
    ref = {"containerName": "other", "resource": "limits.cpu"}
    with pytest.raises(ConfigError, match="variable 'R' names container 'other': the pod has none"):
        variables(env=[{"name": "R", "valueFrom": {"resourceFieldRef": ref}}])
