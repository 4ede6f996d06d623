"""Commands that change things: what reaches the cluster, what is said, and that one refusal does not stop the rest."""

from __future__ import annotations

import base64
import json

import pytest
import yaml

from api import errors
from tests.cli_rig import CliApi, deployment, error_line, pod, tim

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


@pytest.fixture
def api():
    return CliApi(namespaces=["default", "shop"])


def test_apply_tells_what_became_of_each_object(api):
    manifest = CONFIG_MAP % "a" + "---\n" + CONFIG_MAP % "b"
    assert tim(api, "apply", "-f", "-", stdin=manifest).stdout == "configmap/a created\nconfigmap/b created\n"
    assert tim(api, "apply", "-f", "-", stdin=manifest).stdout == "configmap/a unchanged\nconfigmap/b unchanged\n"
    changed = CONFIG_MAP % "a" + "data: {k: v}\n"
    assert tim(api, "apply", "-f", "-", stdin=changed).stdout == "configmap/a configured\n"


def test_apply_goes_on_after_a_refusal_and_fails_at_the_end(api):
    api.fault = lambda call: errors.Invalid("spec.x: unknown field") if call.name == "b" else None
    manifest = "---\n".join(
        [CONFIG_MAP % "a", CONFIG_MAP % "b", "{apiVersion: v2, kind: Foo, metadata: {name: f}}\n", CONFIG_MAP % "c"]
    )
    result = tim(api, "apply", "-f", "-", stdin=manifest)
    assert result.exit_code == 1
    assert result.stdout == "configmap/a created\nconfigmap/c created\n"
    assert result.stderr.splitlines() == [
        'Error: Invalid: ConfigMap "b": spec.x: unknown field',
        'Error: NotFound: Foo "f": there is no kind "Foo" in "v2"',
    ]


def test_atomic_apply_names_each_object_and_the_revision(api):
    manifest = CONFIG_MAP % "a" + "---\n" + CONFIG_MAP % "b"
    result = tim(api, "apply", "--atomic", "-f", "-", stdin=manifest)
    assert result.stdout == f"configmap/a created\nconfigmap/b created\n2 objects at revision {api.revision}\n"
    assert tim(api, "apply", "--atomic", "-o", "name", "-f", "-", stdin=manifest).stdout == "configmap/a\nconfigmap/b\n"


def test_atomic_apply_tells_every_reason_and_changes_nothing(api):
    faults = [errors.FieldError("data.x", "Invalid value"), errors.FieldError("data.y", "Required value")]
    wrong = {"b": errors.Invalid('ConfigMap "b" is invalid', faults), "c": errors.NotFound("no namespace")}
    api.fault = lambda call: wrong.get(call.name)
    unknown = "{apiVersion: v2, kind: Foo, metadata: {name: f}}\n"
    manifest = "---\n".join([*(CONFIG_MAP % name for name in "abc"), unknown])
    result = tim(api, "apply", "--atomic", "-f", "-", stdin=manifest)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "nothing was changed: 4 reasons against it",
        'Error: NotFound: Foo "f": there is no kind "Foo" in "v2"',
        'Error: Invalid: ConfigMap "b" is invalid: data.x: Invalid value',
        'Error: Invalid: ConfigMap "b" is invalid: data.y: Required value',
        'Error: NotFound: ConfigMap "c": no namespace',
    ]
    assert api.names("configmaps") == []


def test_atomic_apply_can_be_tried(api):
    result = tim(api, "apply", "--atomic", "--dry-run", "-f", "-", stdin=CONFIG_MAP % "a")
    assert result.stdout == "configmap/a created (dry run)\n"
    assert api.names("configmaps") == []


def test_apply_stops_at_once_when_nobody_serves(api):
    api.fault = lambda _call: errors.Unavailable("no leader")
    result = tim(api, "apply", "-f", "-", stdin=CONFIG_MAP % "a" + "---\n" + CONFIG_MAP % "b")
    assert error_line(result) == "Error: Unavailable: no leader"
    assert len(api.calls) == 1


