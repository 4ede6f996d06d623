"""How command lines are read: kubectl's ways to write options, mistakes, and every way to fail."""

from __future__ import annotations

import errno

import click
import pytest

from api import errors
from cli.main import COMMANDS, exit_code, main
from cli.options import seconds
from cli.verb import OptionalValue, nearest, normalised
from tests.cli_rig import CliApi, error_line, pod, tim

OPTIONS = [
    click.Option(["-w", "--watch"], is_flag=True),
    click.Option(["--wait/--no-wait"], default=True),
    click.Option(["-o", "--output"]),
    OptionalValue(["--dry-run"], bare="server"),
]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--watch=true"], ["--watch"]),
        (["--watch=false", "x"], ["x"]),
        (["--wait=false"], ["--no-wait"]),
        (["-o=yaml"], ["-o", "yaml"]),
        (["--output=yaml", "-oyaml"], ["--output=yaml", "-oyaml"]),
        (["--dry-run", "name"], ["--dry-run=server", "name"]),
        (["--dry-run=client"], ["--dry-run=client"]),
        (["--", "--watch=false", "-o=x"], ["--", "--watch=false", "-o=x"]),
        (["--watch=maybe"], ["--watch=maybe"]),
        (["a=b", "a-"], ["a=b", "a-"]),
    ],
)
def test_what_kubectl_users_write_is_understood(given, read):
    assert list(normalised(given, OPTIONS)) == read


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("0", 0), ("30s", 30), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("2d", 172800)],
)
def test_durations_are_seconds_unless_a_unit_says_otherwise(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "s", "1x", "-1s", "1s2", "1 s", "½h", "1..5s", "1h 2m", "1e3"])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write it as 30s"):
        seconds(text)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_in_which_every_option_is_explained(name):
    result = tim(None, name, "--help")
    assert result.exit_code == 0, result.output
    command = main.get_command(click.Context(main), name)
    pending = [command]
    while pending:
        each = pending.pop()
        pending += each.commands.values() if isinstance(each, click.Group) else []
        assert each.help, each.name
        for option in each.params:
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.name}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_line_in_the_list_of_commands_is_a_sentence(name):
    assert COMMANDS[name][1].endswith(".")


def test_the_list_of_commands_names_all():
    listed = tim(None, "--help").output
    assert all(f"  {name} " in listed for name in COMMANDS)


