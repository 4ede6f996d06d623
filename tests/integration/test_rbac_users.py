"""Several users with certificates over real TLS: what each may do over gRPC and over HTTPS."""

from __future__ import annotations

from functools import partial

import pytest

from api import errors
from api.scheme import AUTHENTICATION, AUTHORIZATION, RBAC
from api.v1 import apiserver_pb2 as pb
from component.rpc_client import RpcClient
from component.rpc_failover import Replicas
from controlplane.controllers.default_roles import make_default_roles
from tests.api_server import config_map, pod, running_cluster
from tests.rbac import binding, paths, role, rule
from tests.rest_server import serving_rest
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

SHOP = "shop"
EXEC = pb.ExecStart(namespace=SHOP, pod="web", command=["true"])
LOGS = pb.LogsRequest(namespace=SHOP, pod="web")


async def populate(api):
    """A namespace with a pod, and groups that view, edit and own it."""
    await make_default_roles(api)
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP}})
    await api.create(pod("web", metadata={"namespace": SHOP}))
    for name in ("view", "edit", "admin"):  # gathered by hand: no controller runs here
        tree = (await api.get(f"clusterroles.{RBAC}", "", name)).tree()
        parts = {"view": ["view"], "edit": ["view", "edit"], "admin": ["view", "edit", "admin"]}[name]
        stored = [await api.get(f"clusterroles.{RBAC}", "", f"system:aggregate-to-{part}") for part in parts]
        await api.update({**tree, "rules": [each for part in stored for each in part.tree()["rules"]]})
        await api.create(binding(f"{name}s", f"ClusterRole/{name}", f"Group:{name}s", namespace=SHOP))


