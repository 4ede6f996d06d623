"""`tim apply --prune`: what was applied before and stands in no manifest goes, and nothing else."""

from __future__ import annotations

import json

import pytest
import yaml

from api import errors
from api.wellknown import LAST_APPLIED_ANNOTATION
from tests.cli_rig import CliApi, tim


@pytest.fixture
def api():
    return CliApi(namespaces=["default", "shop"])


def config_map(name, namespace="default", applied=True, **metadata):
    annotations = {LAST_APPLIED_ANNOTATION: "{}"} if applied else {}
    named = {"name": name, "namespace": namespace, "labels": {"app": "web"}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": named | metadata}


def store(api, *trees):
    assert tim(api, "apply", "-f", "-", stdin=yaml.safe_dump_all(trees)).exit_code == 0


def names(api, namespace="default"):
    shown = tim(api, "get", "cm", "-n", namespace, "-o", "json").stdout
    return [each["metadata"]["name"] for each in json.loads(shown)["items"]]


def prune(api, *words, trees=()):
    manifests = yaml.safe_dump_all(trees or [config_map("kept")])
    return tim(api, "apply", "--prune", *words, "-f", "-", stdin=manifests)


def test_what_the_manifests_do_not_name_any_more_goes(api):
    store(api, config_map("kept"), config_map("old"))
    assert prune(api, "-l", "app=web").stdout == "configmap/kept unchanged\nconfigmap/old pruned\n"
    assert names(api) == ["kept"]


def test_what_was_never_applied_or_is_owned_or_elsewhere_or_chosen_by_no_label_stays(api):
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kept", "uid": "u"}
    store(
        api,
        config_map("kept"),
        config_map("made", applied=False),
        config_map("child", ownerReferences=[owner]),
        config_map("other", labels={"app": "db"}),
        config_map("far", "shop"),
    )
    assert prune(api, "-l", "app=web").stdout == "configmap/kept unchanged\n"
    assert names(api) == ["child", "kept", "made", "other"]
    assert prune(api, "--all").stdout == "configmap/kept unchanged\nconfigmap/other pruned\n"
    assert names(api, "shop") == ["far"]


def test_only_kinds_of_the_list_are_looked_through(api):
    store(api, config_map("old"))
    assert prune(api, "-l", "app=web", "--prune-allowlist", "apps/v1/Deployment").exit_code == 0
    assert "old" in names(api)
    assert prune(api, "-l", "app=web", "--prune-allowlist", "core/v1/ConfigMap").exit_code == 0
    assert names(api) == ["kept"]


def test_nothing_is_pruned_after_a_refusal_or_in_a_dry_run(api):
    store(api, config_map("old"))
    assert "configmap/old pruned (dry run)" in prune(api, "-l", "app=web", "--dry-run").stdout
    api.fault = lambda call: errors.Invalid("no") if call.name == "kept" else None
    assert prune(api, "-l", "app=web").exit_code == 1
    assert "old" in names(api)


def test_labels_choose_what_is_applied_too(api):
    other = config_map("other", labels={"app": "db"})
    assert prune(api, "-l", "app=web", trees=(config_map("kept"), other)).stdout == "configmap/kept created\n"
    result = tim(api, "apply", "-l", "app=db", "-f", "-", stdin=yaml.safe_dump_all([config_map("a"), other]))
    assert result.stdout == "configmap/other created\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--prune",), "--prune needs -l LABELS"),
        (("--prune", "--all", "-l", "a=b"), "--prune needs -l LABELS"),
        (("--prune", "--all", "--server-side"), "neither with --server-side"),
        (("--prune", "--all", "--atomic"), "nor with --atomic"),
        (("--all",), "need --prune"),
        (("--prune", "--all", "--prune-allowlist", "ConfigMap"), "GROUP/VERSION/KIND"),
        (("--prune", "--all", "--prune-allowlist", "core/v1/Wombat"), "Wombat"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(api, words, why):
    result = tim(api, "apply", *words, "-f", "-", stdin=yaml.safe_dump(config_map("a")))
    assert result.exit_code == 2
    assert why in result.stderr
    assert names(api) == []
