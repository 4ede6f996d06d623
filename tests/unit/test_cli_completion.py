"""What a shell proposes: commands, options, kinds and the names of the cluster's objects."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.shell_completion import ShellComplete

from api import errors
from cli.commands.completion import SHELLS
from cli.main import main
from tests.cli_rig import CliApi, error_line, pod, tim


@pytest.fixture
def api():
    api = CliApi(namespaces=["default", "shop"])
    for each in (pod("web-1"), pod("web-2"), pod("db"), pod("till", "shop")):
        api.put(each)
    api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    return api


def proposed(api, *words):
    """The proposals for the last word."""
    *before, incomplete = words
    return [
        each.value
        for each in ShellComplete(main, {"obj": api}, "tim", "_TIM_COMPLETE").get_completions(before, incomplete)
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ge"], ["get"]),
        (["rollout", "st"], ["status"]),
        (["get", "--sort"], ["--sort-by"]),
        (["get", "po"], ["pods"]),
        (["get", "pods,serv"], ["pods,services", "pods,serviceaccounts"]),
        (["get", "pods", "w"], ["web-1", "web-2"]),
        (["get", "po", "web-1", "w"], ["web-2"]),
        (["get", "pod/d"], ["pod/db"]),
        (["delete", "pods", "-n", "shop", ""], ["till"]),
        (["-n", "shop", "describe", "pod", ""], ["till"]),
        (["get", "pods", "-n", "sh"], ["shop"]),
        (["-n", "de"], ["default"]),
        (["logs", "we"], ["web-1", "web-2"]),
        (["exec", "d"], ["db"]),
        (["cordon", ""], ["n1"]),
        (["drain", "n"], ["n1"]),
        (["get", "frobs", "a"], []),
        (["get", "frob/a"], []),
        (["get", "pod/db", "web"], []),
    ],
)
def test_words_are_completed(api, words, expected):
    assert proposed(api, *words) == expected


def test_a_cluster_that_cannot_be_asked_proposes_nothing(api):
    api.fault = lambda _call: errors.Unavailable("nobody there")
    assert proposed(api, "get", "pods", "w") == []
    assert proposed(None, "--kubeconfig", "/nowhere", "get", "pods", "w") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_that_calls_tim(shell):
    script = tim(None, "completion", shell).stdout
    assert "_TIM_COMPLETE" in script
    program = shutil.which(shell)
    if program:
        checked = subprocess.run([program, "-n"], input=script, text=True, capture_output=True, check=False, timeout=20)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_an_unknown_shell_is_named():
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in error_line(tim(None, "completion", "tcsh"))
