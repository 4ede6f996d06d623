"""The program of a replica: what it leaves on disk is private, its mistakes are one line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

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
    assert "has no ca.key, api.crt, api.key: copy this replica's bundle" in told["reason"]


@pytest.mark.parametrize("process", ["api", "raft"])
def test_nobody_else_can_read_what_a_replica_keeps(tmp_path, process):
    run(tmp_path, process)
    made = [path for folder in ("data", "run") for path in (tmp_path / folder).glob("**")]
    assert made
    assert [str(path) for path in made if path.stat().st_mode & 0o077] == []


def test_an_even_number_of_replicas_is_refused(tmp_path):
    ended = run(tmp_path, "api", replicas={"r1": "127.0.0.1", "r2": "127.0.0.2"})
    assert ended.returncode == 1
    assert "use 1, 3 or 5" in ended.stderr
