"""What is wrong is refused with one line that names it, and exit code 1; misuse of the command line exits with 2."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from api.errors import NotFound
from component import kubeconfig, pki
from tests.e2e.cluster import Cluster, eventually

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: localhost/web:1
          resources: {limits: {memory: 64Mi}}
"""

REFUSED = {
    "unknown field": (("replicas: 1", "replica: 1"), ["spec.replica", "replicas"]),
    "wrong type": (("replicas: 1", "replicas: three"), ["spec.replicas", "integer"]),
    "bad quantity": (("64Mi", "64Megs"), ["resources.limits[memory]", "64Megs"]),
    "selector without its template": (("labels: {app: web}", "labels: {app: other}"), ["selector", "template"]),
    "negative count": (("replicas: 1", "replicas: -1"), ["spec.replicas"]),
    "no image": (("image: localhost/web:1", "workingDir: /"), ["containers[0].image"]),
    "bad name": (("name: web}", "name: Web_1}"), ["metadata.name"]),
    "duplicate key": (("replicas: 1", "replicas: 1\n  replicas: 2"), ["replicas", ":7: "]),
    "unknown kind": (("kind: Deployment", "kind: Deploymint"), ["Deploymint"]),
    "unknown version": (("apiVersion: apps/v1", "apiVersion: apps/v9"), ["apps/v9"]),
    "kind not honoured yet": (("kind: Deployment", "kind: StatefulSet"), ["StatefulSet"]),
    "broken YAML": (("replicas: 1", "replicas: [1"), [":7: "]),
    "field not honoured yet": (
        ("containers:", "shareProcessNamespace: true\n      containers:"),
        ["shareProcessNamespace"],
    ),
}


def refused(cluster: Cluster, *words: str, stdin: str = "") -> str:
    """The line with which a command is refused."""
    done = cluster.tim(*words, stdin=stdin, check=False)
    assert done.code == 1, f"exit code {done.code}: {done.err}{done.out}"
    assert "Traceback" not in done.err
    assert len(done.error_line) < 600
    return done.error_line


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_manifest_is_refused_by_name(cluster, case):
    (old, new), named = REFUSED[case]
    assert old in DEPLOYMENT
    line = refused(cluster, "apply", "-f", "-", stdin=DEPLOYMENT.replace(old, new, 1))
    assert all(word in line for word in named), line
    assert not cluster.exists("deployments.apps", "default", "web")


def test_several_faults_are_told_at_once(cluster):
    wrong = DEPLOYMENT.replace("replicas: 1", "replica: 1").replace("image: localhost/web:1", "image: [1]")
    line = refused(cluster, "apply", "-f", "-", stdin=wrong)
    assert "spec.replica: " in line
    assert "containers[0].image: " in line


def test_what_exists_cannot_be_created_again(space):
    tree = "{apiVersion: v1, kind: ConfigMap, metadata: {name: once}}"
    space.tim("create", "-f", "-", stdin=tree)
    failed = space.tim("create", "-f", "-", stdin=tree, check=False)
    assert failed.code == 1
    assert "AlreadyExists" in failed.error_line
    assert "once" in failed.error_line


def test_a_stale_resource_version_is_a_conflict(space):
    space.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: raced}, data: {a: '1'}}")
    stale = space.get("configmaps", "raced")
    space.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: raced}, data: {a: '2'}}")
    stale["data"] = {"a": "3"}
    failed = space.tim("apply", "-f", "-", stdin=json.dumps(stale), check=False)
    assert failed.code == 1
    assert "Conflict" in failed.error_line
    assert space.get("configmaps", "raced")["data"] == {"a": "2"}


def test_a_namespace_that_does_not_exist_is_named(cluster):
    line = refused(cluster, "apply", "-n", "nowhere", "-f", "-", stdin=DEPLOYMENT)
    assert "nowhere" in line
    line = refused(cluster, "get", "pod", "nobody")
    assert "NotFound" in line
    assert "nobody" in line


def test_ten_megabytes_are_refused_without_harm(cluster):
    big = json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x" * (10 << 20)}}
    )
    began = time.monotonic()
    line = refused(cluster, "apply", "-f", "-", stdin=big)
    assert "big" in line or "MiB" in line or "bytes" in line, line
    assert time.monotonic() - began < 30
    cluster.tim("get", "nodes")


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["apply"],
        ["scale", "deployment/web"],
        ["get", "pods", "-o", "pretty"],
        ["logs", "x", "--tail", "many"],
    ],
    ids=" ".join,
)
def test_misuse_of_the_command_line_exits_with_2(cluster, words):
    done = cluster.tim(*words, check=False)
    assert done.code == 2, done
    assert "Traceback" not in done.err


def test_an_unknown_resource_suggests_the_nearest(cluster):
    line = refused(cluster, "get", "deploymint")
    assert "deploymint" in line


# Identities


