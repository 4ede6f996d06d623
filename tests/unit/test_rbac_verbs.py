"""Every verb of the API asks who may: allowed with its rule, refused without, in Kubernetes' words."""

from __future__ import annotations

import pytest
from msgspec import structs

from api import errors
from api.object import canonical
from api.scheme import RBAC
from component.client import Binding, Removal, Write
from controlplane.admission.request import ANONYMOUS, Identity, groups_of
from controlplane.apiserver.impersonation import assumed
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.past import At
from controlplane.rbac.attributes import on_path
from tests.api_server import ADMIN, config_map, node, pod
from tests.rbac import binding, paths, role, rule

JANE = Identity("jane", ("dev",))
ROBOT = Identity("system:serviceaccount:ci:robot", ("system:serviceaccounts", "system:serviceaccounts:ci"))


@pytest.fixture
def jane(cluster):
    return LocalClient(cluster.core, JANE)


@pytest.fixture
def allow(api):
    """Give jane exactly these rules in a namespace, everywhere for ""."""

    async def give(*rules, namespace="default"):
        kind = f"{'Role' if namespace else 'ClusterRole'}/of-jane"
        await api.apply(role("of-jane", *rules, namespace=namespace))
        await api.apply(binding("of-jane", kind, "User:jane", namespace=namespace))

    return give


def calls(jane, core):
    """Verb and resource that a call needs, and the call on the ConfigMap "here"."""
    changed = config_map("here", {"a": "1"})
    return {
        "get configmaps here": lambda: jane.get("configmaps", "default", "here"),
        "get configmaps here (then)": lambda: core.reads.get(JANE, "configmaps", "default", "here", at=At(core.here)),
        "get configmaps here (history)": lambda: core.reads.history(JANE, "configmaps", "default", "here"),
        "list configmaps": lambda: jane.list("configmaps", "default"),
        "list configmaps here": lambda: jane.list("configmaps", "default", field_selector="metadata.name=here"),
        "watch configmaps": lambda: first(jane.watch("configmaps", "default")),
        "watch configmaps here": lambda: first(
            jane.watch("configmaps", "default", field_selector="metadata.name=here")
        ),
        "create configmaps": lambda: jane.create(config_map("new")),
        "create configmaps (apply)": lambda: jane.apply(config_map("new")),
        "create configmaps (transaction)": lambda: only(core.transaction(JANE, [Write("create", config_map("new"))])),
        "create configmaps (transaction apply)": lambda: only(
            core.transaction(JANE, [Write("apply", config_map("new"))])
        ),
        "update configmaps here": lambda: jane.update(changed),
        "update configmaps here (transaction)": lambda: only(core.transaction(JANE, [Write("update", changed)])),
        "patch configmaps here": lambda: jane.patch("configmaps", "default", "here", "merge", b'{"data": {"b": "1"}}'),
        "patch configmaps here (apply)": lambda: jane.apply(changed),
        "patch configmaps here (transaction)": lambda: only(core.transaction(JANE, [Write("apply", changed)])),
        "delete configmaps here": lambda: jane.delete("configmaps", "default", "here"),
        "delete configmaps here (transaction)": lambda: only(
            core.transaction(JANE, [Removal("configmaps", "default", "here")])
        ),
    }


async def first(batches):
    try:
        return await anext(batches)
    finally:
        await batches.aclose()


async def only(transaction):
    [result] = (await transaction).results
    if result.error is not None:
        raise result.error
    return result


@pytest.mark.parametrize("call", calls(None, None))
async def test_a_verb_needs_its_rule_and_no_other(cluster, api, jane, allow, call):
    cluster.core.here = (await api.create(config_map("here"))).revision
    verb, resource, *name = call.partition(" (")[0].split()
    make = calls(jane, cluster.core)[call]
    verbs = {"get", "list", "watch", "create", "update", "patch", "delete"}
    await allow(rule(" ".join(verbs - {verb}), "configmaps"), rule("*", "secrets"), rule("*", "configmaps", "apps"))
    before = cluster.replica.state.revision
    title = f'{resource} "{name[0]}"' if name else resource
    with pytest.raises(errors.Forbidden) as refused:
        await make()
    assert str(refused.value) == (
        f'{title} is forbidden: User "jane" cannot {verb} resource "{resource}" in API group "" '
        f'in the namespace "default"'
    )
    assert cluster.replica.state.revision == before, "nothing was changed"
    await allow(rule(verb, resource, names=" ".join(name)))
    await make()