@pytest.fixture
async def cluster(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        await populate(cluster.local)
        yield cluster


@pytest.fixture
async def rest(tmp_path):
    async with serving_rest(tmp_path) as rest:
        await populate(rest.cluster.local)
        yield rest


async def allowed(call):
    try:
        await call
    except errors.Forbidden:
        return False
    return True


async def first(answers):
    try:
        return await anext(answers)
    finally:
        await answers.aclose()


async def test_viewers_look_editors_change_admins_give_and_nobody_else_does(cluster):
    found = {}
    for group in ("views", "edits", "admins", "others"):
        client = cluster.client(cluster.keys.client(f"user-of-{group}", group))
        calls = {
            "look": client.list("pods", SHOP),
            "watch": first(client.watch("pods", SHOP)),
            "history": client.history("pods", SHOP, "web"),
            "logs": first(client.logs(LOGS)),
            "change": client.apply(config_map(f"of-{group}", namespace=SHOP)),
            "exec": first(client.exec(EXEC)),
            "secrets": client.list("secrets", SHOP),
            "give": client.create(binding(f"of-{group}", "ClusterRole/view", "User:joan", namespace=SHOP)),
            "elsewhere": client.list("pods", "default"),
            "nodes": client.list("nodes"),
            "join": client.create_join_token("node"),
        }
        found[group] = {name for name, call in calls.items() if await allowed(call)}
    looking = {"look", "watch", "history", "logs"}
    changing = looking | {"change", "exec", "secrets"}
    assert found == {"views": looking, "edits": changing, "admins": changing | {"give"}, "others": set()}


async def test_an_admin_of_a_namespace_gives_no_more_than_they_have(cluster):
    boss = cluster.client(cluster.keys.client("boss", "admins"))
    for given in ("ClusterRole/cluster-admin", "ClusterRole/system:auth-delegator"):
        with pytest.raises(errors.Forbidden, match="not currently held"):
            await boss.create(binding("more", given, "User:boss", namespace=SHOP))
    with pytest.raises(errors.Forbidden, match="not currently held"):
        await boss.create(role("more", rule("*", "*", "*"), namespace=SHOP))
    await boss.create(binding("same", "ClusterRole/admin", "User:joan", namespace=SHOP))
    with pytest.raises(errors.Forbidden, match="at the cluster scope"):
        await boss.create(binding("more", "ClusterRole/admin", "User:boss"))


async def test_who_may_let_in_nodes_may_not_let_in_replicas(cluster):
    await cluster.local.create(role("joins", paths("post", "/timonier/join-tokens/node")))
    await cluster.local.create(binding("joins", "ClusterRole/joins", "User:porter"))
    porter = cluster.client(cluster.keys.client("porter"))
    for asked in ("node", ""):
        assert (await porter.create_join_token(asked)).token
    with pytest.raises(errors.Forbidden, match='User "porter" cannot post path "/timonier/join-tokens/replica"'):
        await porter.create_join_token("replica")


async def test_a_command_line_acts_as_others_by_metadata(cluster):
    await cluster.local.create(role("acting", rule("impersonate", "users groups", names="joan views")))
    await cluster.local.create(binding("acting", "ClusterRole/acting", "User:helper"))
    keys = cluster.keys.client("helper")
    as_viewer = partial(Replicas, metadata=(("impersonate-user", "joan"), ("impersonate-group", "views")))
    as_root = partial(Replicas, metadata=(("impersonate-user", "joan"), ("impersonate-group", "system:masters")))
    async with RpcClient(
        cluster.addresses, keys, cluster.env, timeout_seconds=DEADLINE_SECONDS, connect=as_viewer
    ) as client:
        assert [each.name for each in (await client.list("pods", SHOP)).items] == ["web"]
        me = {"apiVersion": f"{AUTHENTICATION}/v1", "kind": "SelfSubjectReview", "metadata": {}}
        info = (await client.create(me)).tree()["status"]["userInfo"]
        assert info == {"username": "joan", "groups": ["views", "system:authenticated"]}
        assert await first(client.watch("pods", SHOP))
        assert await first(client.logs(LOGS))
        with pytest.raises(errors.Forbidden, match='User "joan" cannot create resource "configmaps"'):
            await client.create(config_map("a", namespace=SHOP))
    async with RpcClient(
        cluster.addresses, keys, cluster.env, timeout_seconds=DEADLINE_SECONDS, connect=as_root
    ) as client:
        for call in (client.list("pods", SHOP), first(client.watch("pods", SHOP)), client.cluster_status()):
            with pytest.raises(errors.Forbidden, match='groups "system:masters" is forbidden: User "helper" cannot'):
                await call


async def test_over_https_the_same_is_allowed_and_refused_as_a_status(rest):
    viewer = rest.session(rest.keys.client("viewer", "views"))
    other = rest.session(rest.keys.client("other"))
    pods = f"/api/v1/namespaces/{SHOP}/pods"
    assert (await rest.ask("GET", pods, session=viewer)).status == 200
    assert (await rest.ask("GET", f"{pods}/web/log", session=viewer)).status == 200
    assert (await rest.ask("GET", "/apis", session=other)).status == 200
    refused = await rest.ask("GET", pods, session=other)
    assert (refused.status, refused.tree["reason"]) == (403, "Forbidden")
    assert refused.tree["message"] == (
        f'pods is forbidden: User "other" cannot list resource "pods" in API group "" in the namespace "{SHOP}"'
    )
    for method, path, body in (
        ("GET", f"{pods}?watch=true", None),
        ("GET", f"{pods}/web/log", None),
        ("GET", f"{pods}/web/status", None),
        ("POST", pods, pod("new")),
        ("PUT", f"{pods}/web", pod("web")),
        ("DELETE", f"{pods}/web", None),
        ("DELETE", pods, None),
        ("POST", f"{pods}/web/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}),
        ("GET", "/api/v1/nodes", None),
    ):
        answer = await rest.ask(method, path, body, session=other)
        assert answer.status == 403, (method, path, answer.text)


async def test_a_subresource_alone_is_enough_for_what_it_does_over_https(rest):
    rules = (rule("create", "pods/eviction"), rule("get update patch", "replicasets/scale", "apps"))
    await rest.cluster.local.create(role("part", *rules, namespace=SHOP))
    await rest.cluster.local.create(binding("part", "Role/part", "User:part", namespace=SHOP))
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    tree = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": SHOP}, "spec": spec}
    await rest.cluster.local.create(tree)
    part = rest.session(rest.keys.client("part"))
    sets = f"/apis/apps/v1/namespaces/{SHOP}/replicasets/web"
    merge = {"headers": {"Content-Type": "application/merge-patch+json"}}
    assert (await rest.ask("GET", f"{sets}/scale", session=part)).status == 200
    patched = await rest.ask("PATCH", f"{sets}/scale", {"spec": {"replicas": 0}}, session=part, **merge)
    assert (patched.status, patched.tree["spec"]) == (200, {"replicas": 0})
    assert (await rest.ask("PATCH", sets, {"spec": {"replicas": 3}}, session=part, **merge)).status == 403
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web", "namespace": SHOP}}
    pods = f"/api/v1/namespaces/{SHOP}/pods/web"
    assert (await rest.ask("DELETE", pods, session=part)).status == 403
    assert (await rest.ask("POST", f"{pods}/eviction", eviction, session=part)).status == 201


async def test_questions_are_posted_and_headers_say_as_whom(rest):
    spec = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": SHOP}}
    path = f"/apis/{AUTHORIZATION}/v1/selfsubjectaccessreviews"
    viewer = rest.session(rest.keys.client("viewer", "views"))
    answer = await rest.ask("POST", path, {"spec": spec}, session=viewer)
    assert (answer.status, answer.tree["status"]["allowed"]) == (201, True)
    as_joan = {"headers": {"Impersonate-User": "joan"}}
    assert not (await rest.ask("POST", path, {"spec": spec}, **as_joan)).tree["status"]["allowed"]
    assert (await rest.ask("POST", path, {"spec": spec}, session=viewer, **as_joan)).status == 403
    local = f"/apis/{AUTHORIZATION}/v1/namespaces/{SHOP}/localsubjectaccessreviews"
    about = {"spec": {**spec, "user": "joan", "groups": ["views"]}}
    assert (await rest.ask("POST", local, about)).tree["status"]["allowed"]
    elsewhere = {**about, "metadata": {"namespace": "default"}}
    assert (await rest.ask("POST", local, elsewhere)).status == 400
    assert (await rest.ask("GET", path)).status == 405
    assert (await rest.ask("GET", "/metrics", session=viewer)).status in {403, 404}
    await rest.cluster.local.create(role("own", paths("get", "/own")))
