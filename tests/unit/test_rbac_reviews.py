"""Questions about who may do what: answered, never stored, and only for those who may ask."""

from __future__ import annotations

import pytest

from api import errors
from api.scheme import AUTHENTICATION, AUTHORIZATION, RBAC
from component.client import Write
from controlplane.admission.request import Identity, node_identity
from controlplane.apiserver.local_client import LocalClient
from controlplane.controllers.default_roles import make_default_roles
from tests.api_server import ADMIN, node
from tests.rbac import binding, paths, role, rule

JANE = Identity("jane", ("dev",))
PODS = {"verb": "list", "resource": "pods", "namespace": "default"}


@pytest.fixture
async def jane(cluster):
    await make_default_roles(cluster.local)
    return LocalClient(cluster.core, JANE)


def question(kind, spec=None, namespace="", group=AUTHORIZATION):
    metadata = {"metadata": {"namespace": namespace}} if namespace else {}
    return {"apiVersion": f"{group}/v1", "kind": kind, **metadata, **({"spec": spec} if spec is not None else {})}


async def answer(client, kind, spec=None, **options):
    return (await client.create(question(kind, spec, **options))).tree()["status"]


async def test_what_may_be_done_is_told_with_its_reason(api, jane):
    assert await answer(jane, "SelfSubjectAccessReview", {"resourceAttributes": PODS}) == {"allowed": False}
    await api.create(role("reader", rule("list")))
    await api.create(binding("b", "ClusterRole/reader", "Group:dev", namespace="default"))
    reason = 'RBAC: allowed by RoleBinding "b/default" of ClusterRole "reader" to Group "dev"'
    wanted = {"allowed": True, "reason": reason}
    assert await answer(jane, "SelfSubjectAccessReview", {"resourceAttributes": PODS}) == wanted
    about = {"resourceAttributes": PODS, "user": "somebody", "groups": ["dev"]}
    assert await answer(api, "SubjectAccessReview", about) == wanted
    assert await answer(api, "LocalSubjectAccessReview", about, namespace="default") == wanted
    assert not (await answer(api, "SubjectAccessReview", {**about, "groups": []}))["allowed"]


async def test_what_a_path_and_an_administrator_may(api, jane):
    version = {"nonResourceAttributes": {"verb": "get", "path": "/version"}}
    backup = {"nonResourceAttributes": {"verb": "get", "path": "/timonier/backup"}}
    assert (await answer(jane, "SelfSubjectAccessReview", version))["allowed"]
    assert not (await answer(jane, "SelfSubjectAccessReview", backup))["allowed"]
    assert (await answer(api, "SelfSubjectAccessReview", backup))["allowed"]


async def test_what_a_node_may_is_told_as_it_is_decided(api, jane):
    await api.create(node("n1"))
    own = {"verb": "get", "resource": "nodes", "name": "n1"}
    about = {"resourceAttributes": own, "user": "system:node:n1", "groups": ["system:nodes"]}
    assert (await answer(api, "SubjectAccessReview", about))["reason"] == 'the node "n1" needs it'
    other = {**about, "resourceAttributes": {**own, "name": "n2"}}
    assert not (await answer(api, "SubjectAccessReview", other))["allowed"]


async def test_rules_are_listed_with_what_is_missing(api, cluster, jane):
    await api.create(role("reader", rule("list", names="a"), paths("get", "/own")))
    await api.create(binding("b", "ClusterRole/reader", "User:jane"))
    await api.create(binding("c", "Role/gone", "User:jane", namespace="default"))
    status = await answer(jane, "SelfSubjectRulesReview", {"namespace": "default"})
    assert rule("list", names="a") in status["resourceRules"]
    assert paths("get", "/own") in status["nonResourceRules"]
    assert status["incomplete"]
    assert status["evaluationError"] == f'role.{RBAC} "gone" not found'
    elsewhere = await answer(jane, "SelfSubjectRulesReview", {"namespace": "kube-system"})
    assert not elsewhere["incomplete"]
    assert rule("*", "*", "*") in (await answer(api, "SelfSubjectRulesReview", {"namespace": "x"}))["resourceRules"]
    rights = cluster.core.authorizer.rights(node_identity("n1"), "default")
    assert rights.reason == "what a node may do besides depends on its pods"


async def test_who_somebody_is(api, jane):
    wanted = {"userInfo": {"username": "jane", "groups": ["dev", "system:authenticated"]}}
    assert await answer(jane, "SelfSubjectReview", group=AUTHENTICATION) == wanted
    assert (await answer(api, "SelfSubjectReview", group=AUTHENTICATION))["userInfo"]["username"] == ADMIN.user


async def test_about_others_only_those_may_ask_who_are_allowed_to(api, jane):
    about = {"resourceAttributes": PODS, "user": "joan"}
    for kind, namespace in (("SubjectAccessReview", ""), ("LocalSubjectAccessReview", "default")):
        with pytest.raises(errors.Forbidden, match=f'cannot create resource "{kind.lower()}s" in API group'):
            await answer(jane, kind, about, namespace=namespace)
    await api.create(role("asker", rule("create", "localsubjectaccessreviews", AUTHORIZATION)))
    await api.create(binding("b", "ClusterRole/asker", "User:jane", namespace="default"))
    assert not (await answer(jane, "LocalSubjectAccessReview", about, namespace="default"))["allowed"]


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        ("SelfSubjectAccessReview", {}, "spec.resourceAttributes: .* exactly one of"),
        (
            "SelfSubjectAccessReview",
            {"resourceAttributes": PODS, "nonResourceAttributes": {"path": "/", "verb": "get"}},
            "spec.nonResourceAttributes: .* cannot be specified in combination with resourceAttributes",
        ),
        ("SubjectAccessReview", {"resourceAttributes": PODS}, "spec.user: .* at least one of user or group"),
        (
            "LocalSubjectAccessReview",
            {"resourceAttributes": {**PODS, "namespace": "other"}, "user": "a"},
            'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace',
        ),
        (
            "LocalSubjectAccessReview",
            {"nonResourceAttributes": {"path": "/", "verb": "get"}, "user": "a"},
            "spec.nonResourceAttributes: .* disallowed on this kind of request",
        ),
        ("SelfSubjectRulesReview", {}, "spec.namespace: Required value: no namespace on request"),
        (
            "SelfSubjectAccessReview",
            {"resourceAttributes": {**PODS, "fieldSelector": {"rawSelector": "a=b"}}},
            "spec.resourceAttributes.fieldSelector: not supported yet",
        ),
        ("SelfSubjectAccessReview", {"resourceAttributes": {**PODS, "verbs": "x"}}, "verbs: unknown field"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused_by_field(api, kind, spec, told):
    with pytest.raises(errors.Invalid, match=told):
        await answer(api, kind, spec, namespace="default" if kind.startswith("Local") else "")


async def test_nothing_is_stored_and_other_verbs_do_not_exist(api, cluster):
    before = cluster.replica.state.revision
    tree = question("SelfSubjectReview", group=AUTHENTICATION)
    await api.create(tree)
    for write in (api.update(tree), api.apply(tree), api.update_status(tree)):
        with pytest.raises(errors.Invalid, match="answered and never stored"):
            await write
    done = await cluster.core.transaction(ADMIN, [Write("create", tree)])
    assert [type(each.error) for each in done.results] == [errors.Invalid]
    for read in (
        api.get(f"selfsubjectreviews.{AUTHENTICATION}", "", "a"),
        api.list(f"selfsubjectreviews.{AUTHENTICATION}"),
    ):
        with pytest.raises(errors.NotFound, match="there is no resource"):
            await read
    assert cluster.replica.state.revision == before
