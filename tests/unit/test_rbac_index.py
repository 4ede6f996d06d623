"""Rules, roles and bindings: what they allow, and the words of a refusal."""

from __future__ import annotations

import pytest

from api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from api.scheme import by_resource
from controlplane.rbac.attributes import Attributes, on, on_path, refusal
from controlplane.rbac.index import Index
from controlplane.rbac.rules import PARTS_LIMIT, allows, compiled, missing, shown

READ_PODS = PolicyRule(api_groups=("",), resources=("pods",), verbs=("get", "list"))
USER = Subject(kind="User", name="jane")


def get(resource, namespace="web", name="a", verb="get", subresource="", group=""):
    return Attributes(verb, group, resource, subresource, namespace, name)


@pytest.fixture
def index():
    index = Index()
    index.put_role(("", "reader"), ClusterRole(rules=(READ_PODS,)))
    return index


def bind(index, subject=USER, namespace="web", role="reader", kind="ClusterRole", name="b"):
    index.put_binding((namespace, name), RoleBinding(role_ref=RoleRef(kind=kind, name=role), subjects=(subject,)))


@pytest.mark.parametrize(
    ("rule", "asked", "expected"),
    [
        (READ_PODS, get("pods"), True),
        (READ_PODS, get("pods", verb="watch"), False),
        (READ_PODS, get("pods", group="apps"), False),
        (READ_PODS, get("secrets"), False),
        (READ_PODS, get("pods", subresource="log"), False),
        (READ_PODS, on_path("get", "/pods"), False),
        (PolicyRule(api_groups=("*",), resources=("pods",), verbs=("*",)), get("pods", group="x", verb="frob"), True),
        (PolicyRule(api_groups=("",), resources=("*",), verbs=("get",)), get("pods", subresource="log"), True),
        (PolicyRule(api_groups=("",), resources=("pods/log",), verbs=("get",)), get("pods", subresource="log"), True),
        (PolicyRule(api_groups=("",), resources=("pods/log",), verbs=("get",)), get("pods"), False),
        (PolicyRule(api_groups=("",), resources=("*/log",), verbs=("get",)), get("pods", subresource="log"), True),
        (PolicyRule(api_groups=("",), resources=("*/log",), verbs=("get",)), get("pods", subresource="exec"), False),
        (PolicyRule(api_groups=("",), resources=("*/",), verbs=("get",)), get("pods"), False),
        (PolicyRule(api_groups=("",), resource_names=("a",), resources=("pods",), verbs=("get",)), get("pods"), True),
        (PolicyRule(api_groups=("",), resource_names=("b",), resources=("pods",), verbs=("get",)), get("pods"), False),
        (
            PolicyRule(api_groups=("",), resource_names=("b",), resources=("pods",), verbs=("*",)),
            get("pods", name=""),
            False,
        ),
        (PolicyRule(non_resource_urls=("/healthz",), verbs=("get",)), on_path("get", "/healthz"), True),
        (PolicyRule(non_resource_urls=("/healthz",), verbs=("get",)), on_path("post", "/healthz"), False),
        (PolicyRule(non_resource_urls=("/healthz",), verbs=("get",)), on_path("get", "/healthz/a"), False),
        (PolicyRule(non_resource_urls=("/apis/*",), verbs=("get",)), on_path("get", "/apis/a/b"), True),
        (PolicyRule(non_resource_urls=("/apis/*",), verbs=("get",)), on_path("get", "/apis"), False),
        (PolicyRule(non_resource_urls=("*",), verbs=("get",)), on_path("get", "/x"), True),
        (PolicyRule(non_resource_urls=("*",), verbs=("*",)), get("pods"), False),
    ],
)
def test_a_rule_allows_what_it_names(rule, asked, expected):
    assert allows(compiled(rule), asked) is expected


def test_a_role_binding_gives_a_role_in_its_namespace_only(index):
    bind(index)
    assert index.grants("jane", (), "web").allow(get("pods"))
    assert not index.grants("jane", (), "other").allow(get("pods", "other"))
    assert not index.grants("jane", (), "").allow(get("pods", ""))
    assert not index.grants("joan", (), "web").allow(get("pods"))