async def test_a_rule_for_one_name_is_for_no_other_and_not_for_all(api, jane, allow):
    await allow(rule("get list delete", "configmaps", names="here"))
    for name in ("here", "there"):
        await api.create(config_map(name))
    assert (await jane.get("configmaps", "default", "here")).name == "here"
    for call in (
        jane.get("configmaps", "default", "there"),
        jane.delete("configmaps", "default", "there"),
        jane.list("configmaps", "default"),
        jane.list("configmaps", "default", field_selector="metadata.name!=there"),
        jane.list("configmaps", "default", label_selector="metadata.name=here"),
    ):
        with pytest.raises(errors.Forbidden):
            await call


async def test_all_namespaces_need_a_cluster_role_binding(api, jane, allow):
    await allow(rule("list", "configmaps"))
    with pytest.raises(errors.Forbidden, match='"configmaps" in API group "" at the cluster scope'):
        await jane.list("configmaps")
    await allow(rule("list", "configmaps"), namespace="")
    assert await jane.list("configmaps")


async def test_a_namespace_is_read_by_whoever_may_in_it(jane, allow):
    await allow(rule("get", "namespaces"))
    assert (await jane.get("namespaces", "", "default")).name == "default"
    with pytest.raises(errors.Forbidden, match='in the namespace "kube-system"'):
        await jane.get("namespaces", "", "kube-system")


async def test_the_status_is_a_subresource_of_its_own(api, jane, allow):
    await api.create(pod("a"))
    running = {**pod("a"), "status": {"phase": "Running"}}
    patch = b'{"status": {"phase": "Running"}}'
    await allow(rule("update patch", "pods"))
    for call in (jane.update_status(running), jane.patch("pods", "default", "a", "merge", patch, subresource="status")):
        with pytest.raises(errors.Forbidden, match='resource "pods/status"'):
            await call
    await allow(rule("update patch", "pods/status"))
    await jane.update_status(running)
    await jane.patch("pods", "default", "a", "merge", patch, subresource="status")


async def test_binding_a_pod_needs_its_own_permission(api, cluster, jane, allow):
    await api.create(node("n1"))
    stored = await api.create(pod("a"))
    wanted = [Binding("default", "a", stored.uid, "n1")]
    await allow(rule("create update patch", "pods"))
    [error] = await jane.bind(wanted)
    assert 'cannot create resource "pods/binding"' in str(error)
    await allow(rule("create", "pods/binding"))
    assert await jane.bind(wanted) == [None]


async def test_a_missing_role_is_the_reason_of_a_refusal(api, jane):
    await api.create(binding("b", "Role/gone", "User:jane", namespace="default"))
    with pytest.raises(
        errors.Forbidden, match=r'"default": RBAC: role\.rbac\.authorization\.k8s\.io "gone" not found$'
    ):
        await jane.list("pods", "default")


async def test_a_role_counts_from_the_very_next_request_and_so_does_its_loss(api, jane, allow):
    for _ in range(3):
        await allow(rule("list"))
        await jane.list("pods", "default")
        await api.delete(f"rolebindings.{RBAC}", "default", "of-jane")
        with pytest.raises(errors.Forbidden):
            await jane.list("pods", "default")


async def test_a_transaction_cannot_give_itself_the_right_to_do_the_rest(api, cluster, allow):
    await allow(rule("create", "rolebindings", RBAC), rule("bind", "clusterroles", RBAC))
    await api.create(role("writer", rule("create", "configmaps")))
    operations = [
        Write("create", binding("mine", "ClusterRole/writer", "User:jane", namespace="default")),
        Write("create", config_map("a")),
    ]
    done = await cluster.core.transaction(JANE, operations)
    assert not done.committed
    assert [type(each.error) for each in done.results] == [type(None), errors.Forbidden]


async def test_paths_are_for_who_may_and_administrators(cluster, allow):
    core = cluster.core
    backup = on_path("get", "/timonier/backup")
    with pytest.raises(errors.Forbidden, match=r'^forbidden: User "jane" cannot get path "/timonier/backup"$'):
        await core.authorize(JANE, backup)
    await core.authorize(ADMIN, backup)
    await allow(paths("get", "/timonier/*"), namespace="")
    await core.authorize(JANE, backup)


