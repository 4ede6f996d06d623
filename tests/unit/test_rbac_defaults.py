"""The roles and bindings that every cluster has: made, completed, gathered, and left alone where somebody says so."""

from __future__ import annotations

import copy

import pytest

from api import defaults, strict, validation
from api.errors import NotReady
from api.scheme import RBAC, by_kind
from controlplane.admission.request import Identity
from controlplane.controllers.default_roles import make_default_roles, plan_binding, plan_role
from controlplane.rbac.attributes import on_path
from controlplane.rbac.defaults import AUTOUPDATE, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from controlplane.rbac.reconciling import completed_binding, completed_role
from tests.api_server import ADMIN, running_core

ROLES = f"clusterroles.{RBAC}"
BINDINGS = f"clusterrolebindings.{RBAC}"


def of(trees, name):
    return copy.deepcopy(next(tree for tree in trees if tree["metadata"]["name"] == name))


@pytest.mark.parametrize("tree", [*CLUSTER_ROLES, *CLUSTER_ROLE_BINDINGS], ids=lambda tree: tree["metadata"]["name"])
def test_defaults_are_valid_and_complete_as_they_are(tree):
    kind = by_kind(tree["apiVersion"], tree["kind"])
    assert not strict.check(kind, tree)
    assert not validation.validate(kind, tree, None)
    assert defaults.default(kind, tree) == tree


def test_every_default_binding_binds_a_default_role():
    names = {tree["metadata"]["name"] for tree in CLUSTER_ROLES}
    assert {tree["roleRef"]["name"] for tree in CLUSTER_ROLE_BINDINGS} <= names


async def test_they_are_made_once_and_then_there_is_nothing_to_do(cluster):
    assert await make_default_roles(cluster.local) == len(CLUSTER_ROLES) + len(CLUSTER_ROLE_BINDINGS)
    assert await make_default_roles(cluster.local) == 0


async def test_they_wait_until_the_cluster_knows_roles(tmp_path):
    async with running_core(tmp_path, level=1) as cluster:
        with pytest.raises(NotReady, match=f"kind {ROLES} needs cluster level 2"):
            await make_default_roles(cluster.local)


async def test_what_somebody_takes_out_comes_back_and_what_they_add_stays(cluster):
    await make_default_roles(cluster.local)
    tree = (await cluster.local.get(ROLES, "", "system:discovery")).tree()
    own = {"nonResourceURLs": ["/own"], "verbs": ["get"]}
    tree["rules"] = [own]
    del tree["metadata"]["labels"]
    await cluster.local.update(tree)
    binding = (await cluster.local.get(BINDINGS, "", "system:discovery")).tree()
    binding["subjects"] = [{"kind": "User", "apiGroup": RBAC, "name": "joan"}]
    await cluster.local.update(binding)
    await cluster.local.delete(ROLES, "", "view")
    assert await make_default_roles(cluster.local) == 3
    restored = (await cluster.local.get(ROLES, "", "system:discovery")).tree()
    assert restored["rules"] == [own, *of(CLUSTER_ROLES, "system:discovery")["rules"]]
    assert restored["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "rbac-defaults"}
    subjects = (await cluster.local.get(BINDINGS, "", "system:discovery")).tree()["subjects"]
    assert [each["name"] for each in subjects] == ["joan", "system:authenticated"]


async def test_one_that_is_to_be_left_alone_is_left_alone(cluster):
    await make_default_roles(cluster.local)
    for resource, field in ((ROLES, "rules"), (BINDINGS, "subjects")):
        tree = (await cluster.local.get(resource, "", "system:discovery")).tree()
        tree["metadata"]["annotations"][AUTOUPDATE] = "false"
        del tree[field]
        await cluster.local.update(tree)
    assert await make_default_roles(cluster.local) == 0


async def test_a_default_binding_to_another_role_is_made_anew(cluster):
    other = of(CLUSTER_ROLE_BINDINGS, "system:monitoring")
    other["roleRef"]["name"] = "cluster-admin"
    await cluster.local.create(other)
    await make_default_roles(cluster.local)
    assert (await cluster.local.get(BINDINGS, "", "system:monitoring")).tree()["roleRef"]["name"] == "system:monitoring"


def test_a_gathering_role_keeps_the_rules_that_were_gathered():
    wanted = of(CLUSTER_ROLES, "admin")
    assert completed_role(wanted, {**wanted, "rules": [{"verbs": ["get"]}]}) is None
    assert completed_role(wanted, {**wanted, "aggregationRule": {}})["aggregationRule"] == wanted["aggregationRule"]


def test_what_is_complete_is_not_written_again():
    for tree in CLUSTER_ROLES:
        assert completed_role(tree, tree) is None
    for tree in CLUSTER_ROLE_BINDINGS:
        assert completed_binding(tree, tree) is None
    assert len(plan_role(CLUSTER_ROLES[0], None)) == len(plan_binding(CLUSTER_ROLE_BINDINGS[0], None)) == 1


async def test_everybody_with_a_certificate_gets_discovery_and_nothing_else(cluster):
    await make_default_roles(cluster.local)
    jane = Identity("jane", ("dev",))
    core = cluster.core
    for path in ("/version", "/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v2", "/healthz", "/readyz"):
        assert core.authorizer.allows(jane, on_path("get", path)), path
    for path in ("/metrics", "/timonier/backup", "/timonier/join-tokens/node", "/"):
        assert not core.authorizer.allows(jane, on_path("get", path)), path
    assert core.authorizer.allows(ADMIN, on_path("get", "/timonier/backup"))
    assert not core.authorizer.allows(jane, on_path("post", "/version"))
