"""The past on the command line: get --at and --ago, diff, history."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from api import errors
from api.v1 import apiserver_pb2 as pb
from cli.past import seconds_of
from tests.cli_rig import CliApi, deployment, error_line, pod, tim


@pytest.fixture
def api():
    api = CliApi(namespaces=["default", "shop"])
    for each in (pod("db", app="db"), pod("web", app="web"), deployment()):
        api.put(each)
    api.before = api.revision
    tree = api.tree("deployments.apps", "default", "web")
    tree["spec"]["replicas"] = 7
    api.put(tree)
    api.finish("default", "db")
    api.put(pod("new"))
    return api


def rows(result):
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()]


def test_objects_are_shown_as_they_were_at_a_revision(api):
    assert [row[0] for row in rows(tim(api, "get", "pods"))] == ["NAME", "new", "web"]
    assert [row[0] for row in rows(tim(api, "get", "pods", f"--at={api.before}"))] == ["NAME", "db", "web"]
    assert "replicas: 7\n" in tim(api, "get", "deploy/web", "-o", "yaml").stdout
    assert "replicas: 7\n" not in tim(api, "get", "deploy/web", f"--at={api.before}", "-o", "yaml").stdout
    assert [row[0] for row in rows(tim(api, "get", "pods", f"--at={api.before}", "-l", "app=db"))] == ["NAME", "db"]


def test_so_long_ago_is_asked_as_a_time(api):
    api.times = [api.before]
    assert [row[0] for row in rows(tim(api, "get", "pods", "--ago", "10m"))] == ["NAME", "db", "web"]
    asked = datetime.fromisoformat(api.asked_times[0])
    assert 590 < (datetime.now(UTC) - asked).total_seconds() < 620


def test_a_time_may_be_given_with_or_without_its_zone():
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
    assert seconds_of("2026-11-21T10:00:00Z", now) == now - 7200
    assert seconds_of("2026-11-21T11:00:00+01:00", now) == now - 7200
    local = datetime.fromtimestamp(now - 7200).astimezone()
    assert seconds_of(local.strftime("%H:%M"), now) == now - 7200
    assert seconds_of(local.strftime("%Y-%m-%dT%H:%M:%S"), now) == now - 7200


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["get", "pods", "--at", ""], "Invalid value for '--at': it is empty: write a revision or a time"),
        (["diff", "pods", "--at", "1", "--to", " "], "Invalid value for '--to': it is empty"),
        (["get", "pods", "--at", "9" * 5000], "it has more than 19 digits"),
        (["diff", "--at", "99999999999999999999"], "it has more than 19 digits"),
        (["diff", "-f", "x.yaml", "--at", "1"], "leave out everything but -f and -n"),
        (["diff", "pods", "-f", "x.yaml"], "leave out everything but -f and -n"),
    ],
)
def test_points_that_cannot_be_meant_are_refused_with_a_word(api, words, told):
    result = tim(api, *words)
    assert result.exit_code == 2
    assert told in error_line(result)


def test_longer_ago_than_there_is_time_is_the_beginning(api):
    api.times = [0]
    assert tim(api, "get", "pods", "--ago", "99999999999d").exit_code == 0
    assert api.asked_times == ["1970-01-01T00:00:00.000Z"]


def test_a_difference_of_what_never_was_is_not_found(api):
    result = tim(api, "diff", "pod/never", "--at", str(api.before))
    assert result.exit_code == 2
    assert f'pods "never" was there neither at revision {api.before} nor at revision' in error_line(result)


@pytest.mark.parametrize("words", [["--at", "yesterday"], ["--at", "5", "--ago", "1m"], ["--ago", "1m", "-w"]])
def test_points_that_make_no_sense_are_wrong_command_lines(api, words):
    result = tim(api, "get", "pods", *words)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_what_history_does_not_hold_is_one_line(api):
    api.compact()
    assert error_line(tim(api, "get", "pods", "--at=5")) == "Error: Expired: revision 5 is not kept"


def test_diff_shows_what_came_changed_and_went(api):
    result = tim(api, "diff", "pods,deploy", f"--at={api.before}")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("--- ")] == [
        f"--- default/pod/db  revision {api.before}",
        f"--- default/pod/new  revision {api.before}",
        f"--- default/deployment.apps/web  revision {api.before}",
    ]
    assert "-  replicas: 2" in lines
    assert "+  replicas: 7" in lines
    assert not any("resourceVersion" in line for line in lines)


def test_diff_may_end_before_now_and_tells_by_its_exit_code(api):
    assert tim(api, "diff", "pods", f"--at={api.before}", f"--to={api.before}").exit_code == 0
    assert tim(api, "diff", "--at", str(api.before), "-l", "app=web").exit_code == 0
    assert tim(api, "diff", "pod/db", "--at", str(api.before)).exit_code == 1
    failed = tim(api, "diff", "podz", "--at", "5")
    assert failed.exit_code == 2
    assert tim(api, "diff", "pods").exit_code == 2
    api.fault = lambda _call: errors.Unavailable("no leader")
    failed = tim(api, "diff", "pods", "--at", "5")
    assert (failed.exit_code, failed.stderr) == (2, "Error: Unavailable: no leader\n")


def test_diff_of_a_manifest_shows_what_applying_it_would_change(api):
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n"
    fresh = tim(api, "diff", "-f", "-", stdin=manifest)
    assert fresh.exit_code == 1
    assert "+  k: v" in fresh.stdout
    tim(api, "apply", "-f", "-", stdin=manifest)
    assert tim(api, "diff", "-f", "-", stdin=manifest).exit_code == 0
    changed = tim(api, "diff", "-f", "-", stdin=manifest.replace("v}", "w}"))
    assert "-  k: v\n+  k: w\n" in changed.stdout
    assert api.tree("configmaps", "default", "a")["data"] == {"k": "v"}


def test_history_lists_changes_with_their_fields(api):
    api.histories["deployments.apps", "default", "web"] = pb.HistoryResponse(
        changes=[
            {"revision": 5, "time": "2026-11-21T10:00:00Z", "type": "ADDED"},
            {
                "revision": 9,
                "time": "2026-11-21T10:01:00Z",
                "type": "MODIFIED",
                "paths": ["spec.replicas", "x"],
                "user": "anna",
            },
        ],
        complete=True,
    )
    result = tim(api, "history", "deploy/web")
    assert rows(result) == [
        ["REVISION", "TIME", "CHANGE", "BY", "FIELDS"],
        ["5", "2026-11-21T10:00:00Z", "created", "-"],
        ["9", "2026-11-21T10:01:00Z", "changed", "anna", "spec.replicas,", "x"],
    ]
    assert result.stderr == ""


def test_history_says_where_it_begins(api):
    answer = api.histories["pods", "default", "web"] = pb.HistoryResponse(
        changes=[{"revision": 9, "type": "MODIFIED"}], complete=True, oldest_revision=7, oldest_time="T"
    )
    begin = "history begins at revision 7 (T): earlier changes are not kept\n"
    assert tim(api, "history", "pod/web").stderr == begin
    answer.complete = False
    assert tim(api, "history", "pod/web", "--limit", "1").stderr == "earlier changes are not shown: --limit is 1\n"
    assert tim(api, "history", "pods").exit_code == 2
    assert error_line(tim(api, "history", "pod/none")) == 'Error: NotFound: pods "none" not found'