@pytest.mark.parametrize(
    ("given", "held", "allowed"),
    [
        (rule("get"), rule("get"), True),
        (rule("get"), rule("list"), False),
        (rule("get", "pods", names="a"), rule("get"), True),
        (rule("get"), rule("get", names="a"), False),
        (rule("*", "*", "*"), rule("get list", "*", "*"), False),
        (rule("get", "pods/log"), rule("get", "*"), True),
        (rule("get"), rule("escalate", "roles", RBAC), True),
        (rule("get"), rule("escalate", "roles", RBAC, names="other"), False),
    ],
)
async def test_a_role_gives_no_more_than_its_writer_has(cluster, api, jane, allow, given, held, allowed):
    await allow(rule("create update patch", "roles", RBAC), held)
    for name in ("old", "applied", "patched", "owned"):
        await api.create(role(name, namespace="default"))
    patch = canonical({"rules": [given]})
    owned = canonical(role("owned", given, namespace="default"))
    for write in (
        jane.create(role("new", given, namespace="default")),
        jane.update(role("old", given, namespace="default")),
        jane.apply(role("applied", given, namespace="default")),
        jane.patch(f"roles.{RBAC}", "default", "patched", "merge", patch),
        cluster.core.patch(
            structs.replace(JANE, manager="m"), f"roles.{RBAC}", "default", "owned", "apply", owned, force=True
        ),
        only(cluster.core.transaction(JANE, [Write("create", role("newer", given, namespace="default"))])),
    ):
        if allowed:
            await write
            continue
        with pytest.raises(
            errors.Forbidden, match="attempting to grant RBAC permissions not currently held"
        ) as refused:
            await write
        assert 'user "jane" (groups=["dev" "system:authenticated"])' in str(refused.value)


async def test_what_holds_in_a_namespace_makes_no_cluster_role(api, jane, allow):
    await allow(rule("create", "clusterroles", RBAC), namespace="")
    await allow(rule("get"))
    with pytest.raises(
        errors.Forbidden, match=r'not currently held:\n\{APIGroups:\[""\], Resources:\["pods"\], Verbs:\["get"\]\}'
    ):
        await jane.create(role("new", rule("get")))


async def test_labels_that_make_others_gather_a_role_need_its_permissions_but_finalizers_do_not(api, jane, allow):
    await allow(rule("update", "clusterroles", RBAC), namespace="")
    await api.create(role("strong", rule("*", "*", "*"), finalizers=["example.dev/x"]))
    tree = (await api.get(f"clusterroles.{RBAC}", "", "strong")).tree()
    with pytest.raises(errors.Forbidden, match="not currently held"):
        await jane.update({**tree, "metadata": {**tree["metadata"], "labels": {"aggregate": "yes"}}})
    await jane.update({**tree, "metadata": {**tree["metadata"], "finalizers": []}})