def test_no_command_at_all_prints_the_help():
    result = tim(None)
    assert (result.exit_code, "Commands:" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["gett"], "did you mean 'get'?"),
        (["rollout", "statsu"], "did you mean 'status'?"),
        (["create", "frobnicate"], "there are clusterrole, clusterrolebinding, configmap, deployment"),
        (["get", "pods", "--namespce", "x"], "--namespace"),
        (["get", "pods", "-o", "go-template={{.items}}"], "go-template is not supported here"),
        (["create", "ns", "a", "-o", "jsonpath={.kind}"], "jsonpath is not supported here"),
        (["get", "pods", "-o", "xml"], "'xml' is not one of table, wide, yaml, json, name"),
        (["scale", "deploy/web"], "--replicas"),
        (["scale", "deploy/web", "--replicas", "-1"], "x>=0"),
        (["wait", "pod/web", "--for=delete", "--timeout", "soon"], "write it as 30s"),
        (["apply"], "-f FILE"),
        (["create"], "-f FILE"),
        (["logs"], "name a pod"),
        (["logs", "web", "-l", "a=b"], "name a pod"),
        (["config", "set-context"], "--current"),
        (["get"], "name a kind, such as `pods`"),
        (["describe"], "name a kind, such as `pods`"),
        (["delete"], "name a kind, such as `pods`"),
        (["delete", "pod"], "name the pods, or choose with -l or --all"),
        (["get", "nodes/n1/x"], "write every object as KIND/NAME"),
        (["get", "pods", "web", "-l", "a=b"], "not both"),
        (["label", "pod", "web"], "say what to set (KEY=VALUE)"),
        (["label", "pod", "web", "a=b", "a-"], "cannot be set and removed"),
        (["events", "--for", "pod"], "write it as KIND/NAME"),
        (["rollout", "undo", "pods/web"], "name them as deployment/NAME"),
        (["wait", "pod/web", "--for", "soon"], "use condition=NAME"),
        (["create", "configmap", "a", "--from-literal", "b"], "write it as KEY=VALUE"),
        (["apply", "-f", "https://example.org/web.yaml"], "download it first"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(words, hint):
    result = tim(CliApi(), *words)
    assert hint in error_line(result)
    assert result.exit_code == 2
    assert "--help`)" in result.stderr


def test_the_nearest_name_is_suggested_only_when_one_is_near():
    assert nearest("deplyoment", ["deployment", "pod"]) == ": did you mean 'deployment'?"
    assert nearest("zzz", ["deployment", "pod"]) == ""


def test_the_namespace_may_stand_before_the_command():
    api = CliApi(namespaces=["default", "shop"])
    api.put(pod("a", "shop"))
    assert tim(api, "-n", "shop", "get", "pods", "-o", "name").stdout == "pod/a\n"
    assert tim(api, "get", "pods", "-o=name", "-n", "shop").stdout == "pod/a\n"
    assert tim(api, "-n", "default", "get", "pods", "-n", "shop", "-o", "name").stdout == "pod/a\n"


def test_the_configuration_may_be_named_before_and_behind_the_command(tmp_path):
    for words in (
        ["--kubeconfig", str(tmp_path / "no"), "get", "pods"],
        ["get", "pods", "--kubeconfig", str(tmp_path / "no")],
    ):
        assert error_line(tim(None, *words)) == (
            f"Error: no client configuration at {tmp_path}/no: set TIMCONFIG, or copy admin.conf from a replica there"
        )


@pytest.mark.parametrize("error", [errors.Unavailable("no leader"), errors.Forbidden("not you"), errors.Unknown("?")])
def test_an_error_of_the_cluster_is_one_line_with_its_reason_and_exit_code_1(error):
    api = CliApi()
    api.fault = lambda _call: error
    result = tim(api, "get", "pods")
    assert error_line(result) == f"Error: {error.reason}: {error}"
    assert result.exit_code == 1


def test_an_error_of_several_lines_is_told_on_one():
    api = CliApi()
    api.fault = lambda _call: errors.Invalid("one\n  two")
    assert error_line(tim(api, "get", "pods")) == "Error: Invalid: one two"


def test_a_bug_is_one_line_that_says_how_to_see_more_and_exit_code_70(monkeypatch):
    monkeypatch.delenv("TIM_DEBUG", raising=False)
    api = CliApi()
    api.fault = lambda _call: KeyError("spec")
    result = tim(api, "get", "pods")
    assert error_line(result) == "internal error: KeyError: 'spec'; run with TIM_DEBUG=1 for the traceback"
    assert result.exit_code == 70


def test_a_bug_shows_its_traceback_when_asked_to(monkeypatch):
    monkeypatch.setenv("TIM_DEBUG", "1")

    def broken():
        raise KeyError("spec")

    with pytest.raises(KeyError):
        exit_code(broken)


def test_a_bug_while_watching_is_told_as_itself(monkeypatch):
    monkeypatch.delenv("TIM_DEBUG", raising=False)
    api = CliApi()
    api.fault = lambda call: KeyError("spec") if call.verb == "watch" else None
    assert "KeyError: 'spec'" in error_line(tim(api, "get", "pods", "-w")).splitlines()[-1]


def test_ctrl_c_is_exit_code_130_without_a_word():
    def interrupted():
        raise KeyboardInterrupt

    assert exit_code(interrupted) == 130


def test_a_reader_that_went_away_is_no_news():
    api = CliApi()
    api.fault = lambda _call: OSError(errno.EPIPE, "Broken pipe")
    result = tim(api, "get", "pods")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "")


def test_a_word_that_is_no_text_is_told_as_such(monkeypatch):
    def ask(*_arguments, **_options):
        "\udcff".encode()

    api = CliApi()
    monkeypatch.setattr(api, "list", ask)
    assert error_line(tim(api, "get", "pods")) == "Error: '\\udcff': a word of the command line is no utf-8 text"
