"""Python clients of Kubernetes, unmodified, against a real cluster: the calls that docs/clients.md lists."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import kubernetes_asyncio
import lightkube
import pytest
from kubernetes import client, config, dynamic, stream, watch
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod

from tests.e2e.cluster import Space
from tests.e2e.test_pods import FOREVER, pod
from tests.waiting import DEADLINE_SECONDS, wait_until

pytestmark = [
    # Clients leave connections to the garbage collector, which the tests therefore call.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
SECONDS = int(DEADLINE_SECONDS)


@pytest.fixture
def api(space: Space):
    with config.new_client_from_config(str(space.cluster.lab.admin_conf)) as api:
        yield api
        api.rest_client.pool_manager.clear()
    gc.collect()


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"set": "a"}), data=data)


def test_the_official_client_watches_from_where_it_listed_and_goes_on_from_where_it_was(api, space):
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(space.name, config_map("a", k="1"))
    start = core.list_namespaced_config_map(space.name, label_selector="set=a").metadata.resource_version
    core.patch_namespaced_config_map("a", space.name, {"data": {"k": "2"}})
    core.patch_namespaced_config_map("a", space.name, [{"op": "replace", "path": "/data/k", "value": "3"}])
    core.delete_namespaced_config_map("a", space.name)

    def seen(since, count):
        events = watch.Watch().stream(
            core.list_namespaced_config_map,
            space.name,
            label_selector="set=a",
            resource_version=since,
            timeout_seconds=SECONDS,
        )
        found = []
        for event in events:
            found.append(event)
            if len(found) == count:
                break
        events.close()
        return [(each["type"], each["object"].data["k"], each["object"].metadata.resource_version) for each in found]

    first = seen(start, 1)
    assert first[0][:2] == ("MODIFIED", "2")
    assert [each[:2] for each in seen(first[0][2], 2)] == [("MODIFIED", "3"), ("DELETED", "3")]


def test_the_official_client_applies_runs_programs_and_follows_a_log(api, space, tmp_path):
    cluster = dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery.json"))
    applied = cluster.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": {"k": "1"}}
    assert applied.server_side_apply(body=body, namespace=space.name, field_manager="one").data.k == "1"
    with pytest.raises(dynamic.exceptions.ConflictError, match="one"):
        applied.server_side_apply(body={**body, "data": {"k": "2"}}, namespace=space.name, field_manager="two")
    space.apply(pod("shell", f"echo first; {FOREVER}"))
    space.wait_ready("shell")
    core = client.CoreV1Api(api)
    said = stream.stream(
        core.connect_get_namespaced_pod_exec,
        "shell",
        space.name,
        command=["sh", "-c", "echo out; echo err >&2; exit 3"],
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    said.run_forever(timeout=SECONDS)
    assert (said.read_stdout(), said.read_stderr(), said.returncode) == ("out\n", "err\n", 3)
    lines = core.read_namespaced_pod_log("shell", space.name, follow=True, _preload_content=False)
    assert next(iter(lines)).startswith(b"first")
    lines.close()


def test_the_official_client_elects_a_leader_by_a_lease(api, space):
    led = threading.Event()

    class UntilLed(LeaseLock):
        """Ends the recipe, which else renews for ever."""

        def get(self, *names):
            if led.is_set():
                raise SystemExit
            return super().get(*names)

    def elect():
        lock = UntilLed("turn", space.name, "me")
        settings = electionconfig.Config(
            lock, lease_duration=5, renew_deadline=3, retry_period=1, onstarted_leading=led.set, onstopped_leading=None
        )
        with contextlib.suppress(SystemExit):
            leaderelection.LeaderElection(settings).run()

    config.load_kube_config(str(space.cluster.lab.admin_conf))
    thread = threading.Thread(target=elect, daemon=True)
    thread.start()
    assert led.wait(DEADLINE_SECONDS)
    assert client.CoordinationV1Api(api).read_namespaced_lease("turn", space.name).spec.holder_identity == "me"
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


async def test_the_asynchronous_client_creates_watches_patches_and_deletes(space):
    settings = kubernetes_asyncio.client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(str(space.cluster.lab.admin_conf), client_configuration=settings)
    async with kubernetes_asyncio.client.ApiClient(settings) as api, asyncio.timeout(DEADLINE_SECONDS):
        core = kubernetes_asyncio.client.CoreV1Api(api)
        body = {"metadata": {"name": "a"}, "data": {"k": "1"}}
        made = await core.create_namespaced_config_map(space.name, body)
        patched = await core.patch_namespaced_config_map("a", space.name, {"data": {"k": "2"}})
        assert patched.data == {"k": "2"}
        listed = await core.list_namespaced_config_map(space.name, field_selector="metadata.name=a", limit=1)
        assert [each.metadata.uid for each in listed.items] == [made.metadata.uid]
        await core.delete_namespaced_config_map("a", space.name)
        watching = kubernetes_asyncio.watch.Watch()
        kinds = []
        async with watching:
            async for event in watching.stream(
                core.list_namespaced_config_map, space.name, resource_version=made.metadata.resource_version
            ):
                if event["object"].metadata.name == "a":
                    kinds.append(event["type"])
                if event["type"] == "DELETED":
                    break
        assert kinds == ["MODIFIED", "DELETED"]
        with pytest.raises(kubernetes_asyncio.client.ApiException) as caught:
            await core.read_namespaced_config_map("a", space.name)
        assert caught.value.status == 404
    gc.collect()


def test_lightkube_applies_scales_waits_and_reads_logs(space):
    settings = lightkube.KubeConfig.from_file(str(space.cluster.lab.admin_conf))
    api = lightkube.Client(config=settings.get(), namespace=space.name, field_manager="light")
    made = api.apply(ConfigMap(metadata=ObjectMeta(name="a"), data={"k": "1"}))
    assert made.metadata.managedFields[0].manager == "light"
    assert api.patch(ConfigMap, "a", {"data": {"k": "2"}}).data == {"k": "2"}
    assert [each.metadata.name for each in api.list(ConfigMap, fields={"metadata.name": "a"})] == ["a"]
    space.apply(pod("one", f"echo said; {FOREVER}"))
    api.wait(Pod, "one", for_conditions=["Ready"])
    assert wait_until(lambda: list(api.log("one"))) == ["said\n"]
    with pytest.raises(lightkube.ApiError) as caught:
        api.get(Deployment, "absent")
    assert (caught.value.status.code, caught.value.status.reason) == (404, "NotFound")
    events = api.watch(ConfigMap, resource_version=made.metadata.resourceVersion)
    kind, found = next(each for each in events if each[1].metadata.name == "a")
    assert (kind, found.data) == ("MODIFIED", {"k": "2"})
    api.delete(ConfigMap, "a")
    api.close()
    gc.collect()
