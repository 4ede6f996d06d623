"""The pure parts behind the commands: conditions, rollouts, labels, descriptions, log lines, generators."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import Invalid, NotFound
from cli import generators, labels
from cli.conditions import Created, Deleted, found, path_steps, read
from cli.describe import _title, description
from cli.log_lines import LogLines
from cli.pods import choose_container
from cli.rollouts import RolloutStuck, own_replica_sets, progress, restarted, revision_of, undone
from tests.cli_rig import deployment, pod


def test_waiting_for_an_end_or_a_beginning_is_no_test_of_trees():
    assert (read("delete"), read("create")) == (Deleted(), Created())


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("condition=Ready", True),
        ("condition=ready=true", True),
        ("condition=Ready=False", False),
        ("condition=Nope", False),
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath='{.status.phase}'=Running", True),
        ("jsonpath={.status.phase}='Running'", True),
        ("jsonpath=.status.phase=Running", True),
        ("jsonpath={.status.phase}=Pending", False),
        ("jsonpath={.status.podIP}", True),
        ("jsonpath={.status.hostIP}", False),
        ("jsonpath={.status.containerStatuses[0].ready}=true", True),
        ("jsonpath={.status.containerStatuses[9].ready}=true", False),
        ("jsonpath={.metadata.labels.example\\.org/tier}=front", True),
        ("jsonpath={.metadata.labels['example.org/tier']}=front", True),
    ],
)
def test_conditions_are_read_as_kubectl_does(text, met):
    tree = pod("web") | {"metadata": {"labels": {"example.org/tier": "front"}}}
    assert read(text)(tree) is met


@pytest.mark.parametrize(
    "text", ["", "ready", "condition", "condition=", "jsonpath=", "jsonpath={}", "jsonpath={.a[*]}=1", "jsonpath={a}=1"]
)
def test_a_condition_that_cannot_be_read_is_refused(text):
    with pytest.raises(Invalid, match="--for"):
        read(text)


def test_a_condition_of_an_older_generation_does_not_count():
    tree = deployment()
    assert read("condition=Available")(tree)
    tree["metadata"]["generation"] = 2
    assert not read("condition=Available")(tree)


@given(st.lists(st.one_of(st.text("abc-", min_size=1), st.integers(0, 3)), min_size=1, max_size=5))
def test_every_path_of_names_and_indexes_is_read_back(steps):
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    assert path_steps(path) == steps
    assert found({}, steps) is None


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"observedGeneration": 0}, "Waiting for deployment spec update to be observed..."),
        ({"updatedReplicas": 1}, "1 out of 2 new replicas have been updated..."),
        ({"replicas": 3}, "1 old replicas are pending termination..."),
        ({"availableReplicas": 1}, "1 of 2 updated replicas are available..."),
    ],
)
def test_a_rollout_tells_what_it_waits_for(status, message):
    tree = deployment()
    tree["status"] |= status
    told, done = progress(tree)
    assert told.endswith(message)
    assert not done


def test_a_rollout_is_complete_when_all_pods_are_new_and_available():
    assert progress(deployment()) == ('deployment "web" successfully rolled out', True)


def test_a_rollout_over_its_deadline_is_stuck():
    tree = deployment()
    tree["status"]["conditions"] = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    with pytest.raises(RolloutStuck, match="exceeded its progress deadline"):
        progress(tree)


def replica_set(name, revision, image, owner="uid-web"):
    template = {
        "metadata": {"labels": {"app": "web", "pod-template-hash": name}},
        "spec": {"containers": [{"image": image}]},
    }
    return {
        "metadata": {
            "name": name,
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {"template": template},
    }


def deployed(image):
    tree = deployment()
    tree["metadata"]["uid"] = "uid-web"
    tree["spec"]["template"]["spec"]["containers"] = [{"image": image}]
    return tree


SETS = [
    replica_set("c", "10", "v3"),
    replica_set("a", "1", "v1"),
    replica_set("b", "2", "v2"),
    replica_set("x", "9", "no", "other"),
]


def test_revisions_are_numbers_and_only_own_ones_count():
    assert [each["metadata"]["name"] for each in own_replica_sets(deployed("v3"), SETS)] == ["a", "b", "c"]
    assert [revision_of(replica_set("q", text, "i")) for text in ("7", "", "x", "²")] == [7, 0, 0, 0]


@pytest.mark.parametrize(("revision", "image"), [(0, "v2"), (1, "v1"), (2, "v2")])
def test_undo_takes_the_template_of_an_earlier_revision_without_its_hash(revision, image):
    template = undone(deployed("v3"), SETS, revision)["spec"]["template"]
    assert template["spec"]["containers"] == [{"image": image}]
    assert template["metadata"]["labels"] == {"app": "web"}


def test_undo_to_what_is_there_changes_nothing():
    assert undone(deployed("v3"), SETS, 10) is None


@pytest.mark.parametrize(("revision", "sets"), [(9, SETS), (0, SETS[:1]), (0, [])])
def test_undo_to_nowhere_says_where_to_look(revision, sets):
    with pytest.raises(NotFound, match="tim rollout history deployment/web"):
        undone(deployed("v3"), sets, revision)


@pytest.mark.parametrize("change", [lambda tree: undone(tree, SETS, 0), lambda tree: restarted(tree, "now")])
def test_nothing_is_rolled_while_the_rollout_is_paused(change):
    tree = deployed("v3")
    tree["spec"]["paused"] = True
    with pytest.raises(Invalid, match="resume it first"):
        change(tree)


def test_a_restart_changes_nothing_but_one_annotation_of_the_template():
    before = deployed("v3")
    after = restarted(before, "2025-01-01T00:00:00Z")
    annotations = after["spec"]["template"]["metadata"].pop("annotations")
    assert list(annotations.values()) == ["2025-01-01T00:00:00Z"]
    assert after == before


@given(
    st.dictionaries(st.text("ab/.", min_size=1), st.text("cd=", max_size=3)),
    st.dictionaries(st.text("ab", min_size=1), st.text("ef")),
)
def test_setting_labels_twice_is_setting_them_once(before, settings):
    tree = {"metadata": {"name": "x", "labels": before}}
    after = labels.changed(tree, "labels", settings, [], overwrite=True) or tree
    assert after["metadata"]["labels"] == before | settings
    assert labels.changed(after, "labels", settings, [], overwrite=False) is None


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("podIP", "Pod IP"),
        ("podIPs", "Pod IPs"),
        ("dnsPolicy", "DNS Policy"),
        ("restartPolicy", "Restart Policy"),
        ("podCIDR", "Pod CIDR"),
        ("uid", "UID"),
        ("kubernetes.io/arch", "kubernetes.io/arch"),
        ("app-name", "app-name"),
    ],
)
def test_names_of_fields_are_written_as_words(name, title):
    assert _title(name) == title


def test_a_description_shows_every_field_with_states_beside_their_containers():
    tree = pod("web", "shop", "app", "side", app="web")
    tree["spec"]["nodeSelector"] = {"disk": "ssd"}
    text = description("pods", tree)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:4] == ["Name: web", "Namespace: shop", "Labels: app=web", "Annotations: <none>"]
    assert lines.count("Ready: true") == 2
    assert "disk: ssd" in lines
    assert "Container Statuses:" not in lines
    assert "Ready True" in lines


def test_a_description_names_the_owner_and_keeps_secrets():
    owner = {"kind": "ReplicaSet", "name": "web-1", "controller": True}
    tree = {"kind": "Secret", "metadata": {"name": "s", "ownerReferences": [owner]}, "data": {"password": "Z2VoZWlt"}}
    text = description("secrets", tree)
    assert "Controlled By:           ReplicaSet/web-1" in text
    assert "password:  6 bytes" in text
    assert "Z2VoZWlt" not in text


def test_lines_of_several_logs_are_never_mixed():
    one = LogLines("[a] ")
    assert one.feed(b"he") == b""
    assert one.feed(b"llo\nwor") == b"[a] hello\n"
    assert one.end() == b"[a] wor\n"
    assert one.end() == b""


@given(st.binary(max_size=30), st.lists(st.integers(0, 30)))
def test_pieces_of_a_log_make_the_same_lines_however_they_are_cut(data, cuts):
    lines, whole, ends = LogLines("> "), LogLines("> "), sorted(min(cut, len(data)) for cut in cuts)
    pieces = [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    assert b"".join(map(lines.feed, pieces)) + lines.end() == whole.feed(data) + whole.end()


def test_the_container_is_the_named_the_marked_or_the_first_one():
    tree = pod("web", "default", "app", "side")
    assert choose_container(tree, "side") == ("side", "")
    assert choose_container(tree, "") == ("app", "using container 'app' out of app, side (-c chooses)")
    tree["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "side"}
    assert choose_container(tree, "") == ("side", "")
    assert choose_container(pod("web"), "") == ("app", "")
    with pytest.raises(NotFound, match="it has app, side"):
        choose_container(tree, "nope")


@pytest.mark.parametrize(
    ("image", "name"),
    [("nginx", "nginx"), ("r.io:5000/a/B_c.d:1.2@sha256:ab", "b-c-d"), ("x" * 80, "x" * 63), ("-a-", "a")],
)
def test_containers_are_named_after_their_image(image, name):
    assert generators.container_name(image) == name


def test_a_bad_line_of_an_env_file_is_named():
    with pytest.raises(Invalid, match=r"x\.env:2"):
        generators.env_lines("A=1\nnonsense\n", "x.env")
