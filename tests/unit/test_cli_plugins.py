"""Programs called tim-NAME: which one is found, what is listed, and that tim's own commands come first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cli.plugins import INSTEAD, longest_match
from tests.cli_rig import error_line, tim


def program(folder, name, text='#!/bin/sh\necho plugin "$@"\n', mode=0o755):
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def run(folder, *words):
    code = "from cli.start import main; main()"
    environment = {**os.environ, "PATH": f"{folder}:/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_the_longest_name_wins(tmp_path):
    short, long = program(tmp_path, "tim-a"), program(tmp_path, "tim-a-b_c")
    assert longest_match(["a", "b-c", "x", "-y"], str(tmp_path)) == (long, ["x", "-y"])
    assert longest_match(["a", "x", "b-c"], str(tmp_path)) == (short, ["x", "b-c"])
    assert longest_match(["a", "--flag", "b-c"], str(tmp_path)) == (short, ["--flag", "b-c"])
    assert longest_match(["b"], str(tmp_path)) is None


def test_what_is_no_plugin_is_not_found(tmp_path):
    program(tmp_path, "tim-plain", mode=0o644)
    program(tmp_path, "tim-server")
    (tmp_path / "tim-folder").mkdir()
    for name in ("plain", "server", "folder", "../tim-plain", ""):
        assert longest_match([name], str(tmp_path)) is None


@pytest.mark.slow
def test_a_plugin_takes_over_with_its_arguments_and_exit_code(tmp_path):
    program(tmp_path, "tim-hello", '#!/bin/sh\necho "$@"\nexit 7\n')
    done = run(tmp_path, "hello", "big", "--world", "-n", "x")
    assert (done.returncode, done.stdout) == (7, "big --world -n x\n")
    refused = run(tmp_path, "-n", "x", "hello")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "options stand behind its name" in refused.stderr


@pytest.mark.slow
def test_a_command_of_tims_own_comes_first_and_the_list_says_so(tmp_path):
    program(tmp_path, "tim-version-x")
    program(tmp_path, "tim-plain", mode=0o644)
    program(tmp_path, "tim-hello")
    listed = run(tmp_path, "plugin", "list", "--name-only")
    assert listed.stdout.splitlines() == ["tim-hello", "tim-plain", "tim-version-x"]
    assert listed.stderr.splitlines() == ["  - it is not executable", "  - `tim version` is a command of tim's own"]
    assert "plugin" not in run(tmp_path, "api-versions", "x").stdout


def test_without_plugins_the_list_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no programs called tim-NAME" in error_line(tim(None, "plugin", "list"))


@pytest.mark.parametrize("name", sorted(INSTEAD))
def test_a_command_of_kubectls_that_is_not_here_says_what_helps(name):
    result = tim(None, name, "x")
    assert f"there is no command '{name}': {INSTEAD[name]}" in error_line(result)
    assert result.exit_code == 2
