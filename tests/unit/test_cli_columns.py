"""Tables: ages, states and columns as kubectl shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cells import age
from api.columns import COLUMNS, columns_of
from api.object import at
from api.pod_cells import pod_ready, pod_restarts, pod_status
from api.scheme import KINDS
from cli import colour
from cli.output import align, rows
from component.env import rfc3339
from tests.cli_rig import deployment, pod

NOW = 1_750_000_000.0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (599, "9m59s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (18_120, "5h2m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (176_400, "2d1h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (731 * 86400, "2y1d"),
    ],
)
def test_ages_are_shortened_as_kubectl_does(seconds, shown):
    assert age(rfc3339(NOW - seconds), NOW) == shown


def test_an_unset_time_is_an_unknown_age_and_the_future_is_now():
    assert age("", NOW) == "<unknown>"
    assert age(rfc3339(NOW + 50), NOW) == "0s"


def test_what_is_no_time_does_not_hide_other_rows():
    assert age("yesterday", NOW) == "<invalid>"


@given(st.integers(0, 10**9))
def test_every_age_is_short(seconds):
    assert len(age(rfc3339(NOW - seconds), NOW)) <= 7


def state(**states):
    return {"status": {"phase": "Running", "containerStatuses": [{"name": "a", "state": states}]}}


@pytest.mark.parametrize(
    ("tree", "shown"),
    [
        ({}, "Pending"),
        ({"status": {"phase": "Pending"}}, "Pending"),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted"),
        (state(waiting={"reason": "CrashLoopBackOff"}), "CrashLoopBackOff"),
        (state(terminated={"reason": "Error", "exitCode": 1}), "Error"),
        (state(terminated={"exitCode": 3}), "ExitCode:3"),
        (state(terminated={"signal": 9}), "Signal:9"),
        (state(running={}), "Running"),
        ({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}, "Terminating"),
        ({"metadata": {"deletionTimestamp": "x"}, "status": {"reason": "NodeLost"}}, "Unknown"),
    ],
)
def test_the_status_of_a_pod_is_the_worst_that_is_known(tree, shown):
    assert pod_status(tree) == shown


def test_a_pod_with_one_finished_and_one_ready_container_is_running():
    statuses = [
        {"name": "a", "state": {"terminated": {"reason": "Completed"}}},
        {"name": "b", "ready": True, "state": {"running": {}}},
    ]
    status = {"phase": "Running", "containerStatuses": statuses, "conditions": [{"type": "Ready", "status": "True"}]}
    assert pod_status({"status": status}) == "Running"
    assert pod_status({"status": {**status, "conditions": []}}) == "NotReady"


def initial(*statuses, initialized=False, **main):
    """A pod with init containers in these states; those whose state says `started` are sidecars."""
    specs, shown = [], []
    for place, (state, fields) in enumerate(statuses):
        name = f"i{place}"
        shown.append({"name": name, "restartCount": place + 1, "state": state, **fields})
        specs.append({"name": name, **({"restartPolicy": "Always"} if "started" in fields else {})})
    return {
        "spec": {"initContainers": specs, "containers": [{"name": "main"}]},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "Initialized", "status": str(initialized)}],
            "initContainerStatuses": shown,
            "containerStatuses": [
                {"name": "main", "restartCount": 7, "state": {"waiting": {"reason": "PodInitializing"}}, **main}
            ],
        },
    }


RUNNING = {"running": {}}
DONE = ({"terminated": {"exitCode": 0, "reason": "Completed"}}, {"ready": True})
WAITS = ({"waiting": {"reason": "PodInitializing"}}, {})
SERVING = (RUNNING, {"started": True, "ready": True})


@pytest.mark.parametrize(
    ("pod_tree", "status", "ready", "restarts"),
    [
        (initial(WAITS, WAITS), "Init:0/2", "0/1", "1"),
        (initial((RUNNING, {}), WAITS), "Init:0/2", "0/1", "1"),
        (initial(DONE, (RUNNING, {})), "Init:1/2", "0/1", "3"),
        (initial(({"terminated": {"exitCode": 1, "reason": "Error"}}, {}), WAITS), "Init:Error", "0/1", "1"),
        (initial(({"terminated": {"exitCode": 3}}, {})), "Init:ExitCode:3", "0/1", "1"),
        (initial(DONE, ({"waiting": {"reason": "CrashLoopBackOff"}}, {})), "Init:CrashLoopBackOff", "0/1", "3"),
        (initial(({"waiting": {"reason": "ImagePullBackOff"}}, {})), "Init:ImagePullBackOff", "0/1", "1"),
        (initial(DONE, DONE, initialized=True), "PodInitializing", "0/1", "7"),
        (initial(SERVING, (RUNNING, {})), "Init:1/2", "1/2", "3"),
        (initial((RUNNING, {"started": False}), WAITS), "Init:0/2", "0/2", "1"),
        (initial(SERVING, DONE, initialized=True, state=RUNNING, ready=True), "Pending", "2/2", "8"),
        (
            initial((RUNNING, {"started": True}), initialized=True, state=RUNNING, ready=True),
            "Pending",
            "1/2",
            "8",
        ),
        (
            initial(
                ({"waiting": {"reason": "CrashLoopBackOff"}}, {"started": False}),
                initialized=True,
                state=RUNNING,
                ready=True,
            ),
            "Pending",
            "1/2",
            "8",
        ),
    ],
)
def test_the_cells_of_a_pod_with_init_containers_are_those_of_kubernetes(pod_tree, status, ready, restarts):
    assert (pod_status(pod_tree), pod_ready(pod_tree, NOW), pod_restarts(pod_tree, NOW)) == (status, ready, restarts)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource)
def test_an_object_with_nothing_but_a_name_still_has_a_row(kind):
    table = rows(kind.resource, [{"metadata": {"name": "x"}}], NOW, wide=True)
    assert len(table[0]) == len(table[1])
    assert kind.resource == "events" or table[1][0] == "x"


def test_wide_columns_show_only_when_asked_for():
    narrow = [column.heading for column in columns_of("pods", wide=False)]
    wide = [column.heading for column in columns_of("pods", wide=True)]
    assert "NODE" not in narrow
    assert wide == [*narrow, "IP", "NODE"]


def test_columns_for_the_clients_of_kubernetes_alone_are_not_printed():
    assert "NOMINATED NODE" not in rows("pods", [pod("web")], NOW, wide=True)[0]
    assert rows("serviceaccounts", [{"metadata": {"name": "x"}}], NOW)[0] == ["NAME", "AGE"]


def test_rows_carry_namespace_labels_and_chosen_labels():
    tree = pod("web", "shop", app="web", tier="front")
    table = rows(
        "pods", [tree], NOW, with_namespace=True, with_labels=True, label_columns=["app", "x/zone"], prefix="pod/"
    )
    assert table[0][:2] == ["NAMESPACE", "NAME"]
    assert table[0][-3:] == ["APP", "ZONE", "LABELS"]
    assert table[1][:2] == ["shop", "pod/web"]
    assert table[1][-3:] == ["web", "", "app=web,tier=front"]


def test_a_deployment_counts_what_is_ready():
    assert rows("deployments.apps", [deployment(replicas=3)], NOW)[1][1:4] == ["3/3", "3", "3"]


def test_restarts_tell_when_the_last_one_was():
    tree = pod("web")
    tree["status"]["containerStatuses"][0] |= {
        "restartCount": 4,
        "lastState": {"terminated": {"finishedAt": rfc3339(NOW - 65)}},
    }
    assert rows("pods", [tree], NOW)[1][3] == "4 (65s ago)"


def test_a_long_list_of_endpoints_is_cut():
    tree = {"metadata": {"name": "s"}, "endpoints": [{"addresses": [f"10.0.0.{each}"]} for each in range(5)]}
    assert rows("endpointslices.discovery.k8s.io", [tree], NOW)[1][3] == "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more..."


def test_columns_are_aligned_without_blanks_at_line_ends():
    assert (
        align([["NAME", "AGE"], ["a-long-name", ""], ["b", "3s"]]) == "NAME          AGE\na-long-name\nb             3s"
    )


def test_columns_can_be_at_least_so_wide():
    assert align([["A", "B"]], [5, 0]) == "A       B"


@given(st.lists(st.tuples(st.text("ab ", max_size=5), st.text("ab", max_size=5)), min_size=1, max_size=5))
def test_every_row_of_a_table_is_one_line(table):
    assert len(align(table).split("\n")) == len(table)


def test_only_status_words_are_painted_and_the_heading_is_not():
    table = [["NAME", "STATUS"], ["Running", "Running"], ["b", "CrashLoopBackOff"], ["c", "Pending"]]
    lines = align(table, (), colour.paint).split("\n")
    assert "\x1b" not in lines[0]
    assert lines[1].startswith("Running ")
    assert [line[line.index("\x1b") :][:5] for line in lines[1:]] == ["\x1b[32m", "\x1b[31m", "\x1b[33m"]


@pytest.mark.parametrize(
    ("terminal", "environ", "wanted"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(terminal, environ, wanted):
    assert colour.wanted(terminal=terminal, environ=environ) is wanted


def test_a_path_ends_at_the_first_step_that_is_missing():
    assert at({"a": {"b": 1}}, "a.b") == 1
    assert at({"a": 1}, "a.b", "none") == "none"


def test_every_kind_with_columns_exists():
    assert COLUMNS.keys() <= {kind.resource for kind in KINDS}
