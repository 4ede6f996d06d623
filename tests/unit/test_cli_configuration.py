"""Contexts in the client configuration, and what `tim reset` plans."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent.config import AgentConfig
from cli.resetting import ResetProblem, plan
from component import kubeconfig
from controlplane.config import ServerConfig
from tests.cli_rig import error_line, tim


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "config"
    kubeconfig.write(kubeconfig.build("lab", "https://h:6443", ["h:7443"], b"ca", "me", b"cert", b"key"), path)
    return path


def config(path, *words):
    return tim(None, "--kubeconfig", str(path), "config", *words)


def change(path, edit):
    tree = yaml.safe_load(path.read_text())
    edit(tree)
    path.write_text(yaml.safe_dump(tree))


def test_what_is_built_resolves_to_the_same_credentials(path):
    found = kubeconfig.resolve(kubeconfig.read(path), path)
    assert (found.context, found.namespace, found.endpoints) == ("me@lab", "default", ("h:7443",))
    assert (found.ca_pem, found.cert_pem, found.key_pem) == (b"ca", b"cert", b"key")
    assert path.stat().st_mode & 0o077 == 0


def test_keys_may_stand_in_files_beside_the_configuration(path):
    (path.parent / "ca.pem").write_bytes(b"from a file")

    def edit(tree):
        cluster = tree["clusters"][0]["cluster"]
        del cluster["certificate-authority-data"]
        cluster["certificate-authority"] = "ca.pem"

    change(path, edit)
    assert kubeconfig.resolve(kubeconfig.read(path), path).ca_pem == b"from a file"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda t: t.update({"current-context": ""}), "no current-context"),
        (lambda t: t.update({"current-context": "x"}), "no context named 'x'; there are: me@lab"),
        (lambda t: t.update(clusters=[]), "no cluster named 'lab'; there are: none"),
        (lambda t: t.update(users="text"), "no user named 'me'; there are: none"),
        (lambda t: t["contexts"][0].update(context="text"), "context 'me@lab' is no mapping"),
        (lambda t: t["clusters"][0]["cluster"].pop("extensions"), "not a Timonier cluster"),
        (lambda t: t["clusters"][0]["cluster"]["extensions"][0].pop("extension"), "names no endpoints"),
        (lambda t: t["users"][0]["user"].update({"client-key-data": "%"}), "client-key-data is not base64"),
        (lambda t: t["users"][0]["user"].pop("client-key-data"), "no client-key or client-key-data"),
        (
            lambda t: t["users"][0].update(user={"token": "x"}),
            "user 'me' has only a token (token), which counts over HTTPS",
        ),
    ],
)
def test_a_configuration_that_cannot_be_used_says_why(path, edit, said):
    change(path, edit)
    assert said in error_line(tim(None, "--kubeconfig", str(path), "get", "pods"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "config:2: while parsing a flow node"),
        (b"- a", "expected kind Config"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"", "expected kind"),
    ],
)
def test_a_file_that_is_no_configuration_says_so(path, content, said):
    path.write_bytes(content)
    assert said in error_line(config(path, "view"))


def test_the_configuration_is_found_by_variables_and_home(tmp_path):
    own = tmp_path / ".tim" / "config"
    assert kubeconfig.default_path({"TIMCONFIG": "/a", "KUBECONFIG": "/b"}) == Path("/a")
    assert kubeconfig.default_path({"HOME": str(tmp_path), "KUBECONFIG": "/b:/c"}) == Path("/b")
    assert kubeconfig.default_path({"HOME": str(tmp_path)}) == own
    own.parent.mkdir()
    own.touch()
    assert kubeconfig.default_path({"HOME": str(tmp_path), "KUBECONFIG": "/b"}) == own


def test_keys_are_hidden_unless_asked_for(path):
    shown = yaml.safe_load(config(path, "view").stdout)
    assert shown["users"][0]["user"] == {"client-certificate-data": "DATA+OMITTED", "client-key-data": "REDACTED"}
    assert yaml.safe_load(config(path, "view", "--raw").stdout) == yaml.safe_load(path.read_text())


def test_contexts_are_made_chosen_renamed_and_deleted(path):
    made = config(path, "set-context", "shop", "--cluster=lab", "--user=me", "--namespace=shop")
    assert made.stdout == 'context "shop" created\n'
    assert config(path, "use-context", "shop").stdout == 'switched to context "shop"\n'
    assert config(path, "current-context").stdout == "shop\n"
    assert kubeconfig.resolve(kubeconfig.read(path), path).namespace == "shop"
    assert config(path, "set-context", "--current", "--namespace", "other").stdout == 'context "shop" modified\n'
    assert config(path, "rename-context", "shop", "store").exit_code == 0
    assert config(path, "get-contexts", "-o", "name").stdout == "me@lab\nstore\n"
    assert [line.split() for line in config(path, "get-contexts", "--no-headers").stdout.splitlines()] == [
        ["me@lab", "lab", "me"],
        ["*", "store", "lab", "me", "other"],
    ]
    minified = yaml.safe_load(config(path, "view", "--minify").stdout)
    assert [each["name"] for each in minified["contexts"]] == ["store"]
    assert "it was the current one" in config(path, "delete-context", "store").stdout
    assert config(path, "get-clusters").stdout == "NAME\nlab\n"
    assert config(path, "get-users").stdout == "NAME\nme\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["use-context", "x"], "no context named 'x'; there are: me@lab"),
        (["delete-context", "x"], "no context named 'x'"),
        (["rename-context", "me@lab", "me@lab"], "already"),
        (["get-contexts", "x"], "no context named 'x'"),
    ],
)
def test_a_context_that_does_not_exist_is_named(path, words, said):
    assert said in error_line(config(path, *words))


AGENT = AgentConfig(node_name="n1", endpoints=("h:7443",))
SERVER = ServerConfig(replica="r1", cluster_uid="c", replicas={"r1": "h"})
ETC = Path("/etc/timonier")
UNITS = ["timonier-agent.service", "timonier-podman.service", "timonier-api.service", "timonier-raft.service"]


def planned(agent=None, server=None, *, units=(), exists=lambda _path: True):
    return [(step.action, step.subject) for step in plan(agent, server, ETC, units=units, exists=exists)]


def test_a_node_stops_its_programs_before_and_its_podman_after_its_containers_are_removed():
    steps = planned(AGENT, units=UNITS)
    order = [
        steps.index(each)
        for each in (
            ("stop", "timonier-agent.service"),
            ("containers", "/run/timonier/podman.sock"),
            ("network", ""),
            ("stop", "timonier-podman.service"),
            ("remove", "/var/lib/timonier/agent"),
            ("remove", "/var/lib/timonier/storage"),
            ("remove", "/etc/timonier/pki"),
            ("remove", "/etc/timonier/agent.yaml"),
            ("remove if empty", "/etc/timonier"),
        )
    ]
    assert order == sorted(order)


def test_a_replica_loses_its_state_and_touches_no_containers():
    steps = planned(None, SERVER, units=UNITS)
    assert ("remove", "/var/lib/timonier") in steps
    assert {"containers", "network"}.isdisjoint(action for action, _ in steps)
    assert ("remove if empty", "/var/lib/timonier") not in steps


def test_the_images_of_another_podman_stay():
    other = AgentConfig(node_name="n1", endpoints=("h:7443",), podman_socket="/run/podman/podman.sock")
    assert ("remove", "/var/lib/timonier/storage") not in planned(other)


def test_no_systemd_means_nothing_to_stop_and_what_is_gone_is_left_out():
    steps = planned(AGENT, exists=lambda path: path.name == "agent.yaml")
    assert steps[:2] == [("containers", "/run/timonier/podman.sock"), ("network", "")]
    assert [subject for action, subject in steps if action == "remove"] == ["/etc/timonier/agent.yaml"]


def test_a_second_reset_finds_nothing_and_stops_nothing():
    assert planned(units=UNITS, exists=lambda _path: False) == []


def test_leftovers_without_a_configuration_stop_no_program():
    steps = planned(units=UNITS, exists=lambda path: path.name == "pki")
    assert steps == [("remove", "/etc/timonier/pki")]


@pytest.mark.parametrize(
    "folder", ["/", "/var/lib", "/home/me", "relative/path", "/var/lib/../x/y", "/etc", "/etc/timonier"]
)
def test_a_folder_that_is_not_ours_alone_is_never_removed(folder):
    with pytest.raises(ResetProblem, match="by hand"):
        planned(AgentConfig(node_name="n1", endpoints=("h:7443",), data_dir=folder))


def test_reset_only_says_what_it_would_do_unless_it_is_sure(tmp_path):
    (tmp_path / "pki").mkdir()
    result = tim(None, "reset", "--dir", str(tmp_path))
    assert f"would remove {tmp_path}/pki\n" in result.stdout
    assert "--yes does it" in error_line(result)
    assert (tmp_path / "pki").exists()


def test_a_reset_removes_what_init_left_and_may_be_repeated(tmp_path):
    etc = tmp_path / "etc-timonier"
    (etc / "pki").mkdir(parents=True)
    (etc / "pki" / "ca.crt").touch()
    (etc / "admin.conf").touch()
    (etc / "containers.conf").touch()
    assert tim(None, "reset", "--yes", "--dir", str(etc)).exit_code == 0
    assert [each.name for each in etc.iterdir()] == ["containers.conf"]
    assert tim(None, "reset", "--yes", "--dir", str(etc)).stdout == f"nothing to reset: no configuration in {etc}\n"


def test_a_configuration_that_cannot_be_read_stops_the_reset(tmp_path):
    (tmp_path / "agent.yaml").write_text("node: x")
    assert "unknown field 'node'" in error_line(tim(None, "reset", "--yes", "--dir", str(tmp_path)))
    assert (tmp_path / "agent.yaml").exists()
