"""The official Python client, unmodified, against the Kubernetes-compatible API: every verb that it knows."""

from __future__ import annotations

import asyncio
import gc
from contextlib import contextmanager

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from api.v1 import apiserver_pb2 as pb
from tests.api_server import NoStreams, config_map, pod
from tests.rest_server import serving_rest
from tests.waiting import DEADLINE_SECONDS

pytestmark = [
    pytest.mark.slow,
    # The client leaves connections to the garbage collector, which the fixture therefore calls.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Shell(NoStreams):
    """Prints the command on both outputs and ends."""

    async def exec(self, frames):
        command = " ".join((await anext(frames)).exec.command).encode()
        yield pb.StreamFrame(stdout=command)
        yield pb.StreamFrame(stderr=b"!")
        yield pb.StreamFrame(exit_code=2)


@pytest.fixture
async def run(tmp_path):
    """Runs a function of an ApiClient in a thread, while the server's loop goes on."""
    async with serving_rest(tmp_path, Shell()) as rest:
        path = str(rest.kubeconfig())

        def with_client(function):
            with config.new_client_from_config(path) as api:
                try:
                    return function(api)
                finally:
                    api.rest_client.pool_manager.clear()

        async def run(function):
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await asyncio.to_thread(with_client, function)

        yield run
        gc.collect()


@contextmanager
def refused(status, reason):
    with pytest.raises(ApiException) as caught:
        yield
    assert caught.value.status == status
    assert f'"reason":"{reason}"' in caught.value.body


def deployment(name):
    labels = {"app": name}
    container = client.V1Container(name="main", image="app:1", ports=[client.V1ContainerPort(container_port=80)])
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=template)
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name, labels=labels), spec=spec)


async def test_objects_are_created_read_changed_and_deleted(run):
    def calls(api):
        core = client.CoreV1Api(api)
        made = core.create_namespaced_config_map("default", client.V1ConfigMap(metadata={"name": "a"}, data={"k": "1"}))
        assert made.metadata.uid
        made.data["k"] = "2"
        assert core.replace_namespaced_config_map("a", "default", made).data == {"k": "2"}
        with refused(409, "Conflict"):
            core.replace_namespaced_config_map("a", "default", made)
        assert core.patch_namespaced_config_map("a", "default", {"data": {"l": "3"}}).data == {"k": "2", "l": "3"}
        steps = [{"op": "remove", "path": "/data/k"}]
        assert core.patch_namespaced_config_map("a", "default", steps).data == {"l": "3"}
        assert [
            each.metadata.name for each in core.list_namespaced_config_map("default", label_selector="x").items
        ] == []
        deleted = core.delete_namespaced_config_map("a", "default", body=client.V1DeleteOptions(grace_period_seconds=0))
        assert deleted["status"] == "Success"
        with refused(404, "NotFound"):
            core.read_namespaced_config_map("a", "default")

    await run(calls)


async def test_a_deployment_with_its_status_and_scale(run):
    def calls(api):
        apps = client.AppsV1Api(api)
        apps.create_namespaced_deployment("default", deployment("web"))
        found = apps.list_deployment_for_all_namespaces(label_selector="app=web").items
        assert [each.spec.strategy.rolling_update.max_surge for each in found] == ["25%"]
        scale = apps.read_namespaced_deployment_scale("web", "default")
        scale.spec.replicas = 4
        assert apps.replace_namespaced_deployment_scale("web", "default", scale).spec.replicas == 4
        assert apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 5}}).spec.replicas == 5
        status = apps.patch_namespaced_deployment_status("web", "default", {"status": {"replicas": 5}})
        assert (status.status.replicas, status.spec.replicas) == (5, 5)
        apps.patch_namespaced_deployment(
            "web", "default", {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "app:2"}]}}}}
        )
        container = apps.read_namespaced_deployment("web", "default").spec.template.spec.containers[0]
        assert (container.image, container.ports[0].container_port) == ("app:2", 80)
        apps.delete_collection_namespaced_deployment("default", label_selector="app=web")
        assert apps.list_namespaced_deployment("default").items == []

    await run(calls)


async def test_pages_watches_and_dry_runs(run):
    def calls(api):
        core = client.CoreV1Api(api)
        for name in "abc":
            core.create_namespaced_config_map("default", config_map(name, labels={"page": "yes"}))
        first = core.list_namespaced_config_map("default", label_selector="page=yes", limit=2)
        rest = core.list_namespaced_config_map("default", label_selector="page=yes", _continue=first.metadata._continue)
        assert [each.metadata.name for each in (*first.items, *rest.items)] == ["a", "b", "c"]
        core.create_namespaced_config_map("default", config_map("d"), dry_run="All")
        version = rest.metadata.resource_version
        core.delete_namespaced_config_map("b", "default")
        watcher, seen = watch.Watch(), []
        for event in watcher.stream(
            core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=30
        ):
            seen.append((event["type"], event["object"].metadata.name))
            watcher.stop()
        assert seen == [("DELETED", "b")]

    await run(calls)


async def test_pods_with_their_logs_commands_and_evictions(run):
    def calls(api):
        core = client.CoreV1Api(api)
        core.create_namespaced_pod("default", pod("a"))
        assert core.read_namespaced_pod_log("a", "default", tail_lines=1) == "log of default/a\n"
        with refused(422, "Invalid"):
            core.create_namespaced_pod("default", pod("b", restartPolicy="Sometimes"))
        core.create_namespaced_pod_eviction("a", "default", client.V1Eviction(metadata={"name": "a"}))
        with refused(404, "NotFound"):
            core.read_namespaced_pod("a", "default")
        core.create_namespaced_pod("default", pod("c"))
        command = stream(
            core.connect_get_namespaced_pod_exec,
            "c",
            "default",
            command=["ls", "/"],
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        command.run_forever(timeout=30)
        assert (command.read_stdout(timeout=1), command.read_stderr(timeout=1), command.returncode) == ("ls /", "!", 2)
        command.close()

    await run(calls)


async def test_kinds_are_discovered_and_applied_by_the_dynamic_client(run, tmp_path):
    def calls(api):
        found = dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery.json"))
        maps = found.resources.get(api_version="v1", kind="ConfigMap")
        applied = maps.server_side_apply(config_map("a", {"k": "1"}), name="a", namespace="default", field_manager="me")
        assert applied.metadata.managedFields[0].manager == "me"
        assert found.resources.get(api_version="apps/v1", kind="Deployment").name == "deployments"
        assert client.VersionApi(api).get_code().git_version.startswith("v1.")
        groups = client.ApisApi(api).get_api_versions().groups
        assert "apps" in [group.name for group in groups]

    await run(calls)
