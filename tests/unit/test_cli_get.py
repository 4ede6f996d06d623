"""`tim get`: what is listed, named, not found, printed how, and watched."""

from __future__ import annotations

import asyncio
import json

import pytest
import yaml

from api import errors
from tests.cli_rig import CliApi, deployment, error_line, pod, tim
from tests.crontabs import DEFINITIONS, RESOURCE, definition
from tests.waiting import eventually


@pytest.fixture
def api():
    api = CliApi(namespaces=["default", "shop"])
    for each in (pod("db", app="db"), pod("web", app="web"), pod("till", "shop"), deployment()):
        api.put(each)
    return api


def lines(result):
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_a_kind_lists_the_namespace(api):
    assert [line.split()[0] for line in lines(tim(api, "get", "pods"))] == ["NAME", "db", "web"]


def test_short_and_singular_names_of_kinds_work(api):
    assert tim(api, "get", "po").stdout == tim(api, "get", "Pod").stdout == tim(api, "get", "pods").stdout


def test_several_kinds_have_a_table_each_and_names_with_their_kind(api):
    found = lines(tim(api, "get", "pods,deploy"))
    assert [line.split()[0] for line in found if line] == ["NAME", "pod/db", "pod/web", "NAME", "deployment.apps/web"]
    assert found[3] == ""


def test_objects_of_several_kinds_can_be_named(api):
    assert lines(tim(api, "get", "pod/db", "deploy/web", "-o", "name")) == ["pod/db", "deployment.apps/web"]


def test_all_lists_what_runs(api):
    assert lines(tim(api, "get", "all", "-o", "name")) == [
        "pod/db",
        "pod/web",
        "deployment.apps/web",
    ]


def test_all_lists_custom_kinds_that_say_they_belong_to_it(api):
    made = definition()
    made["spec"]["names"]["categories"] = ["all"]
    names = {"acceptedNames": made["spec"]["names"], "conditions": [{"type": "Established", "status": "True"}]}
    api.put({**made, "status": names})
    lines(tim(api, "get", "all", "-o", "name"))
    assert [call.resource for call in api.calls if call.verb == "list"][-1] == RESOURCE


def test_all_without_the_clusters_own_kinds_says_so(api):
    refused = errors.Forbidden("you may not")
    api.fault = lambda call: refused if call.resource == DEFINITIONS else None
    result = tim(api, "get", "all", "-o", "name")
    assert lines(result)[-1] == "deployment.apps/web"
    assert "Warning: without the cluster's own kinds, of which it was not heard: " in result.stderr


def test_all_namespaces_have_a_column(api):
    assert [line.split()[:2] for line in lines(tim(api, "get", "pods", "-A"))[1:]] == [
        ["default", "db"],
        ["default", "web"],
        ["shop", "till"],
    ]


def test_labels_choose(api):
    assert lines(tim(api, "get", "pods", "-l", "app in (web)", "-o", "name")) == ["pod/web"]


def test_fields_choose(api):
    assert lines(tim(api, "get", "pods", "--field-selector", "metadata.name=db", "-o", "name")) == ["pod/db"]


def test_no_headers_leaves_them_out(api):
    assert [line.split()[0] for line in lines(tim(api, "get", "pods", "--no-headers"))] == ["db", "web"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "cm"], "No resources found in default namespace.\n"),
        (["get", "pods", "-n", "nope"], "No resources found in nope namespace.\n"),
        (["get", "cm", "-A"], "No resources found\n"),
        (["get", "nodes"], "No resources found\n"),
    ],
)
def test_nothing_found_is_said_on_standard_error_and_no_failure(api, words, said):
    result = tim(api, *words)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", said)


def test_what_is_found_shows_although_something_else_is_not(api):
    result = tim(api, "get", "pods", "db", "nope", "web", "-o", "name")
    assert result.stdout == "pod/db\npod/web\n"
    assert error_line(result) == 'Error: NotFound: pods "nope" not found'
    assert result.exit_code == 1


@pytest.mark.parametrize("output", ["table", "yaml", "name"])
def test_what_is_not_found_may_be_ignored(api, output):
    result = tim(api, "get", "pod", "nope", "--ignore-not-found", "-o", output)
    assert (result.exit_code, result.output) == (0, "")


def test_one_named_object_is_printed_alone_and_several_as_a_list(api):
    assert yaml.safe_load(tim(api, "get", "pod", "web", "-o", "yaml").stdout)["metadata"]["name"] == "web"
    assert json.loads(tim(api, "get", "pod", "web", "-o", "json").stdout)["kind"] == "Pod"
    assert json.loads(tim(api, "get", "pods", "web", "db", "-o", "json").stdout)["kind"] == "List"