@pytest.fixture
def as_node(cluster: Cluster, tmp_path: Path):
    """Run `tim` with the certificate of a node."""

    def run(node: str, *words: str, stdin: str = ""):
        tree = yaml.safe_load(cluster.lab.admin_conf.read_text())
        pki = cluster.lab.host(node).state_dir / "etc" / "pki"
        tree["users"][0]["user"] = {
            "client-certificate": str(pki / "node.crt"),
            "client-key": str(pki / "node.key"),
        }
        path = tmp_path / "node.conf"
        path.write_text(yaml.safe_dump(tree))
        kubeconfig.resolve(kubeconfig.read(path), path)
        return refused(cluster, "--kubeconfig", str(path), *words, stdin=stdin)

    return run


def test_a_node_reads_no_secret_that_none_of_its_pods_needs(cluster, space, as_node):
    space.apply("{apiVersion: v1, kind: Secret, metadata: {name: private}, stringData: {a: b}}")
    assert "Forbidden" in as_node("n1", "get", "secret", "private", "-n", space.name)
    assert "Forbidden" in as_node("n1", "get", "secrets", "-A")


def test_a_node_writes_no_other_node_and_no_pods_of_its_own_making(cluster, space, as_node):
    other = cluster.get("nodes", "", "n2")
    other["metadata"].setdefault("labels", {})["mine"] = "yes"
    assert "Forbidden" in as_node("n1", "apply", "-f", "-", stdin=json.dumps(other))
    assert "Forbidden" in as_node("n1", "delete", "node", "n2")
    assert "Forbidden" in as_node("n1", "apply", "-n", space.name, "-f", "-", stdin=DEPLOYMENT)
    assert "mine" not in cluster.get("nodes", "", "n2")["metadata"]["labels"]


# Joining


@pytest.fixture
def newcomer(cluster: Cluster) -> Iterator[str]:
    """The name of a machine that joins; its node is removed."""
    name = f"newcomer-{time.monotonic_ns()}"
    yield name
    with suppress(NotFound):
        cluster.call(cluster.client.delete("nodes", "", name))


def join(cluster: Cluster, tmp_path: Path, token: str, ca_hash: str, name: str):
    server = f"{cluster.lab.host('r1').address}:6443"
    where = tmp_path / f"etc-{time.monotonic_ns()}"
    return cluster.tim(
        "join", server, "--token", token, "--ca-hash", ca_hash, "--name", name, "--dir", str(where), check=False
    )


def made_token(cluster: Cluster, *options: str) -> tuple[str, str]:
    line = cluster.tim("token", "create", *options).out
    found = re.search(r"--token (\S+) --ca-hash (\S+)", line)
    assert found, line
    return found[1], found[2]


def test_a_token_works_once(cluster, tmp_path, newcomer):
    token, ca_hash = made_token(cluster)
    assert join(cluster, tmp_path, token, ca_hash, newcomer).code == 0
    again = join(cluster, tmp_path, token, ca_hash, newcomer)
    assert again.code == 1
    assert "token" in again.error_line


def test_a_token_expires(cluster, tmp_path):
    made = cluster.call(cluster.client.create_join_token(role="node", name="late", ttl_seconds=1))

    def expired() -> bool:
        # A token for another name is refused before and after, without being used up.
        refused = join(cluster, tmp_path, made.token, made.ca_hash, name="other")
        assert refused.code == 1
        return "expired" in refused.err

    eventually("the token expires", expired)
    assert join(cluster, tmp_path, made.token, made.ca_hash, name="late").code == 1


def test_a_wrong_ca_hash_stops_before_anything_is_sent(cluster, tmp_path, newcomer):
    token, ca_hash = made_token(cluster)
    wrong = ca_hash[:-1] + ("0" if ca_hash[-1] != "0" else "1")
    failed = join(cluster, tmp_path, token, wrong, newcomer)
    assert failed.code == 1
    assert "not the pinned one" in failed.error_line
    assert join(cluster, tmp_path, token, ca_hash, newcomer).code == 0, "the token was not used up"


def test_a_wrong_ca_is_not_trusted(cluster, tmp_path):
    tree = yaml.safe_load(cluster.lab.admin_conf.read_text())
    path = tmp_path / "ca.crt"
    path.write_bytes(pki.make_ca("stranger", time.time()).cert_pem)
    entry = tree["clusters"][0]["cluster"]
    entry.pop("certificate-authority-data", None)
    entry["certificate-authority"] = str(path)
    config = tmp_path / "wrong-ca.conf"
    config.write_text(yaml.safe_dump(tree))
    line = refused(cluster, "--kubeconfig", str(config), "get", "nodes")
    assert "certificate" in line.lower() or "Unavailable" in line


def test_a_cluster_that_cannot_be_reached_is_told_with_its_addresses(cluster, tmp_path):
    text = cluster.lab.admin_conf.read_text().replace(cluster.lab.ranges.hosts.rsplit(".", 1)[0] + ".", "127.1.2.")
    config = tmp_path / "nowhere.conf"
    config.write_text(text)
    began = time.monotonic()
    line = refused(cluster, "--kubeconfig", str(config), "get", "nodes")
    assert "127.1.2.1:7443" in line
    assert time.monotonic() - began < 45


def test_a_missing_client_configuration_says_what_to_do(cluster, tmp_path):
    line = refused(cluster, "--kubeconfig", str(tmp_path / "absent"), "get", "nodes")
    assert "TIMCONFIG" in line
