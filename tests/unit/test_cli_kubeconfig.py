"""A kubeconfig as kubectl has it: several files as one, programs that give credentials, and what is refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cli.main import main
from component import kubeconfig, kubeconfig_files
from component.kubeconfig_problem import KubeconfigProblem
from tests.cli_rig import error_line, tim

VERSION = "client.authentication.k8s.io/v1"
PAIR = {"clientCertificateData": "CERT", "clientKeyData": "KEY"}


def tree_of(cluster: str, user: str) -> dict:
    return kubeconfig.build(cluster, "https://h:6443", ["h:7443"], b"ca", user, b"cert", b"key")


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "config"
    kubeconfig.write(tree_of("lab", "me"), path)
    return path


def with_user(path: Path, **fields) -> Path:
    """The same with other fields in its user."""
    tree = kubeconfig.read(path)
    tree["users"][0]["user"] = fields
    kubeconfig.write(tree, path)
    return path


def resolved(path: Path, context: str = "") -> kubeconfig.Credentials:
    return kubeconfig.resolve(kubeconfig.read(path), path, context)


def program(folder: Path, text: str, name: str = "plugin") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return f"./{name}"


def answering(folder: Path, status: dict, **more) -> str:
    """A program that prints this as its answer."""
    answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": status, **more}
    (folder / "answer").write_text(json.dumps(answer))
    return program(folder, f"cat {folder}/answer")


def test_a_program_beside_the_file_gives_the_certificate(conf):
    command = answering(conf.parent, PAIR)
    found = resolved(with_user(conf, exec={"apiVersion": VERSION, "command": command, "interactiveMode": "Never"}))
    assert (found.cert_pem, found.key_pem) == (b"CERT", b"KEY")


def test_the_program_gets_its_words_its_variables_and_the_question(conf):
    folder = conf.parent
    answering(folder, PAIR)
    command = program(
        folder, f'echo "$1 $WHO" > {folder}/seen; echo "$KUBERNETES_EXEC_INFO" >> {folder}/seen; cat {folder}/answer'
    )
    spec = {"apiVersion": VERSION, "command": command, "args": ["login"], "env": [{"name": "WHO", "value": "jane"}]}
    assert resolved(with_user(conf, exec=spec)).key_pem == b"KEY"
    words, question = (folder / "seen").read_text().splitlines()
    assert words == "login jane"
    asked = json.loads(question)
    assert (asked["apiVersion"], asked["kind"], asked["spec"]["interactive"]) == (VERSION, "ExecCredential", False)


def test_a_certificate_in_the_file_is_taken_before_any_program(conf):
    tree = kubeconfig.read(conf)
    tree["users"][0]["user"]["exec"] = {"apiVersion": VERSION, "command": "/no/such/program"}
    kubeconfig.write(tree, conf)
    assert resolved(conf).cert_pem == b"cert"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"command": "no-such-program-x", "installHint": "get it at x"}, "No such file or directory; get it at x"),
        ({"command": ""}, "exec: command is needed"),
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "use client.authentication.k8s.io/v1 or"),
        ({"provideClusterInfo": True}, "provideClusterInfo is not supported"),
        ({"interactiveMode": "Always"}, "it wants to ask on a terminal (interactiveMode), and there is none"),
        ({"shell": "x"}, "exec: shell is not known"),
        ({"args": "x"}, "args and env are lists"),
        ({"env": [{"name": "A"}]}, "env has entries of name and value"),
        ({"args": ["\0"]}, "embedded null byte"),
    ],
)
def test_a_program_that_cannot_be_asked_is_told_in_one_line(conf, change, said):
    spec = {"apiVersion": VERSION, "command": "./plugin", **change}
    result = tim(None, "--kubeconfig", str(with_user(conf, exec=spec)), "get", "pods")
    assert said in error_line(result)
    assert "user 'me': exec" in error_line(result)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 3", "plugin ended with code 3"),
        ("echo hello", "what it printed is no ExecCredential in JSON"),
        ("echo []", "what it printed is no ExecCredential in JSON"),
        ("echo '{}'", f"what it printed is no ExecCredential of {VERSION}"),
    ],
)
def test_a_program_that_fails_or_prints_something_else_is_told_in_one_line(conf, text, said):
    spec = {"apiVersion": VERSION, "command": program(conf.parent, text)}
    assert said in error_line(tim(None, "--kubeconfig", str(with_user(conf, exec=spec)), "get", "pods"))


@pytest.mark.parametrize(
    ("status", "said"),
    [({"token": "t"}, "it gives only a token"), ({}, "it gives no clientCertificateData and clientKeyData")],
)
def test_a_program_that_gives_no_certificate_is_refused(conf, status, said):
    spec = {"apiVersion": VERSION, "command": answering(conf.parent, status)}
    with pytest.raises(KubeconfigProblem, match=said):
        resolved(with_user(conf, exec=spec))


@pytest.mark.parametrize("field", ["token", "tokenFile", "username", "auth-provider"])
def test_what_gives_no_certificate_is_refused_by_name(conf, field):
    with pytest.raises(KubeconfigProblem, match=rf"has only .* \({field}\), which counts over HTTPS"):
        resolved(with_user(conf, **{field: "x"}))


@pytest.mark.parametrize("field", ["proxy-url", "insecure-skip-tls-verify"])
def test_what_would_change_the_connection_is_refused_by_name(conf, field):
    tree = kubeconfig.read(conf)
    tree["clusters"][0]["cluster"][field] = True
    kubeconfig.write(tree, conf)
    assert f"cluster 'lab': {field} is not supported" in error_line(tim(None, "--kubeconfig", str(conf), "get", "pods"))


def test_whom_the_user_acts_as_is_taken_from_the_file(conf):
    tree = kubeconfig.read(conf)
    tree["users"][0]["user"] |= {"as": "jane", "as-groups": ["dev"]}
    kubeconfig.write(tree, conf)
    assert (resolved(conf).acting_user, resolved(conf).acting_groups) == ("jane", ("dev",))
    for fields, said in (
        ({"as-uid": "7"}, "as-uid is not supported"),
        ({"as-user-extra": {"a": ["b"]}}, "as-user-extra is not supported"),
        ({"as": ""}, "as-groups needs as"),
        ({"as-groups": "dev"}, "as-groups is no list"),
    ):
        changed = {**tree["users"][0]["user"], **fields}
        with pytest.raises(KubeconfigProblem, match=said):
            resolved(with_user(conf, **changed))


@pytest.fixture
def two(tmp_path):
    """Two files, the second with keys beside it."""
    first, second = tmp_path / "a" / "one", tmp_path / "b" / "two"
    kubeconfig.write(tree_of("lab", "me"), first)
    tree = tree_of("far", "jane")
    tree["users"][0]["user"] = {"client-certificate": "jane.crt", "client-key": "jane.key"}
    tree["users"].append({"name": "me", "user": {"token": "another"}})
    kubeconfig.write(tree, second)
    for name in ("crt", "key"):
        (second.parent / f"jane.{name}").write_bytes(name.encode())
    return first, second


def config(paths, *words):
    """`tim config` with these files, by the variable."""
    environment = {"KUBECONFIG": os.pathsep.join(map(str, paths)), "TIMCONFIG": None, "HOME": "/nowhere"}
    return CliRunner().invoke(main, ["config", *words], env=environment)


def test_several_files_are_read_as_one_and_the_first_that_says_a_thing_wins(two):
    missing = two[0].parent / "none"
    paths = kubeconfig_files.chosen_paths(
        {"KUBECONFIG": os.pathsep.join(map(str, (missing, *two))), "HOME": "/nowhere"}
    )
    assert paths == (missing, *two)
    tree, label = kubeconfig_files.read(paths)
    assert tree["current-context"] == "me@lab"
    assert kubeconfig.resolve(tree, label).cert_pem == b"cert"
    jane = kubeconfig.resolve(tree, label, "jane@far")
    assert (jane.cert_pem, jane.key_pem) == (b"crt", b"key"), "paths are beside the file that names them"


def test_without_any_of_the_files_the_first_is_named(tmp_path):
    with pytest.raises(KubeconfigProblem, match=r"no client configuration at .*/x"):
        kubeconfig_files.read((tmp_path / "x", tmp_path / "y"))


@pytest.mark.parametrize(
    ("environ", "paths"),
    [
        ({"TIMCONFIG": "/t", "KUBECONFIG": "/a:/b"}, ["/t"]),
        ({"KUBECONFIG": "/a:/b:/a:", "HOME": "/nowhere"}, ["/a", "/b"]),
        ({"KUBECONFIG": ":/b", "HOME": "/nowhere"}, ["/b"]),
        ({"HOME": "/nowhere"}, ["/nowhere/.tim/config"]),
        ({}, ["/root/.tim/config"]),
    ],
)
def test_the_files_are_chosen_by_variables(environ, paths):
    assert [str(path) for path in kubeconfig_files.chosen_paths(environ)] == paths


def test_a_change_goes_to_the_file_that_it_belongs_to(two):
    first, second = two
    before = first.read_text()
    assert config(two, "set-context", "jane@far", "--namespace", "shop").exit_code == 0
    assert first.read_text() == before
    (context,) = yaml.safe_load(second.read_text())["contexts"]
    assert context["context"] == {"cluster": "far", "user": "jane", "namespace": "shop"}
    assert config(two, "use-context", "jane@far").exit_code == 0
    assert yaml.safe_load(first.read_text())["current-context"] == "jane@far"
    assert config(two, "rename-context", "jane@far", "j").exit_code == 0
    assert config(two, "current-context").stdout == "j\n"
    assert yaml.safe_load(second.read_text())["contexts"][0]["name"] == "j"
    assert config(two, "delete-cluster", "far").stdout == 'cluster "far" deleted\n'
    assert yaml.safe_load(second.read_text())["clusters"] == []
    assert config(two, "delete-user", "jane").exit_code == 0
    assert [each["name"] for each in yaml.safe_load(second.read_text())["users"]] == ["me"]
    assert config(two, "get-contexts", "-o", "name").stdout == "me@lab\nj\n"
    assert "no user named 'jane'; there are: me" in config(two, "delete-user", "jane").stderr
