"""`tim edit`: what an editor leaves behind, and what becomes of it. Editors here are shell commands."""

from __future__ import annotations

import pytest

from api import errors
from cli.editing import body, merged, shown
from tests.cli_rig import CliApi, deployment, error_line, tim


@pytest.fixture
def api(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("KUBE_EDITOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    api = CliApi()
    api.put(deployment("web"))
    return api


def left_behind(tmp_path):
    return list(tmp_path.glob("tim-edit-*"))


def test_what_was_changed_is_stored(api, tmp_path, monkeypatch):
    monkeypatch.setenv("EDITOR", "sed -i 's/image: i/image: j/'")
    assert tim(api, "edit", "deploy/web").stdout == "deployment.apps/web edited\n"
    spec = api.tree("deployments.apps", "default", "web")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "j"
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(("editor", "why"), [("true", "no changes made"), ("truncate -s 0", "saved file was empty")])
def test_an_edit_is_cancelled(api, tmp_path, monkeypatch, editor, why):
    monkeypatch.setenv("EDITOR", editor)
    result = tim(api, "edit", "deploy/web")
    assert (result.exit_code, result.stdout) == (0, f"Edit cancelled, {why}.\n")
    assert left_behind(tmp_path) == []


def test_an_editor_that_fails_changes_nothing(api, tmp_path, monkeypatch):
    monkeypatch.setenv("EDITOR", "false")
    assert "the editor 'false' failed (exit code 1)" in error_line(tim(api, "edit", "deploy/web"))
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("s/name: web$/name: other/", "metadata.name: an edit cannot change it"),
        ("s/readyReplicas: 2/readyReplicas: 3/", "status: the cluster writes it"),
        ("s/^spec:/spec: [/", "the edited text"),
    ],
)
def test_what_cannot_be_is_shown_again_with_the_reason_and_kept_when_given_up(
    api, tmp_path, monkeypatch, change, reason
):
    seen = tmp_path / "seen"
    script = tmp_path / "editor"
    script.write_text(
        f'#!/bin/sh\nif [ -e {seen} ]; then cp "$1" {seen}; else touch {seen}; sed -i "{change}" "$1"; fi\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    line = error_line(tim(api, "edit", "deploy/web"))
    kept = left_behind(tmp_path)
    assert reason in line
    assert len(kept) == 1
    assert str(kept[0]) in line
    assert kept[0].stat().st_mode & 0o777 == 0o600
    heading = "\n".join(each for each in seen.read_text().splitlines() if each.startswith("#"))
    assert "# Not accepted: Invalid:" in heading
    assert api.tree("deployments.apps", "default", "web")["metadata"]["name"] == "web"


def test_a_refusal_can_be_mended(api, tmp_path, monkeypatch):
    refused = iter([errors.Invalid("spec.replicas: no"), None])
    api.fault = lambda call: next(refused, None) if call.verb == "update" else None
    count = tmp_path / "count"
    script = tmp_path / "editor"
    script.write_text(f'#!/bin/sh\necho x >> {count}\nsed -i "s/image: .*/image: v$(wc -l < {count})/" "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("KUBE_EDITOR", str(script))
    assert tim(api, "edit", "deploy/web").stdout == "deployment.apps/web edited\n"
    spec = api.tree("deployments.apps", "default", "web")["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == "v2"


def test_what_others_change_meanwhile_stays(api, monkeypatch, tmp_path):
    monkeypatch.setenv("EDITOR", "sed -i 's/image: i/image: j/'")
    conflicts = iter([errors.Conflict("stale"), None])

    def fault(call):
        if call.verb != "update":
            return None
        error = next(conflicts, None)
        if error is not None:
            tree = api.tree("deployments.apps", "default", "web")
            tree["spec"]["replicas"] = 9
            api.put(tree)
        return error

    api.fault = fault
    assert tim(api, "edit", "deploy/web").stdout == "deployment.apps/web edited\n"
    spec = api.tree("deployments.apps", "default", "web")["spec"]
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]) == (9, "j")


def test_the_same_field_changed_by_two_is_a_conflict():
    original = {"spec": {"a": 1, "b": [1]}}
    assert merged(original, {"spec": {"a": 2, "b": [1]}}, {"spec": {"a": 1, "b": [2]}}) == {"spec": {"a": 2, "b": [2]}}
    assert merged(original, {"spec": {"b": [1]}}, original) == {"spec": {"b": [1]}}
    assert merged(original, {"spec": {"a": 2, "b": [1]}}, {"spec": {"a": 2, "b": [1]}})["spec"]["a"] == 2
    with pytest.raises(errors.Conflict, match=r"spec\.b: somebody else"):
        merged(original, {"spec": {"a": 1, "b": [3]}}, {"spec": {"a": 1, "b": [4]}})
    with pytest.raises(errors.Conflict, match=r"spec\.a"):
        merged(original, {"spec": {"a": 2, "b": [1]}}, {"spec": {"b": [1]}})


def test_the_heading_is_not_part_of_the_object():
    assert body(shown("a: 1\n# mine\nb: 2", ["bad\nworse"])) == "a: 1\n# mine\nb: 2"


def test_objects_may_come_from_manifests_and_json_may_be_edited(api, monkeypatch):
    monkeypatch.setenv("EDITOR", """sed -i 's/"image": "i"/"image": "j"/'""")
    manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    result = tim(api, "edit", "-f", "-", "-o", "json", stdin=manifest)
    assert result.stdout == "deployment.apps/web edited\n"
    assert tim(api, "edit").exit_code == 2