def test_a_namespace_in_a_folder_is_made_before_what_lives_in_it(api, tmp_path):
    (tmp_path / "a.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: new}}")
    (tmp_path / "b.yml").write_text("{apiVersion: v1, kind: Namespace, metadata: {name: new}}")
    (tmp_path / "c.json").write_text(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}))
    (tmp_path / "notes.txt").write_text("not a manifest")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d.yaml").write_text(CONFIG_MAP % "d")
    result = tim(api, "apply", "-f", str(tmp_path))
    assert result.stdout == "namespace/new created\nconfigmap/a created\nconfigmap/c created\n"
    assert "configmap/d created\n" in tim(api, "apply", "-R", "-f", str(tmp_path)).stdout


@pytest.mark.parametrize("flag", ["--dry-run", "--dry-run=server", "--dry-run=client"])
def test_a_dry_run_changes_nothing_and_says_so(api, flag):
    assert tim(api, "apply", flag, "-f", "-", stdin=CONFIG_MAP % "a").stdout == "configmap/a created (dry run)\n"
    assert tim(api, "create", flag, "-f", "-", stdin=CONFIG_MAP % "a").stdout == "configmap/a created (dry run)\n"
    assert api.names("configmaps") == []


def test_objects_go_where_manifest_or_option_say_and_disagreement_is_refused(api):
    tim(api, "apply", "-n", "shop", "-f", "-", stdin=CONFIG_MAP % "a")
    assert api.names("configmaps", "shop") == ["a"]
    manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop}}"
    assert "they must agree" in error_line(tim(api, "apply", "-n", "default", "-f", "-", stdin=manifest))


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("", "no objects in -"),
        ("a: [", "standard input:"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: []}", "metadata must be a mapping"),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, metadata: {name: b}}", "given twice"),
        ("just words", "standard input:1"),
        ("{apiVersion: apps/v9, kind: Deployment, metadata: {name: a}}", 'use apiVersion "apps/v1"'),
    ],
)
def test_a_bad_manifest_is_one_line(api, manifest, said):
    assert said in error_line(tim(api, "apply", "-f", "-", stdin=manifest))


def test_create_refuses_what_exists(api):
    assert tim(api, "create", "-f", "-", stdin=CONFIG_MAP % "a").exit_code == 0
    assert "AlreadyExists" in error_line(tim(api, "create", "-f", "-", stdin=CONFIG_MAP % "a"))


def test_create_makes_objects_from_options(api, tmp_path):
    (tmp_path / "app.conf").write_text("x=1\n")
    (tmp_path / "blob").write_bytes(b"\xff\x00")
    (tmp_path / "env").write_text("# comment\n\nA=1\nB=two=2\n")
    assert tim(api, "create", "ns", "new").stdout == "namespace/new created\n"
    tim(
        api,
        "create",
        "configmap",
        "c",
        "--from-literal",
        "k=v=w",
        f"--from-file={tmp_path}/app.conf",
        f"--from-file=b={tmp_path}/blob",
        f"--from-env-file={tmp_path}/env",
    )
    made = api.tree("configmaps", "default", "c")
    assert made["data"] == {"k": "v=w", "app.conf": "x=1\n", "A": "1", "B": "two=2"}
    assert made["binaryData"] == {"b": base64.b64encode(b"\xff\x00").decode()}
    tim(api, "create", "secret", "generic", "s", "--from-literal=p=geheim", "-n", "shop")
    assert api.tree("secrets", "shop", "s")["data"] == {"p": base64.b64encode(b"geheim").decode()}
    tim(
        api, "create", "deploy", "web", "--image", "r:5000/Web_App:1", "--replicas=3", "--port", "80", "--", "run", "-x"
    )
    container = api.tree("deployments.apps", "default", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container == {
        "name": "web-app",
        "image": "r:5000/Web_App:1",
        "ports": [{"containerPort": 80}],
        "command": ["run", "-x"],
    }


def test_a_client_dry_run_prints_a_manifest_without_asking_anybody():
    result = tim(None, "create", "deployment", "web", "--image=nginx", "--dry-run=client", "-o", "yaml")
    tree = yaml.safe_load(result.stdout)
    assert tree["kind"] == "Deployment"
    assert "namespace" not in tree["metadata"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["configmap", "c", "--from-literal", "novalue"], "KEY=VALUE"),
        (["configmap", "c", "--from-literal=a=1", "--from-literal=a=2"], "'a' is given twice"),
        (["configmap", "c", "--from-literal=a b=1"], "cannot be a key"),
        (["configmap", "c", "--from-file=/no/such"], "/no/such: No such file"),
        (["configmap", "c", "--from-env-file=/no/such"], "/no/such: No such file"),
        (["deployment", "d", "--image=a", "--image=b", "--", "x"], "single --image"),
        (["deployment", "d", "--image=x/a", "--image=y/a"], "one name"),
        (["deployment", "d", "--image=:"], "no name can be made"),
    ],
)
def test_bad_options_of_generators_are_one_line(api, words, said):
    assert said in error_line(tim(api, "create", *words))