async def test_gathering_other_roles_needs_everything(api, jane, allow):
    gathering = {**role("all"), "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    await allow(rule("*", "clusterroles", RBAC), rule("* escalate", "pods"), namespace="")
    await api.create(gathering)
    await allow(rule("create update", "clusterroles", RBAC), rule("*", "*"), namespace="")
    for write in (
        jane.create({**gathering, "metadata": {"name": "mine"}}),
        jane.update({**role("all")}),
    ):
        with pytest.raises(errors.Forbidden, match="must have cluster-admin privileges to use the aggregationRule"):
            await write
    await allow(rule("*", "*", "*"), paths("*", "*"), namespace="")
    await jane.create({**gathering, "metadata": {"name": "mine"}})


@pytest.mark.parametrize(
    ("held", "allowed"),
    [
        (rule("get list"), True),
        (rule("get"), False),
        (rule("bind", "clusterroles", RBAC), True),
        (rule("bind", "clusterroles", RBAC, names="reader"), True),
        (rule("bind", "clusterroles", RBAC, names="other"), False),
        (rule("bind", "roles", RBAC), False),
    ],
)
async def test_a_binding_gives_no_more_than_its_writer_has(api, jane, allow, held, allowed):
    await allow(rule("create update", "rolebindings", RBAC), held)
    await api.create(role("reader", rule("get list")))
    await api.create(binding("old", "ClusterRole/reader", "User:joan", namespace="default"))
    for write in (
        jane.create(binding("new", "ClusterRole/reader", "User:jane", namespace="default")),
        jane.update(binding("old", "ClusterRole/reader", "User:jane", namespace="default")),
    ):
        if allowed:
            await write
            continue
        with pytest.raises(errors.Forbidden, match="not currently held"):
            await write


async def test_binding_a_role_that_is_not_there_needs_the_right_to_bind_it(jane, allow):
    later = binding("b", "Role/later", "User:jane", namespace="default")
    await allow(rule("create", "rolebindings", RBAC))
    with pytest.raises(errors.NotFound, match=f'roles.{RBAC} "later" not found'):
        await jane.create(later)
    await allow(rule("create", "rolebindings", RBAC), rule("bind", "roles", RBAC))
    await jane.create(later)


async def test_what_a_binding_binds_cannot_change(api):
    await api.create(binding("b", "Role/one", "User:jane", namespace="default"))
    with pytest.raises(errors.Invalid, match=r"roleRef: Invalid value: .*: cannot change roleRef"):
        await api.update(binding("b", "Role/two", "User:jane", namespace="default"))


async def test_a_service_account_is_a_user_of_its_groups(api, cluster):
    await api.create(role("reader", rule("list")))
    robot = LocalClient(cluster.core, ROBOT)
    for subject in ("ServiceAccount:ci:robot", "Group:system:serviceaccounts:ci", "Group:system:authenticated"):
        with pytest.raises(errors.Forbidden):
            await robot.list("pods", "default")
        await api.create(binding("b", "ClusterRole/reader", subject, namespace="default"))
        await robot.list("pods", "default")
        await api.delete(f"rolebindings.{RBAC}", "default", "b")


def test_whoever_shows_nothing_is_in_no_group_of_those_who_do():
    assert groups_of(ANONYMOUS) == ("system:unauthenticated",)
    assert groups_of(JANE) == ("dev", "system:authenticated")
    assert groups_of(Identity("a", ("system:authenticated",))) == ("system:authenticated",)


async def test_acting_as_somebody_needs_the_verb_for_each_of_the_names(cluster, allow):
    as_joan = [("impersonate-user", "joan"), ("impersonate-group", "ops"), ("other", "x")]
    authorizer = cluster.core.authorizer
    assert assumed(authorizer, ADMIN, as_joan) == Identity("joan", ("ops",), impersonator=ADMIN.user)
    assert assumed(authorizer, JANE, [("other", "x")]) is JANE
    with pytest.raises(
        errors.Forbidden, match='users "joan" is forbidden: User "jane" cannot impersonate resource "users"'
    ):
        assumed(authorizer, JANE, as_joan)
    await allow(rule("impersonate", "users", names="joan"), namespace="")
    with pytest.raises(errors.Forbidden, match='groups "ops" is forbidden'):
        assumed(authorizer, JANE, as_joan)
    await allow(rule("impersonate", "users", names="joan"), rule("impersonate", "groups", names="ops"), namespace="")
    assert assumed(authorizer, JANE, as_joan) == Identity("joan", ("ops",), impersonator=JANE.user)
    for headers in (
        [("impersonate-user", "ops")],
        [("impersonate-user", "joan"), ("impersonate-group", "system:masters")],
        [("impersonate-user", "system:serviceaccount:default:joan")],
    ):
        with pytest.raises(errors.Forbidden):
            assumed(authorizer, JANE, headers)


async def test_history_names_who_acted_and_as_whom(cluster):
    as_joan = [("impersonate-user", "joan"), ("impersonate-group", "system:masters")]
    await cluster.core.create(assumed(cluster.core.authorizer, ADMIN, as_joan), config_map("a"))
    [change] = (await cluster.core.reads.history(ADMIN, "configmaps", "default", "a")).changes
    assert change.actor == "joan (by kubernetes-admin)"


async def test_a_service_account_is_acted_as_by_who_may_in_its_namespace(cluster, allow):
    headers = [("impersonate-user", b"system:serviceaccount:default:robot")]
    await allow(rule("impersonate", "serviceaccounts"))
    found = assumed(cluster.core.authorizer, JANE, headers)
    assert found.groups == ("system:serviceaccounts", "system:serviceaccounts:default")
    with pytest.raises(errors.Forbidden, match='in the namespace "ci"'):
        assumed(cluster.core.authorizer, JANE, [("impersonate-user", ROBOT.user)])


@pytest.mark.parametrize(
    "headers",
    [
        [("impersonate-group", "ops")],
        [("impersonate-user", "a"), ("impersonate-user", "b")],
        [("impersonate-user", "a"), ("impersonate-uid", "1")],
        [("impersonate-user", "a"), ("impersonate-extra-scopes", "x")],
    ],
)
def test_headers_that_are_not_understood_are_refused(cluster, headers):
    with pytest.raises(errors.Invalid):
        assumed(cluster.core.authorizer, ADMIN, headers)
