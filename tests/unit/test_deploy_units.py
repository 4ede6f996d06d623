"""The systemd units and scripts of deploy/: what can be told without a machine that runs systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.config import PODMAN_SOCKET
from cli.resetting import AGENT_UNITS, PODMAN_FOLDERS, PODMAN_UNIT, SERVER_UNITS

CHECKOUT = Path(__file__).resolve().parents[2]

DEPLOY = CHECKOUT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
SCRIPTS = [*sorted(DEPLOY.glob("*.sh")), CHECKOUT / ".ci/run", *sorted((CHECKOUT / "tests").rglob("*.sh"))]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_has_nothing_to_say_about_the_units(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        for path in re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE):
            stub = programs / Path(path).name
            stub.write_text("#!/bin/sh\n")
            stub.chmod(0o755)
            text = text.replace(path, str(stub))
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed here")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say_about_the_scripts(script):
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_reset_knows_every_unit():
    assert {unit.name for unit in UNITS} == {*AGENT_UNITS, *SERVER_UNITS, PODMAN_UNIT}


def test_podmans_unit_serves_the_socket_that_agents_ask_and_reset_removes_all_its_folders():
    line = next(each for each in (DEPLOY / PODMAN_UNIT).read_text().splitlines() if each.startswith("ExecStart="))
    assert line.endswith(f" unix://{PODMAN_SOCKET}")
    folders = [Path(path) for path in re.findall(r"--(?:root|runroot|tmpdir) (\S+)", line)]
    assert len(folders) == 3
    for folder in folders:
        assert any(folder.is_relative_to(known) for known in PODMAN_FOLDERS)