def test_an_empty_list_is_still_a_list(api):
    assert yaml.safe_load(tim(api, "get", "cm", "-o", "yaml").stdout)["items"] == []
    assert tim(api, "get", "cm", "-o", "name").stdout == ""


def test_manifests_say_what_to_get(api, tmp_path):
    (tmp_path / "a.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: till, namespace: shop}}")
    assert lines(tim(api, "get", "-f", str(tmp_path), "-o", "name")) == ["pod/till"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a kind"),
        (["podz"], "did you mean 'pod'?"),
        (["xyzzy"], "`tim api-resources` lists all"),
        (["pod/a/b"], "KIND/NAME"),
        (["pod/web", "db"], "KIND/NAME"),
        (["pods", "web", "-l", "a=b"], "not both"),
        (["pods", "web", "-A"], "use -n"),
        (["pods", "-l", "a=("], "label selector"),
        (["-f", "x.yaml", "pods"], "-f already says"),
        (["-f", "/no/such/file"], "/no/such/file: no such file or folder"),
        (["-f", "https://example.org/a.yaml"], "download it first"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_line(api, words, said):
    assert said in error_line(tim(api, "get", *words))


def ending_watch(api, *changes):
    """Play the changes once somebody watches, each when all before were taken; then end as a failing server would."""

    def end():
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "later"}})
        api.compact()

    async def play():
        for change in (*changes, end):
            await eventually(api.waited_for)
            change()

    def fault(call):
        if call.verb == "watch":
            api.fault = lambda _call: errors.Unavailable("over")
            playing.append(asyncio.ensure_future(play()))

    playing = []

    api.fault = fault


def test_a_watch_goes_on_with_what_changes_under_the_same_columns(api):
    api.put(pod("another-pod-with-a-long-name"))
    ending_watch(api, lambda: api.put(pod("new")), lambda: api.finish("default", "db"))
    result = tim(api, "get", "pods", "-w")
    found = result.stdout.splitlines()
    assert [line.split()[0] for line in found] == ["NAME", "another-pod-with-a-long-name", "db", "web", "new", "db"]
    assert {line.index("1/1") for line in found[1:]} == {found[0].index("READY")}
    assert error_line(result) == "Error: Unavailable: over"


@pytest.mark.parametrize(
    ("output", "printed"),
    [
        ("name", "pod/db\npod/web\npod/new\n"),
        ("jsonpath={.metadata.name}:", "db:web:new:"),
    ],
)
def test_a_watch_prints_what_there_is_and_what_changes_one_by_one(api, output, printed):
    ending_watch(api, lambda: api.put(pod("new")))
    assert tim(api, "get", "pods", "-w", "-o", output).stdout == printed


def test_a_watch_prints_a_document_for_each_object(api):
    ending_watch(api, lambda: api.put(pod("new")))
    documents = tim(api, "get", "pods", "-w", "-o", "yaml").stdout.split("---\n")[1:]
    assert [each.splitlines()[1] for each in documents] == ["kind: Pod"] * 3


def test_a_watch_that_begins_empty_prints_the_heading_with_the_first_change(api):
    ending_watch(api, lambda: api.put(pod("first", "kube-system")))
    result = tim(api, "get", "pods", "-n", "kube-system", "-w")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["NAME", "first"]


def test_watch_only_leaves_out_what_is_there(api):
    ending_watch(api, lambda: api.put(pod("new")))
    assert [line.split()[0] for line in tim(api, "get", "pods", "--watch-only").stdout.splitlines()] == ["NAME", "new"]


def test_watched_yaml_is_a_stream_of_documents(api):
    ending_watch(api, lambda: api.put(pod("x")), lambda: api.put(pod("y")))
    documents = list(yaml.safe_load_all(tim(api, "get", "pods", "--watch-only", "-o", "yaml").stdout))
    assert [each["metadata"]["name"] for each in documents] == ["x", "y"]


def test_watching_one_object_that_does_not_exist_fails_at_once(api):
    assert error_line(tim(api, "get", "pod", "nope", "-w")) == 'Error: NotFound: pods "nope" not found'


@pytest.mark.parametrize(
    ("option", "seconds"), [((), None), (("--stale",), 10.0), (("--stale=1m",), 60.0), (("--stale=0",), 0.0)]
)
def test_how_stale_an_answer_may_be_is_asked_for(api, option, seconds):
    lines(tim(api, "get", "pods", *option))
    lines(tim(api, "get", "pod/db", *option))
    assert api.allowed_stale_seconds == [seconds, seconds]


@pytest.mark.parametrize("option", ["-w", "--at=5", "--ago=1m"])
def test_only_what_is_now_can_be_stale(api, option):
    result = tim(api, "get", "pods", "--stale", option)
    assert result.exit_code == 2
    assert "--stale is about what is now" in error_line(result)
