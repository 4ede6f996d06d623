"""`tim get` with -o jsonpath=, -o custom-columns= and --sort-by, as kubectl's documentation describes them."""

from __future__ import annotations

import pytest

from api import jsonpath
from cli.shaping import columns, in_order
from tests.cli_rig import CliApi, error_line, pod, tim


@pytest.fixture
def api():
    api = CliApi()
    for name, restarts in (("web-10", 3), ("web-2", 20), ("db", 0)):
        tree = pod(name, app=name.partition("-")[0])
        tree["status"]["containerStatuses"][0]["restartCount"] = restarts
        api.put(tree)
    return api


def test_a_template_prints_a_list_without_a_line_end(api):
    words = ["get", "pods", "-o", 'jsonpath={range .items[*]}{.metadata.name}{"\\t"}{.status.phase}{"\\n"}{end}']
    assert tim(api, *words).stdout == "db\tRunning\nweb-10\tRunning\nweb-2\tRunning\n"
    assert tim(api, "get", "pods", "-o=jsonpath={.kind} {.items[0].kind}").stdout == "List Pod"


def test_a_template_gets_a_single_object_itself(api):
    assert tim(api, "get", "pod", "db", "-o", "jsonpath={.metadata.labels.app}{.nothing}").stdout == "db"


def test_custom_columns_stand_under_their_headings(api):
    result = tim(api, "get", "pods", "-o", "custom-columns=POD:.metadata.name,IP:.status.podIP,NO:.spec.none")
    assert result.stdout.splitlines() == [
        "POD      IP           NO",
        "db       10.244.0.2   <none>",
        "web-10   10.244.0.2   <none>",
        "web-2    10.244.0.2   <none>",
    ]
    only = tim(api, "get", "pod", "db", "--no-headers", "-o", "custom-columns=:metadata.name")
    assert error_line(only).startswith("Error: Invalid value for '-o'")
    assert tim(api, "get", "pod", "db", "--no-headers", "-o", "custom-columns=A:metadata.name").stdout == "db\n"


def test_several_values_in_a_column_stand_with_commas():
    both = columns("C:.spec.containers[*].name,FIRST:.spec.containers[0,1].name,A:.a")
    tree = {"spec": {"containers": [{"name": "x"}, {"name": "y"}]}, "a": None}
    assert [heading for heading, _cell in both] == ["C", "FIRST", "A"]
    assert [cell(tree, 0.0) for _heading, cell in both] == ["x,y", "x,y", "<none>"]


@pytest.mark.parametrize("specification", ["", "A", "A:", ":.a", "A:.a,B", "A:.a[", "A:.a,,B:.b"])
def test_a_column_without_heading_or_path_is_refused(specification):
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are the parser's
        columns(specification)


def test_sorting_is_by_amount_and_by_numbers_inside_names(api):
    names = ["get", "pods", "-o", "name", "--sort-by"]
    assert tim(api, *names, ".metadata.name").stdout.split() == ["pod/db", "pod/web-2", "pod/web-10"]
    assert tim(api, *names, "{.status.containerStatuses[0].restartCount}").stdout.split() == [
        *("pod/db", "pod/web-10", "pod/web-2")
    ]


@pytest.mark.parametrize(
    ("values", "order"),
    [
        ([3, 1, 2], [1, 2, 0]),
        (["1Gi", "500Mi", "2Ki"], [2, 1, 0]),
        (["b", None, "a"], [1, 2, 0]),
        (["v10", "v9", "v9a"], [1, 2, 0]),
        (["2025-01-02T00:00:00Z", "2025-01-01T00:00:00Z"], [1, 0]),
        (["x", 1, {"a": 1}, True], [1, 3, 0, 2]),
        (["same", "same"], [0, 1]),
    ],
)
def test_values_of_every_type_have_an_order(values, order):
    trees = [{} if value is None else {"v": value} for value in values]
    assert in_order(trees, jsonpath.path(".v")) == order


def test_values_are_printed_as_json_and_templates_may_stand_in_files(api, tmp_path):
    names = tim(api, "get", "pods", "-o", "jsonpath-as-json={.items[*].metadata.name}").stdout
    assert names == '[\n    "db",\n    "web-10",\n    "web-2"\n]\n'
    (tmp_path / "t").write_text("{.items[0].kind}\n")
    assert tim(api, "get", "pods", "-o", f"jsonpath-file={tmp_path}/t").stdout == "Pod"
    (tmp_path / "c").write_text("POD            NO\n.metadata.name .spec.none\n")
    assert tim(api, "get", "pod", "db", "-o", f"custom-columns-file={tmp_path}/c").stdout == "POD   NO\ndb    <none>\n"


@pytest.mark.parametrize("path", ["{.items[3].kind}", "{.items[-4].kind}", "{.items[?(@.spec.containers[1])].kind}"])
@pytest.mark.parametrize("shape", ["jsonpath", "jsonpath-as-json"])
def test_an_item_that_a_list_does_not_have_is_an_error_as_with_kubectl(api, shape, path):
    result = tim(api, "get", "pods", "-o", f"{shape}={path}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "array index out of bounds: index" in error_line(result)


def test_sorting_by_what_no_object_has_is_an_error(api):
    assert "--sort-by: none of the objects has .metadata.nope" in error_line(
        tim(api, "get", "pods", "--sort-by", ".metadata.nope")
    )
    assert tim(api, "get", "svc", "--sort-by", ".metadata.nope").exit_code == 0, "there is nothing to sort"


def test_without_headings_columns_are_as_wide_as_what_is_in_them(api):
    shown = tim(api, "get", "pods", "--no-headers", "-o", "custom-columns=A_LONG_HEADING:.metadata.name,KIND:.kind")
    assert shown.stdout.splitlines() == ["db       Pod", "web-10   Pod", "web-2    Pod"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["-o", "jsonpath-as-json=a{.b}"], "values are those of one path in braces"),
        (["-o", "jsonpath-file=/nope"], "/nope: No such file or directory"),
        (["-o", "custom-columns-file=/dev/null"], "it needs a line of headings and one of as many paths"),
        (["-o", "jsonpath={.a"], "column 4 of '{.a': expected '}'"),
        (["-o", "jsonpath="], "jsonpath needs what to print"),
        (["-o", "custom-columns"], "custom-columns needs what to print"),
        (["-o", "go-template={{.x}}"], "go-template is not supported here"),
        (["--sort-by", ".a["], "--sort-by: column 4 of '.a['"),
    ],
)
def test_a_shape_that_cannot_be_read_is_a_wrong_command_line(api, words, hint):
    result = tim(api, "get", "pods", *words)
    assert hint in error_line(result)
    assert result.exit_code == 2
