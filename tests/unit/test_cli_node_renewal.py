"""What `tim join --renew` refuses before it asks anybody."""

from __future__ import annotations

import time

import pytest
import yaml
from click.testing import CliRunner

from cli.main import main
from component import pki


@pytest.fixture
def etc(tmp_path):
    """The files of node n1 as `tim join` writes them."""
    ca = pki.make_ca("ca", time.time())
    made = pki.issue(ca, "system:node:n1", time.time(), groups=["system:nodes"])
    files = {"ca.crt": ca.cert_pem, "node.crt": made.cert_pem, "node.key": made.key_pem}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    settings = {"node_name": "n1", "endpoints": ["127.0.0.1:1"]}
    paths = {f"{kind}_path": str(tmp_path / name) for kind, name in zip(("ca", "cert", "key"), files, strict=True)}
    (tmp_path / "agent.yaml").write_text(yaml.safe_dump({**settings, **paths}))
    return tmp_path


def refused(etc, *words, pin=""):
    """The one line of a renewal that fails; the certificate stays."""
    before = (etc / "node.crt").read_bytes()
    pin = pin or pki.ca_hash((etc / "ca.crt").read_bytes())
    known = ["join", "127.0.0.1:1", "--renew", "--token", "abcdef.0123456789abcdef", "--ca-hash", pin]
    done = CliRunner().invoke(main, [*known, "--dir", str(etc), *words])
    assert done.exit_code != 0
    assert (etc / "node.crt").read_bytes() == before
    (line,) = done.stderr.splitlines()
    return line


def test_nobody_who_answers_changes_nothing(etc):
    assert "127.0.0.1:1 cannot be reached: connection refused" in refused(etc)


def test_another_cluster_is_refused_by_its_pin(etc):
    assert "this node belongs to another cluster" in refused(etc, pin="sha256:" + "0" * 64)


def test_another_name_is_refused(etc):
    assert "this machine is node n1, not n2: run this there" in refused(etc, "--name", "n2")


def test_a_machine_that_is_no_node_is_told_so(etc):
    (etc / "agent.yaml").unlink()
    assert "agent.yaml is missing: this machine is no node" in refused(etc)


def test_a_key_that_is_gone_or_none_is_named(etc):
    (etc / "node.key").write_text("nonsense")
    assert "not a private key" in refused(etc)
    (etc / "node.key").unlink()
    assert "node.key: No such file or directory" in refused(etc)


@pytest.mark.parametrize("other", [("--replica",), ("--node-ip", "10.0.0.1"), ("--address", "10.0.0.1")])
def test_options_for_newcomers_are_refused(etc, other):
    assert "--renew changes nothing but the certificate" in refused(etc, *other)
