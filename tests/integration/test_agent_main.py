"""The program: its mistakes in one line, its health, its clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import yaml
from click.testing import CliRunner

from agent import machine
from agent.checkpoint import Cluster
from agent.config import AgentConfig
from agent.health import HealthServer
from agent.main import main, network_config
from component import pki
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow


def settings(folder, **more):
    ca = pki.make_ca("test", time.time())
    node = pki.issue(ca, "system:node:n1", time.time(), groups=("system:nodes",))
    for name, content in (("ca.crt", ca.cert_pem), ("node.crt", node.cert_pem), ("node.key", node.key_pem)):
        (folder / name).write_bytes(content)
    config = {
        "node_name": "n1",
        "endpoints": ["127.0.0.1:1"],
        "ca_path": str(folder / "ca.crt"),
        "cert_path": str(folder / "node.crt"),
        "key_path": str(folder / "node.key"),
        "data_dir": str(folder / "data"),
        "run_dir": str(folder / "run"),
        "podman_socket": str(folder / "podman.sock"),
        "health_port": 0,
        "log_format": "json",
        **more,
    }
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_version_is_printed():
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("tim-agent")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodename": "x"}, "unknown field 'nodename'"),
        ({"node_name": ""}, "node_name must not be empty"),
        ({"endpoints": ["host"]}, "host:port"),
        ({"health_port": "many"}, "health_port"),
        ({"network_mode": "bridge"}, "network_mode"),
    ],
)
def test_a_bad_configuration_is_told_in_one_line(tmp_path, change, message):
    result = CliRunner().invoke(main, ["--config", str(settings(tmp_path, **change))])
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1
    assert message in result.output


def test_a_missing_configuration_is_told(tmp_path):
    result = CliRunner().invoke(main, ["--config", str(tmp_path / "none.yaml")])
    assert result.exit_code == 1
    assert "none.yaml: No such file or directory" in result.output


def test_the_network_is_told_what_the_cluster_said(tmp_path):
    config = AgentConfig(node_name="n1", endpoints=("a:1",), data_dir="/d", run_dir="/r", network_mode="vxlan")
    cluster = Cluster("c", 1, (), "10.1.0.0/16", "10.2.0.0/16", "example.org")
    found = network_config(config, cluster, "10.0.0.1", "/etc/resolv.conf")
    assert (found.pod_range, found.service_range, found.cluster_domain) == ("10.1.0.0/16", "10.2.0.0/16", "example.org")
    assert (found.state_dir, found.run_dir, found.mode) == ("/d/network", "/r/network", "vxlan")


def test_without_podman_and_control_plane_it_runs_says_why_and_stops_cleanly(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109 - the checkout under test
    command = [sys.executable, "-m", "agent.main", "--config", str(settings(tmp_path))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as agent:
        try:
            started = next(entry for line in agent.stderr if (entry := json.loads(line))["event"] == "agent_started")
            status, text = fetch(started["health_port"], "/healthz")
            assert status == 503
            assert "container runtime" in text or "podman.sock does not answer" in text  # before and after it was asked
            assert "timonier_agent_session_connected 0" in fetch(started["health_port"], "/metrics")[1]
            agent.send_signal(signal.SIGTERM)
            rest = [json.loads(line)["event"] for line in agent.stderr]
            assert rest[-1] == "agent_stopped"
            assert agent.wait(DEADLINE_SECONDS) == 0
        finally:
            agent.kill()


def fetch(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=DEADLINE_SECONDS) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_a_healthy_agent_answers_ok():
    import aiohttp  # noqa: PLC0415

    server = HealthServer(0, list, lambda: {"pods": 3})
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{server.port}/healthz") as response:
                assert (response.status, await response.text()) == (200, "ok")
            async with session.get(f"http://127.0.0.1:{server.port}/metrics") as response:
                assert await response.text() == "timonier_agent_pods 3\n"
    finally:
        await server.close()


def test_facts_of_this_machine(tmp_path):
    facts = machine.read_machine(tmp_path / "not" / "there", "boot")
    assert facts.boot_id == "boot"
    assert facts.cpu_count >= 1
    assert facts.memory_bytes > 1 << 20
    load = machine.read_load(tmp_path)
    assert 0 < load.available_memory_bytes < facts.memory_bytes
    assert 0 <= load.free_disk_share <= 1
    assert 0 < load.free_pid_share <= 1


def test_the_own_address_is_the_source_of_the_route():
    assert machine.source_address("127.0.0.1:7443") == "127.0.0.1"
    with pytest.raises(machine.NoRoute, match="set node_ip"):
        machine.source_address("no.such.host.invalid:7443")
