"""The program of a replica: what it leaves on disk is private, its mistakes are one line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from component.env import system_env
from component.files import write_private
from controlplane.bootstrap import plan_cluster
from controlplane.config import ServerConfig

pytestmark = pytest.mark.slow


def run(folder, process, **config):
    settings = {
        "replica": "r1",
        "cluster_uid": "c1",
        "replicas": {"r1": "127.0.0.1"},
        "pki_dir": str(folder / "pki"),
        "data_dir": str(folder / "data"),
        "run_dir": str(folder / "run"),
        "log_format": "json",
        **config,
    }
    path = folder / "server.yaml"
    path.write_text(yaml.safe_dump(settings))
    return subprocess.run(
        [sys.executable, "-m", "controlplane.main", "--config", str(path), process],
        umask=0o022,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_replica_without_its_keys_says_where_they_come_from(tmp_path):
    (tmp_path / "pki").mkdir()
    (tmp_path / "pki" / "ca.crt").touch()
    ended = run(tmp_path, "api")
    assert ended.returncode == 1
    told = json.loads(ended.stderr)
    assert told["event"] == "api_not_started"
    assert "has no ca.key, api.crt, api.key, sa.key: copy this replica's bundle" in told["reason"]


@pytest.mark.parametrize("process", ["api", "raft"])
def test_nobody_else_can_read_what_a_replica_keeps(tmp_path, process):
    run(tmp_path, process)
    made = [path for folder in ("data", "run") for path in (tmp_path / folder).glob("**")]
    assert made
    assert [str(path) for path in made if path.stat().st_mode & 0o077] == []


def test_ranges_without_room_are_told_in_one_line(tmp_path):
    template = ServerConfig(replica="r1", cluster_uid="c1", replicas={"r1": "127.0.0.1"})
    for relative, content in plan_cluster(template, system_env()).replicas["r1"].items():
        write_private(tmp_path / relative, content)
    for name, wrong in (("pod_range", "10.244.0.0/26"), ("service_range", "10.96.0.0/33")):
        ended = run(tmp_path, "api", **{name: wrong})
        assert ended.returncode == 1
        assert wrong in json.loads(ended.stderr)["reason"]


def test_tokens_and_keys_that_cannot_be_used_are_told_in_one_line_without_being_shown(tmp_path):
    template = ServerConfig(replica="r1", cluster_uid="c1", replicas={"r1": "127.0.0.1"})
    for relative, content in plan_cluster(template, system_env()).replicas["r1"].items():
        write_private(tmp_path / relative, content)
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("0123456789abcdef,jane\n")
    ended = run(tmp_path, "api", token_auth_file=str(tokens))
    assert ended.returncode == 1
    assert f"{tokens}, line 1: write token,user,uid" in json.loads(ended.stderr)["reason"]
    assert "0123456789abcdef" not in ended.stderr
    (tmp_path / "pki" / "sa.key").write_text("no key")
    ended = run(tmp_path, "api")
    assert ended.returncode == 1
    assert "pki/sa.key: it holds no key in PEM" in json.loads(ended.stderr)["reason"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_level": "loud"}, "Invalid enum value 'loud' - at `$.log_level`"),
        ({"time_factor": 0}, "time_factor 0 must be more than 0"),
        ({"replica": "r9"}, "replica 'r9' is not among replicas: r1"),
    ],
)
def test_a_setting_that_cannot_work_is_named(tmp_path, change, message):
    ended = run(tmp_path, "api", **change)
    assert ended.returncode == 1
    assert message in ended.stderr


def test_an_even_number_of_replicas_is_refused(tmp_path):
    ended = run(tmp_path, "api", replicas={"r1": "127.0.0.1", "r2": "127.0.0.2"})
    assert ended.returncode == 1
    assert "use 1, 3 or 5" in ended.stderr
