"""Which ports `tim port-forward` means, and what it refuses before it listens."""

from __future__ import annotations

import socket

import pytest

from api.errors import NotFound
from cli.forwarding import Pair, addresses_of, pair_of
from cli.mistakes import Misused
from tests.cli_rig import CliApi, error_line, pod, tim

PORTS = [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]
POD = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "a"}, {"name": "b", "ports": PORTS}]}}


def service(*ports, **spec):
    return {"metadata": {"name": "svc"}, "spec": {"clusterIP": "10.96.0.9", "ports": list(ports), **spec}}


@pytest.mark.parametrize(
    ("word", "pair"),
    [("80", Pair(80, 80)), ("8000:80", Pair(8000, 80)), (":80", Pair(0, 80)), ("http", Pair(8080, 8080))],
)
def test_a_port_of_a_pod_is_a_number_or_a_name(word, pair):
    assert pair_of(word, POD, None) == pair


@pytest.mark.parametrize(
    ("word", "port", "pair"),
    [
        ("80", {"port": 80, "targetPort": "http"}, Pair(80, 8080)),
        (":80", {"port": 80, "targetPort": 81}, Pair(0, 81)),
        ("9:web", {"port": 80, "name": "web"}, Pair(9, 80)),
    ],
)
def test_a_port_of_a_service_leads_to_its_target(word, port, pair):
    assert pair_of(word, POD, service(port)) == pair


def test_a_headless_service_translates_nothing():
    assert pair_of("80", POD, service({"port": 80, "targetPort": 81}, clusterIP="None")) == Pair(80, 80)


@pytest.mark.parametrize("word", ["", ":", "0", "65536", "x:80", "70000:80", "80:", "123456"])
def test_what_is_no_port_is_misused(word):
    with pytest.raises(Misused):
        pair_of(word, POD, None)


@pytest.mark.parametrize(
    ("word", "services", "said"),
    [
        ("dns", None, "pod web has no TCP port named 'dns'"),
        ("81", service({"port": 80}), "service svc has no TCP port '81'"),
        ("53", service({"port": 53, "protocol": "UDP"}), "service svc has no TCP port '53'"),
    ],
)
def test_ports_that_do_not_exist_are_not_found(word, services, said):
    with pytest.raises(NotFound, match=said):
        pair_of(word, POD, services)


def test_addresses_are_ip_addresses_and_localhost():
    assert addresses_of("localhost,10.0.0.1,127.0.0.1") == ["127.0.0.1", "::1", "10.0.0.1"]
    with pytest.raises(Misused, match="neither an IP address nor localhost"):
        addresses_of("example.com")


def test_a_pod_that_does_not_run_and_a_port_in_use_are_one_line():
    api = CliApi(namespaces=["default"])
    tree = pod("web")
    tree["status"]["phase"] = "Pending"
    api.put(tree)
    assert "pod web is not running, but Pending" in error_line(tim(api, "port-forward", "web", "80"))
    running = pod("db")
    running["status"]["phase"] = "Running"
    api.put(running)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ("port-forward", "pod/db", f"{taken.getsockname()[1]}:80", "--address", "127.0.0.1")
        assert "unable to listen on port" in error_line(tim(api, *words))
