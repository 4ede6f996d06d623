"""`tim auth`, acting as somebody else, roles out of options, and client configurations for people."""

from __future__ import annotations

import time

import pytest
import yaml

from api.object import Object, canonical
from api.scheme import RBAC, by_kind
from cli.people import person_of
from component import kubeconfig, pki
from component.env import system_env
from component.rpc_failover import WithMetadata
from controlplane.bootstrap import plan_cluster
from controlplane.config import ServerConfig
from tests.cli_rig import CliApi, error_line, tim


class Answering(CliApi):
    """Answers every question with one status."""

    def __init__(self, status):
        super().__init__()
        self.status, self.asked = status, []

    async def create(self, tree, *, dry_run=False):
        self.asked.append(tree)
        kind = by_kind(tree["apiVersion"], tree["kind"])
        return Object(kind.resource, "", "", "", 0, canonical({**tree, "status": self.status}))


def attributes(*words):
    api = Answering({"allowed": True})
    assert tim(api, "auth", "can-i", *words).stdout == "yes\n"
    [tree] = api.asked
    assert tree["kind"] == "SelfSubjectAccessReview"
    return tree["spec"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("get", "pods"), {"verb": "get", "resource": "pods", "namespace": "default"}),
        (
            ("create", "deploy", "-n", "shop"),
            {"verb": "create", "group": "apps", "resource": "deployments", "namespace": "shop"},
        ),
        (
            ("get", "pod/web-0", "--subresource", "log"),
            {"verb": "get", "resource": "pods", "subresource": "log", "name": "web-0", "namespace": "default"},
        ),
        (("delete", "po", "web-0", "-A"), {"verb": "delete", "resource": "pods", "name": "web-0"}),
        (("list", "nodes"), {"verb": "list", "resource": "nodes"}),
        (("get", "ns", "shop"), {"verb": "get", "resource": "namespaces", "name": "shop", "namespace": "shop"}),
        (("*", "*"), {"verb": "*", "group": "*", "resource": "*", "namespace": "default"}),
        (
            ("get", "gadgets.example.dev"),
            {"verb": "get", "group": "example.dev", "resource": "gadgets", "namespace": "default"},
        ),
        (("impersonate", "users", "joan"), {"verb": "impersonate", "resource": "users", "name": "joan"}),
    ],
)
def test_a_question_says_what_is_meant(words, expected):
    assert attributes(*words) == {"resourceAttributes": expected}


def test_a_question_about_a_path():
    assert attributes("get", "/metrics") == {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}


def test_no_is_exit_code_1_with_the_reason():
    denied = tim(Answering({"allowed": False}), "auth", "can-i", "get", "pods")
    assert (denied.stdout, denied.exit_code) == ("no\n", 1)
    explained = tim(Answering({"allowed": False, "reason": "RBAC: why"}), "auth", "can-i", "get", "pods")
    assert (explained.stdout, explained.exit_code) == ("no - RBAC: why\n", 1)
    quiet = tim(Answering({"allowed": False}), "auth", "can-i", "get", "pods", "-q")
    assert (quiet.stdout, quiet.exit_code) == ("", 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say what"),
        (("get",), "say what"),
        (("get", "podz"), "did you mean"),
        (("get", "pod/a", "b"), "the name once"),
        (("get", "/x", "b"), "neither a name"),
        (("get", "pods", "-A", "-n", "x"), "either --namespace or"),
        (("get", "--list"), "name none"),
        (("get", "pods", "--as-group", "dev"), "--as-group needs --as"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_line(words, told):
    assert told in error_line(tim(Answering({"allowed": True}), "auth", "can-i", *words))


def test_everything_that_may_be_done_is_a_table():
    status = {
        "incomplete": True,
        "evaluationError": "role x not found",
        "resourceRules": [
            {"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"], "verbs": ["get"]},
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        ],
        "nonResourceRules": [{"nonResourceURLs": ["/api"], "verbs": ["get"]}],
    }
    api = Answering(status)
    shown = tim(api, "auth", "can-i", "--list", "-n", "shop")
    assert [line.split("  ")[0] for line in shown.stdout.splitlines()] == [
        "RESOURCES",
        "*.*",
        "pods",
        "pods.apps",
        "secrets",
        "",
    ]
    assert "[/api]" in shown.stdout
    assert shown.stderr == "not all of it: role x not found\n"
    assert api.asked[0]["spec"] == {"namespace": "shop"}


def test_who_i_am():
    api = Answering({"userInfo": {"username": "jane", "groups": ["dev", "system:authenticated"]}})
    lines = [line.split() for line in tim(api, "auth", "whoami").stdout.splitlines()]
    assert lines == [["ATTRIBUTE", "VALUE"], ["Username", "jane"], ["Groups", "[dev", "system:authenticated]"]]
    assert yaml.safe_load(tim(api, "auth", "whoami", "-o", "yaml").stdout)["status"]["userInfo"]["username"] == "jane"


def test_every_call_of_a_stub_carries_the_metadata():
    class Stub:
        def Get(self, request, *, timeout, metadata=()):  # noqa: N802 - as generated stubs do
            return request, timeout, metadata

    assert WithMetadata(Stub(), (("impersonate-user", "jane"),)).Get("r", timeout=1) == (
        "r",
        1,
        (("impersonate-user", "jane"),),
    )


def created(*words):
    shown = tim(None, "create", *words, "--dry-run=client", "-o", "yaml")
    assert shown.exit_code == 0, shown.stderr
    return yaml.safe_load(shown.stdout)


def test_a_role_has_a_rule_for_each_group():
    tree = created("role", "r", "--verb=get,list", "--verb", "get", "--resource=pods,deploy", "--resource", "pods/log")
    assert tree["rules"] == [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
    ]
    named = created("role", "r", "--verb=get", "--resource=secrets", "--resource-name=a,b")
    assert named["rules"][0]["resourceNames"] == ["a", "b"]


def test_a_cluster_role_may_name_paths_or_gather_others():
    tree = created("clusterrole", "r", "--verb=get", "--resource=nodes,*", "--non-resource-url=/metrics")
    assert tree["rules"] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ]
    gathering = created("clusterrole", "r", "--aggregation-rule", "a/b=true")
    assert gathering["aggregationRule"] == {"clusterRoleSelectors": [{"matchLabels": {"a/b": "true"}}]}
    assert "rules" not in gathering