def test_a_cluster_role_binding_gives_a_role_everywhere(index):
    binding = ClusterRoleBinding(role_ref=RoleRef(kind="ClusterRole", name="reader"), subjects=(USER,))
    index.put_binding(("", "b"), binding)
    for namespace in ("", "web", "other"):
        assert index.grants("jane", (), namespace).allow(get("pods", namespace))
        assert len(index.grants("jane", (), namespace).all) == 1


def test_a_role_is_looked_for_in_the_bindings_own_namespace(index):
    index.put_role(("web", "local"), Role(rules=(READ_PODS,)))
    bind(index, role="local", kind="Role")
    bind(index, role="local", kind="Role", namespace="other")
    assert index.grants("jane", (), "web").allow(get("pods"))
    elsewhere = index.grants("jane", (), "other")
    assert not elsewhere.allow(get("pods", "other"))
    assert elsewhere.broken == ['role.rbac.authorization.k8s.io "local" not found']


@pytest.mark.parametrize(
    ("subject", "user", "groups"),
    [
        (Subject(kind="Group", name="dev"), "anybody", ("ops", "dev")),
        (Subject(kind="ServiceAccount", name="robot"), "system:serviceaccount:web:robot", ()),
        (Subject(kind="ServiceAccount", name="robot", namespace="ci"), "system:serviceaccount:ci:robot", ()),
        (Subject(kind="User", name="system:serviceaccount:ci:robot"), "system:serviceaccount:ci:robot", ()),
    ],
)
def test_a_subject_is_a_user_a_group_or_the_user_of_a_service_account(index, subject, user, groups):
    bind(index, subject)
    assert index.grants(user, groups, "web").allow(get("pods"))
    assert not index.grants("dev", ("jane", "robot"), "web").allow(get("pods"))


def test_a_user_and_a_group_of_one_name_are_two(index):
    bind(index, Subject(kind="Group", name="jane"))
    assert not index.grants("jane", (), "web").allow(get("pods"))


def test_names_of_several_rules_add_up(index):
    for name in ("a", "b"):
        rule = PolicyRule(api_groups=("",), resource_names=(name,), resources=("secrets",), verbs=("get",))
        index.put_role(("web", name), Role(rules=(rule,)))
        bind(index, role=name, kind="Role", name=name)
    grants = index.grants("jane", (), "web")
    assert [name for name in ("a", "b", "c") if grants.allow(get("secrets", name=name))] == ["a", "b"]


def test_what_was_remembered_is_forgotten_with_every_change(index):
    asked = get("pods")

    def may():
        return index.grants("jane", (), "web").allow(asked)

    assert not may()
    bind(index)
    assert may()
    index.remove_role(("", "reader"))
    assert not may()
    index.put_role(("", "reader"), ClusterRole(rules=(READ_PODS,)))
    assert may()
    bind(index, Subject(kind="User", name="joan"))
    assert not may()
    bind(index)
    index.remove_binding(("web", "b"))
    assert not may()
    index.remove_binding(("web", "b"))


def test_a_binding_that_names_somebody_twice_goes_as_a_whole(index):
    index.put_binding(
        ("web", "b"), RoleBinding(role_ref=RoleRef(kind="ClusterRole", name="reader"), subjects=(USER, USER))
    )
    assert len(index.grants("jane", (), "web").all) == 1
    index.remove_binding(("web", "b"))
    assert not index.grants("jane", (), "web").all


