"""Audit policies: which rule decides, and what is refused."""

from __future__ import annotations

import pytest
import yaml

from component.config import ConfigProblem, load
from controlplane.admission.request import Identity
from controlplane.audit.policy import Level, PolicyProblem, policy_of, read_policy
from controlplane.config import ServerConfig
from controlplane.rbac.attributes import Attributes, on_path

JANE = Identity("jane", ("dev",))
HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"


def asked(verb="create", resource="pods", group="", subresource="", namespace="default", name="web"):
    return Attributes(verb, group, resource, subresource, namespace, name)


def level(rules, what, caller=JANE):
    return read_policy(f"{HEAD}rules:\n{rules}", "audit.yaml").level(caller, what, 200)


@pytest.mark.parametrize("name", ["", "Metadata"])
def test_without_a_policy_what_changes_something_is_recorded(name):
    policy = policy_of(name)
    verbs = ("create", "update", "patch", "delete", "deletecollection", "post", "put")
    assert {policy.level(JANE, asked(verb), 200) for verb in verbs} == {Level.METADATA}
    assert {policy.level(JANE, asked(verb), 404) for verb in verbs} == {Level.METADATA}


def test_without_a_policy_reads_leave_a_line_only_when_they_were_refused():
    policy = policy_of("RequestResponse")
    assert {policy.level(JANE, asked(verb), 200) for verb in ("get", "list", "watch", "head")} == {Level.NONE}
    assert {policy.level(JANE, asked("list"), code) for code in (401, 403)} == {Level.REQUEST_RESPONSE}


def test_the_level_none_records_nothing():
    assert policy_of("None").level(JANE, asked("delete"), 403) == Level.NONE


def test_the_first_rule_that_fits_decides_and_what_none_fits_is_not_recorded():
    rules = """
- level: None
  users: [jane]
  verbs: [create]
- level: Request
  userGroups: [dev]
  resources: [{group: ""}]
"""
    assert level(rules, asked("create")) == Level.NONE
    assert level(rules, asked("delete")) == Level.REQUEST
    assert level(rules, asked("delete"), Identity("joe", ("dev",))) == Level.REQUEST
    assert level(rules, asked("delete"), Identity("joe", ("ops",))) == Level.NONE
    assert level(rules, asked("delete", "deployments", "apps")) == Level.NONE


def test_whoever_is_known_is_in_the_group_of_the_authenticated_and_nobody_else():
    rules = "- {level: Metadata, userGroups: [system:authenticated]}"
    assert level(rules, asked()) == Level.METADATA
    assert level(rules, asked(), Identity("")) == Level.NONE


@pytest.mark.parametrize(
    ("resource", "what", "fits"),
    [
        ("pods", asked(), True),
        ("pods", asked(subresource="log"), False),
        ("pods/log", asked(subresource="log"), True),
        ("pods/log", asked(), False),
        ("pods/*", asked(subresource="exec"), True),
        ("pods/*", asked(resource="services"), False),
        ("*/status", asked(subresource="status"), True),
        ("*/status", asked(), False),
        ("*", asked(subresource="log"), True),
        ("*", asked(resource="deployments", group="apps"), False),
    ],
)
def test_resources_fit_as_in_kubernetes(resource, what, fits):
    assert bool(level(f'- level: Metadata\n  resources: [{{resources: ["{resource}"]}}]', what)) == fits


def test_names_and_namespaces_narrow_a_rule():
    rules = "- level: Metadata\n  namespaces: [prod]\n  resources: [{resources: [pods], resourceNames: [web]}]"
    assert level(rules, asked(namespace="prod")) == Level.METADATA
    assert level(rules, asked(namespace="prod", name="db")) == Level.NONE
    assert level(rules, asked()) == Level.NONE


def test_the_empty_namespace_means_what_is_in_none():
    rules = '- {level: Metadata, namespaces: [""]}'
    assert level(rules, asked("create", "nodes", namespace="")) == Level.METADATA
    assert level(rules, asked()) == Level.NONE
    assert level(rules, on_path("get", "/version")) == Level.NONE


@pytest.mark.parametrize(
    ("url", "path", "fits"),
    [
        ("/healthz", "/healthz", True),
        ("/healthz", "/healthz/x", False),
        ("/health*", "/healthz/x", True),
        ("*", "/x", True),
    ],
)
def test_paths_fit_whole_or_by_their_beginning(url, path, fits):
    rules = f'- {{level: Metadata, nonResourceURLs: ["{url}"]}}'
    assert bool(level(rules, on_path("get", path))) == fits
    assert level(rules, asked()) == Level.NONE


def test_who_leaves_out_the_stage_at_which_lines_are_written_gets_none():
    assert level("- {level: Metadata, omitStages: [ResponseComplete]}", asked()) == Level.NONE
    assert (
        level("- {level: Metadata, omitStages: [RequestReceived, ResponseStarted, Panic]}", asked()) == Level.METADATA
    )
    policy = read_policy(f"{HEAD}omitStages: [ResponseComplete]\nrules: [{{level: Request}}]", "audit.yaml")
    assert policy.level(JANE, asked(), 200) == Level.NONE


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (HEAD + "rules: []", "rules"),
        (HEAD, "rules"),
        (HEAD + "omitManagedFields: true\nrules: [{level: None}]", "omitManagedFields"),
        (HEAD + "rules: [{level: None, user: jane}]", "user"),
        (HEAD + "rules: [{level: Some}]", "Some"),
        (HEAD + "rules: [{verbs: [get]}]", "level"),
        (HEAD + "rules: [{level: None, omitStages: [Never]}]", "Never"),
        (HEAD + "rules: [{level: None, resources: [{resource: pods}]}]", "resource"),
        (HEAD + "rules: [{level: None, resources: [{resourceNames: [web]}]}]", "resourceNames"),
        (HEAD + "rules: [{level: None, resources: [{group: apps/v1}]}]", "group"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [healthz]}]", "nonResourceURLs"),
        (HEAD + 'rules: [{level: None, nonResourceURLs: ["/a*/b"]}]', "nonResourceURLs"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [/a], namespaces: [x]}]", "nonResourceURLs"),
        ("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]", "v1beta1"),
        ("rules: [{level: None}]", "apiVersion"),
        ("[", "audit.yaml:2: while parsing a flow node"),
        ("", "audit.yaml"),
    ],
)
def test_what_a_policy_cannot_say_is_refused_by_its_name(text, named):
    with pytest.raises(PolicyProblem, match=r"^audit\.yaml:") as refused:
        read_policy(text, "audit.yaml")
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"audit_level": "Request", "audit_policy_file": "p.yaml"}, "audit_policy_file"),
        ({"audit_level": "metadata"}, "audit_level"),
        ({"audit_log_mebibytes": 0}, "audit_log_mebibytes"),
        ({"audit_log_kept": -1}, "audit_log_kept"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, named):
    path = tmp_path / "server.yaml"
    path.write_text(yaml.safe_dump({"replica": "r1", "cluster_uid": "c", "replicas": {"r1": "10.0.0.1"}, **settings}))
    with pytest.raises(ConfigProblem, match=named):
        load(ServerConfig, path, {}, prefix="TIM_SERVER")