def test_a_binding_names_its_role_and_subjects():
    tree = created("rolebinding", "b", "--clusterrole=view", "--user=jane", "--group=dev", "--serviceaccount=ci:robot")
    assert tree["roleRef"] == {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
    assert [(each["kind"], each["name"]) for each in tree["subjects"]] == [
        ("User", "jane"),
        ("Group", "dev"),
        ("ServiceAccount", "robot"),
    ]
    assert created("rolebinding", "b", "--role=own")["roleRef"]["kind"] == "Role"
    assert created("clusterrolebinding", "b", "--clusterrole=view", "--group=g")["kind"] == "ClusterRoleBinding"


def test_a_namespace_before_the_kind_counts_and_other_options_there_are_refused():
    where = tim(
        None, "create", "-n", "shop", "role", "r", "--verb=get", "--resource=pods", "--dry-run=client", "-o", "yaml"
    )
    assert yaml.safe_load(where.stdout)["metadata"]["namespace"] == "shop"
    for words in (("--dry-run=client",), ("-o", "yaml")):
        assert "behind the kind" in error_line(tim(None, "create", *words, "namespace", "a"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("role", "r", "--resource", "pods"), "--verb is missing"),
        (("role", "r", "--verb", "get"), "--resource is missing"),
        (("role", "r", "--verb", "get", "--resource", "podz"), "did you mean"),
        (("clusterrole", "r", "--non-resource-url", "/x"), "--verb is missing"),
        (("clusterrole", "r", "--aggregation-rule", "a=b", "--verb", "get"), "give none of its own"),
        (("clusterrole", "r", "--aggregation-rule", "a"), "LABEL=VALUE"),
        (("rolebinding", "b"), "name one role"),
        (("rolebinding", "b", "--role", "a", "--clusterrole", "b"), "name one role"),
        (("rolebinding", "b", "--role", "a", "--serviceaccount", "x"), "NAMESPACE:NAME"),
        (("clusterrolebinding", "b"), "--clusterrole"),
    ],
)
def test_options_that_make_no_role_are_one_line(words, told):
    assert told in error_line(tim(None, "create", *words, "--dry-run=client"))


@pytest.fixture
def replica(tmp_path):
    """The folder of a replica, as `tim init` writes it."""
    template = ServerConfig(replica="r1", cluster_uid="c1", replicas={"r1": "10.0.0.1"}, pki_dir=str(tmp_path / "pki"))
    for name, content in plan_cluster(template, system_env()).replicas["r1"].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_persons_configuration_says_who_they_are_and_where_the_cluster_is(replica):
    path = replica / "jane.conf"
    done = tim(
        None,
        "pki",
        "user",
        "jane",
        "--group",
        "dev",
        "--group",
        "ops",
        "--days",
        "2",
        "-o",
        str(path),
        "--dir",
        str(replica),
    )
    assert done.exit_code == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    found = kubeconfig.resolve(kubeconfig.read(path), path)
    subject = pki.read_subject(found.cert_pem)
    assert (subject.common_name, subject.groups) == ("jane", ("dev", "ops"))
    assert 1.9 < (subject.not_after - time.time()) / 86400 <= 2
    assert found.endpoints == ("10.0.0.1:7443",)
    assert found.ca_pem == (replica / "pki/ca.crt").read_bytes()
    assert "exists already" in error_line(tim(None, "pki", "user", "jane", "-o", str(path), "--dir", str(replica)))


@pytest.mark.parametrize(
    ("name", "groups", "told"),
    [
        ("system:node:n1", (), "do not begin with system:"),
        ("jane", ("system:nodes",), "for machines"),
        ("jane", ("system:replicas",), "for machines"),
        ("jane", ("system:serviceaccounts:ci",), "for machines"),
        ("", (), "is empty"),
        ("jane", ("",), "is empty"),
        ("j" * 65, (), "64 characters"),
    ],
)
def test_nobody_is_given_the_name_of_a_machine(name, groups, told):
    with pytest.raises(ValueError, match=told):
        person_of(name, groups)


def test_without_the_authority_there_is_one_line(tmp_path):
    assert "server.yaml" in error_line(
        tim(None, "pki", "user", "jane", "-o", str(tmp_path / "x"), "--dir", str(tmp_path))
    )