def test_the_reason_names_the_binding_the_role_and_the_subject(index):
    bind(index, Subject(kind="ServiceAccount", name="robot"))
    found = index.grants("system:serviceaccount:web:robot", (), "web").find(get("pods"))
    assert found is not None
    assert found.binding.described(found.subject) == (
        'RoleBinding "b/web" of ClusterRole "reader" to ServiceAccount "robot/web"'
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            on(by_resource("deployments.apps"), "create", "y"),
            (
                'deployments.apps is forbidden: User "x" cannot create resource "deployments" in API group "apps" '
                'in the namespace "y"'
            ),
        ),
        (
            on(by_resource("pods"), "get", "y", "web-0", "log"),
            'pods "web-0" is forbidden: User "x" cannot get resource "pods/log" in API group "" in the namespace "y"',
        ),
        (
            on(by_resource("pods"), "list"),
            'pods is forbidden: User "x" cannot list resource "pods" in API group "" at the cluster scope',
        ),
        (
            on(by_resource("nodes"), "get", "ignored", "n1"),
            'nodes "n1" is forbidden: User "x" cannot get resource "nodes" in API group "" at the cluster scope',
        ),
        (
            on(by_resource("namespaces"), "get", "", "y"),
            'namespaces "y" is forbidden: User "x" cannot get resource "namespaces" in API group "" in the namespace "y"',
        ),
        (on_path("get", "/metrics"), 'forbidden: User "x" cannot get path "/metrics"'),
    ],
)
def test_a_refusal_has_kubernetes_words(asked, words):
    assert refusal("x", asked) == words


@pytest.mark.parametrize(
    ("held", "given", "lacking"),
    [
        ([READ_PODS], READ_PODS, []),
        ([READ_PODS], PolicyRule(api_groups=("",), resources=("pods",), verbs=("*",)), ["*"]),
        ([PolicyRule(api_groups=("*",), resources=("*",), verbs=("*",))], READ_PODS, []),
        (
            [
                PolicyRule(api_groups=("",), resources=("pods",), verbs=("get",)),
                PolicyRule(api_groups=("",), resources=("pods", "secrets"), verbs=("list",)),
            ],
            READ_PODS,
            [],
        ),
        (
            [PolicyRule(api_groups=("",), resources=("pods",), verbs=("get",))],
            READ_PODS,
            ["list"],
        ),
        (
            [PolicyRule(api_groups=("",), resource_names=("a",), resources=("pods",), verbs=("get", "list"))],
            READ_PODS,
            ["get", "list"],
        ),
        (
            [
                PolicyRule(api_groups=("",), resource_names=("a",), resources=("pods",), verbs=("get",)),
                PolicyRule(api_groups=("",), resource_names=("b",), resources=("pods",), verbs=("get",)),
            ],
            PolicyRule(api_groups=("",), resource_names=("a", "b"), resources=("pods",), verbs=("get",)),
            [],
        ),
        (
            [PolicyRule(api_groups=("",), resources=("*/scale",), verbs=("get",))],
            PolicyRule(api_groups=("",), resources=("pods/scale",), verbs=("get",)),
            [],
        ),
        (
            [PolicyRule(api_groups=("",), resources=("pods",), verbs=("get",))],
            PolicyRule(api_groups=("",), resources=("pods/log",), verbs=("get",)),
            ["get"],
        ),
        (
            [PolicyRule(non_resource_urls=("/apis/*",), verbs=("get",))],
            PolicyRule(non_resource_urls=("/apis/a", "/api"), verbs=("get",)),
            ["get"],
        ),
        ([], READ_PODS, ["get", "list"]),
    ],
)
def test_what_is_missing_is_what_no_rules_hold_together(held, given, lacking):
    assert [verb for part in missing(list(map(compiled, held)), [given]) for verb in part.verbs] == lacking


def test_a_rule_of_too_many_parts_is_held_as_a_whole_or_not_at_all():
    resources = tuple(f"r{number}" for number in range(PARTS_LIMIT + 1))
    given = PolicyRule(api_groups=("",), resources=resources, verbs=("get",))
    half = [
        compiled(PolicyRule(api_groups=("",), resources=part, verbs=("get",)))
        for part in (resources[:9], resources[9:])
    ]
    assert missing(half, [given]) == [given]
    assert missing([compiled(given)], [given]) == []


def test_a_missing_rule_is_shown_as_kubernetes_does():
    rule = PolicyRule(api_groups=("", "apps"), resource_names=("a",), resources=("pods",), verbs=("get",))
    assert shown(rule) == '{APIGroups:["" "apps"], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}'