def test_delete_waits_until_the_objects_are_gone(api):
    api.put(pod("web"))
    api.fault = lambda call: api.finish("default", "web") if call.verb == "watch" else None
    result = tim(api, "delete", "pod", "web")
    assert (result.exit_code, result.stdout) == (0, "pod/web deleted\n")
    assert api.names("pods") == []


def test_delete_gives_up_waiting_after_its_time_out(api):
    api.put(pod("web"))
    result = tim(api, "delete", "pod/web", "--timeout=10ms")
    assert error_line(result) == "Error: TimedOut: not gone after 0.01 s; they are still being deleted"
    assert tim(api, "delete", "pod/web", "--wait=false").exit_code == 0


@pytest.mark.parametrize(("flags", "grace"), [(["--now"], 1), (["--grace-period=7"], 7), ([], 30)])
def test_delete_says_how_long_pods_may_take(api, flags, grace):
    api.put(pod("web"))
    tim(api, "delete", "pod/web", "--no-wait", *flags)
    assert api.tree("pods", "default", "web")["metadata"]["deletionGracePeriodSeconds"] == grace


def test_delete_by_force_removes_at_once(api):
    api.put(pod("web"))
    assert tim(api, "delete", "pod/web", "--force").stdout == "pod/web force deleted\n"
    assert api.names("pods") == []


def test_delete_chooses_by_labels_or_all_and_does_not_mind_what_went_meanwhile(api):
    for name, app in (("a", "x"), ("b", "x"), ("c", "y")):
        api.put(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
            }
        )
    api.fault = lambda call: errors.NotFound("gone") if (call.verb, call.name) == ("delete", "a") else None
    assert tim(api, "delete", "cm", "-l", "app=x").stdout == "configmap/b deleted\n"
    assert api.names("configmaps") == ["a", "c"]
    api.fault = None
    assert tim(api, "delete", "cm", "--all").exit_code == 0
    result = tim(api, "delete", "cm", "--all")
    assert (result.exit_code, result.stderr) == (0, "No resources found\n")


def test_delete_goes_on_after_what_is_not_there(api):
    tim(api, "create", "configmap", "a")
    result = tim(api, "delete", "cm", "nope", "a")
    assert result.stdout == "configmap/a deleted\n"
    assert error_line(result) == 'Error: NotFound: configmaps "nope" not found'
    assert tim(api, "delete", "cm", "nope", "--ignore-not-found").exit_code == 0


