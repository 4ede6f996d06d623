"""`tim patch`: what reaches the cluster and what is said."""

from __future__ import annotations

import pytest

from tests.cli_rig import CliApi, deployment, error_line, pod, tim


@pytest.fixture
def api():
    api = CliApi(namespaces=["default", "shop"])
    api.put(deployment("web"))
    api.put(pod("p", "shop"))
    return api


def test_a_patch_is_yaml_or_json_and_strategic_unless_told_otherwise(api):
    result = tim(api, "patch", "deploy/web", "-p", "spec: {replicas: 7}")
    assert result.stdout == "deployment.apps/web patched\n"
    assert api.tree("deployments.apps", "default", "web")["spec"]["replicas"] == 7
    again = tim(api, "patch", "deployment", "web", "-p", '{"spec": {"replicas": 7}}', "--type", "merge")
    assert again.stdout == "deployment.apps/web patched (no change)\n"


def test_a_json_patch_comes_from_a_file_and_the_object_from_a_manifest(api, tmp_path):
    (tmp_path / "patch.yaml").write_text("- {op: add, path: /metadata/labels, value: {tier: front}}\n")
    (tmp_path / "pod.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}}")
    words = ("--type", "json", "--patch-file", str(tmp_path / "patch.yaml"), "-o", "name")
    result = tim(api, "patch", "-f", str(tmp_path / "pod.yaml"), *words)
    assert result.stdout == "pod/p\n"
    assert api.tree("pods", "shop", "p")["metadata"]["labels"] == {"tier": "front"}


def test_a_dry_run_says_so(api):
    result = tim(api, "patch", "deploy/web", "-p", "spec: {replicas: 9}", "--dry-run")
    assert result.stdout == "deployment.apps/web patched (dry run)\n"
    assert api.tree("deployments.apps", "default", "web")["spec"]["replicas"] != 9


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("deploy/web",), 2, "give the patch with -p or with --patch-file"),
        (("deploy/web", "-p", "{"), 2, "patch:2: "),
        (("deploy/web", "-p", "a: 1\n---\nb: 2"), 2, "expected one document, not 2"),
        (("deploy/web", "--patch-file", "/nowhere"), 2, "/nowhere: No such file"),
        (("-p", "{}"), 1, "name the objects"),
        (("deploy", "-p", "{}"), 1, "name the deployments to patch"),
        (("deploy/none", "-p", "{}"), 1, "not found"),
        (("deploy/web", "-p", "metadata: {name: x}"), 1, "a patch cannot change it"),
    ],
)
def test_what_is_wrong_is_one_line(api, words, code, said):
    result = tim(api, "patch", *words)
    assert said in error_line(result)
    assert result.exit_code == code