def test_delete_takes_manifests_and_names_the_kind_it_does_not_know(api):
    tim(api, "create", "configmap", "a")
    result = tim(
        api, "delete", "-f", "-", stdin=CONFIG_MAP % "a" + "---\n{apiVersion: v1, kind: Foo, metadata: {name: f}}"
    )
    assert result.stdout == "configmap/a deleted\n"
    assert error_line(result) == 'Error: NotFound: there is no kind "Foo" in "v1"'


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pods"], "name the pods, or choose with -l or --all"),
        (["pods", "a", "--all"], "not both"),
        (["pods", "a", "-A"], "use -n"),
        ([], "name a kind"),
        (["-f", "x.yaml", "--all"], "-f already says"),
    ],
)
def test_delete_never_guesses_what_is_meant(api, words, said):
    api.put(pod("a"))
    assert said in error_line(tim(api, "delete", *words))
    assert api.names("pods") == ["a"]


def test_labels_are_set_kept_overwritten_and_removed(api):
    api.put(pod("web", tier="front"))
    assert tim(api, "label", "pod", "web", "a=1").stdout == "pod/web labeled\n"
    assert tim(api, "label", "pod", "web", "a=1").stdout == "pod/web not labeled\n"
    assert error_line(tim(api, "label", "pod/web", "tier=back")) == (
        "Error: Conflict: web has tier=front: --overwrite changes it"
    )
    assert tim(api, "label", "pod/web", "tier=back", "a-", "--overwrite=true").exit_code == 0
    assert api.tree("pods", "default", "web")["metadata"]["labels"] == {"tier": "back"}
    assert tim(api, "label", "pod/web", "--list").stdout == "pod/web\n  tier=back\n"


def test_labelling_goes_on_after_a_refusal(api):
    api.put(pod("a", tier="x"))
    api.put(pod("b"))
    result = tim(api, "label", "pods", "--all", "tier=y")
    assert result.stdout == "pod/b labeled\n"
    assert result.exit_code == 1


def test_annotations_may_hold_anything(api):
    api.put(deployment())
    tim(api, "annotate", "deploy/web", "kubernetes.io/change-cause=a=b c", "--dry-run")
    assert "annotations" not in api.tree("deployments.apps", "default", "web")["metadata"]
    tim(api, "annotate", "deploy/web", "kubernetes.io/change-cause=a=b c")
    metadata = api.tree("deployments.apps", "default", "web")["metadata"]
    assert metadata["annotations"] == {"kubernetes.io/change-cause": "a=b c"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pod", "web"], "say what to set"),
        (["pod", "web", "a=1", "b"], "'b' is neither KEY=VALUE nor KEY-"),
        (["pod", "web", "a=1", "a-"], "'a' cannot be set and removed"),
        (["pod", "web", "=1"], "neither"),
        (["pods", "a=1"], "name the pods"),
    ],
)
def test_a_label_that_cannot_be_read_is_refused(api, words, said):
    assert said in error_line(tim(api, "label", *words))


def test_an_edit_that_lost_a_race_is_repeated_with_what_is_stored_now(api):
    api.put(deployment())

    def somebody_else_writes_first(call):
        if call.verb == "update":
            api.fault = None
            tree = api.tree("deployments.apps", "default", "web")
            api.put({**tree, "spec": {**tree["spec"], "paused": True}})

    api.fault = somebody_else_writes_first
    assert tim(api, "scale", "deploy/web", "--replicas=5").stdout == "deployment.apps/web scaled\n"
    spec = api.tree("deployments.apps", "default", "web")["spec"]
    assert (spec["replicas"], spec["paused"]) == (5, True)


def test_scaling_may_depend_on_how_many_there_are(api):
    api.put(deployment(replicas=2))
    refused = tim(api, "scale", "deploy/web", "--replicas=5", "--current-replicas=3")
    assert error_line(refused) == "Error: Conflict: web has 2 replicas, not 3"
    assert tim(api, "scale", "deploy/web", "--replicas=5", "--current-replicas=2").exit_code == 0
    assert api.tree("deployments.apps", "default", "web")["spec"]["replicas"] == 5


def test_only_what_has_replicas_can_be_scaled(api):
    assert "services cannot be scaled" in error_line(tim(api, "scale", "svc/web", "--replicas=1"))
    assert "name the deployments" in error_line(tim(api, "scale", "deploy", "--replicas=1"))
