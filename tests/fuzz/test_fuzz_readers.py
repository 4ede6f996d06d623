"""Readers of files, tokens and frames get anything: each answers, or refuses with the error that it promises."""

from __future__ import annotations

import base64
import os
import random
import zlib
from contextlib import suppress

import msgspec
import pytest
import yaml

from api import json_patch, managed_fields, protobuf_objects, selectors
from api.errors import ApiError, Invalid
from component import kubeconfig
from component.kubeconfig import KubeconfigProblem
from controlplane.apiserver import pages
from controlplane.apiserver.rest import channels, spdy
from controlplane.audit.policy import PolicyProblem, read_policy
from tests.fuzz.trees import mutate

pytestmark = pytest.mark.slow

MUTATIONS = int(os.environ.get("MUTATIONS", "100"))
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))

BOMB = zlib.compress(bytes(8 << 20), 9)[:8000].ljust((16 << 10) - 10, b"x")

ODD_TEXTS = (
    *(
        "",
        "\x00",
        "a: 2001-99-99",
        "a: 99:99:99:99e9",
        "&a [*a]",
        "? [a]\n: b",
        "!!python/none x",
        "{" * 3000,
        "- " * 3000,
    ),
    *("a: " + "9" * 6000, "a: 0x" + "f" * 6000, "<<: 1", "<<: [1]", "%YAML 9.1\n---\na", "a: !!float x", "a: !!int ''"),
    *(
        "a: !!timestamp x",
        "a: 0b",
        "a: 1_",
        "a: !!binary é",
        "\ud7ff: \x85",
        "a: &x {b: *x}",
        "!!set {a}",
        "a\n...\nb",
        "~",
    ),
    "\n".join(["a: &a0 [x, x]", *(f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))]),
)

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "lab",
    "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin", "namespace": "a"}}],
    "clusters": [
        {
            "name": "lab",
            "cluster": {
                "server": "https://10.0.0.1:6443",
                "certificate-authority-data": base64.b64encode(b"pem").decode(),
                "extensions": [{"name": kubeconfig.EXTENSION, "extension": {"endpoints": ["10.0.0.1:7443"]}}],
            },
        }
    ],
    "users": [{"name": "admin", "user": {"client-certificate-data": "YQ==", "client-key-data": "YQ=="}}],
}
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["a"], "verbs": ["get"], "resources": [{"group": "", "resources": ["pods"]}]},
        {"level": "RequestResponse", "nonResourceURLs": ["/api*"], "userGroups": ["b"]},
        {
            "level": "Metadata",
            "namespaces": ["default"],
            "resources": [{"group": "apps", "resourceNames": [], "resources": ["*"]}],
        },
    ],
}


def written(tree: dict, rng: random.Random) -> str:
    """A tree as a file has it, perhaps with some characters changed."""
    text = yaml.safe_dump(mutate(tree, rng), allow_unicode=True)
    for _ in range(rng.choice((0, 0, 1, 3))):
        at = rng.randrange(len(text) + 1)
        text = (
            text[:at]
            + rng.choice(("\t", "{", "- ", "&a ", "*a", "\x00", ":", "'", "é", ""))
            + text[at + rng.choice((0, 1, 9)) :]
        )
    return text


def texts(tree: dict):
    rng = random.Random(SEED)
    return [*ODD_TEXTS, *(written(tree, rng) for _ in range(MUTATIONS))]


def test_client_configurations(tmp_path):
    path, said = tmp_path / "config", []
    for text in texts(KUBECONFIG):
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            tree = kubeconfig.read(path)
            kubeconfig.resolve(tree, path)
        except KubeconfigProblem as problem:
            said.append((text, str(problem)))
        except Exception as error:
            raise AssertionError((SEED, text[:3000])) from error
    assert [each for each in said if str(path) not in each[1] or "\n" in each[1]] == [], SEED


def test_audit_policies():
    said = []
    for text in texts(POLICY):
        try:
            read_policy(text, "policy.yaml")
        except PolicyProblem as problem:
            said.append((text, str(problem)))
        except Exception as error:
            raise AssertionError((SEED, text[:3000])) from error
    assert [each for each in said if "policy.yaml" not in each[1] or "\n" in each[1]] == [], SEED


def test_continue_tokens():
    rng = random.Random(SEED)
    for size in (1, 2, 7, 30, 300):
        for _ in range(MUTATIONS):
            data = rng.choice(
                (rng.randbytes(size), msgspec.msgpack.encode([rng.choice((None, 1, "x", [], {}))] * rng.randrange(6)))
            )
            for token in (base64.urlsafe_b64encode(data).decode().rstrip("="), data.decode("latin-1"), "é", "\x00"):
                try:
                    pages._decode(token)
                except Invalid:
                    continue
                except Exception as error:
                    raise AssertionError((SEED, token)) from error


def test_kubernetes_protobuf():
    rng = random.Random(SEED)
    whole = b"k8s\x00\x0a\x0e\x0a\x02v1\x12\x08ConfigMa\x12\x1a\x0a\x0c\x0a\x03abc\x12\x00\x1a\x00\x12\x0a\x0a\x01k\x12\x05value"
    named = whole.replace(b"\x0a\x0e\x0a\x02v1\x12\x08ConfigMa", b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap")
    for kind in ("ConfigMap", "Pod", "Deployment", "Node", "CustomResourceDefinition", "Lease"):
        head = b"\x0a\x02v1\x12" + bytes([len(kind)]) + kind.encode()
        for _ in range(MUTATIONS):
            data = bytearray(rng.choice((named, rng.randbytes(rng.choice((3, 40, 400))))))
            for _ in range(rng.randrange(4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            framed = b"k8s\x00\x0a" + bytes([len(head)]) + head + b"\x12" + bytes([len(data) & 127]) + bytes(data)
            for each in (bytes(data), framed):
                try:
                    protobuf_objects.decode(each)
                except protobuf_objects.Malformed:
                    continue
                except Exception as error:
                    raise AssertionError((SEED, each.hex())) from error


def test_frames_of_spdy_and_of_channels():
    rng = random.Random(SEED)
    for _ in range(MUTATIONS):
        writer, reader = spdy.Writer(), spdy.Reader()
        sent = bytearray()
        for _ in range(rng.randrange(6)):
            number = rng.randrange(1 << 31)
            sent += rng.choice(
                (
                    writer.open(
                        number, {"streamtype": rng.choice(("error", "stdin", "é")), "port": "x" * rng.choice((1, 9000))}
                    ),
                    spdy.data(number, rng.randbytes(rng.choice((0, 5, 3000))), fin=rng.random() < 0.5),
                    spdy.ping(number),
                    spdy.refuse(number),
                    rng.randbytes(rng.choice((1, 8, 30))),
                    b"\x80\x03"
                    + bytes([0, rng.randrange(12), 0, 0, rng.randrange(2), rng.randrange(256)])
                    + rng.randbytes(300),
                    b"\x80\x03\x00\x01\x00\x00\x40\x00" + bytes(10) + BOMB,
                )
            )
        for _ in range(rng.randrange(4) if sent else 0):
            sent[rng.randrange(len(sent))] = rng.randrange(256)
        try:
            while sent:
                size = rng.choice((1, 7, 100, 20_000))
                list(reader.feed(bytes(sent[:size])))
                del sent[:size]
        except spdy.Broken:
            pass
        for message in (
            rng.randbytes(rng.choice((0, 1, 2, 300))),
            bytes([rng.randrange(6)]) + rng.choice((b"", b"{", b"[" * 5000)),
        ):
            channels.frame_of(message, closes=rng.random() < 0.5)
            channels.resize(message)


def test_selectors_patches_and_managed_fields():
    rng = random.Random(SEED)
    words = (
        "a",
        "!",
        "(",
        ")",
        ",",
        "=",
        "==",
        "!=",
        " in ",
        " notin ",
        "é",
        "\x00",
        "\\",
        "/",
        "a.b/c",
        " ",
        ">",
        "<",
        "1",
        '"',
    )
    entry = {
        "manager": "x",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "time": "2030-01-01T00:00:00Z",
    }
    entry["fieldsV1"] = {"f:a": {".": {}, 'k:{"a":1}': {"f:b": {}}, "v:1": {}, "i:0": {}}}
    operations = [{"op": "move", "path": "/a/0", "from": "/b"}, {"op": "test", "path": "", "value": {"a": []}}]
    for _ in range(MUTATIONS * 4):
        text = "".join(rng.choices(words, k=rng.randrange(12)))
        for read in (selectors.parse_label_selector, selectors.parse_field_selector):
            with suppress(ApiError):
                read(text)
        entries = mutate({"all": [entry]}, rng).get("all")
        managed_fields.stored(entries)
        with suppress(Invalid):
            json_patch.json_patch({"a": [1, {"b": 2}], "b": {}}, mutate({"all": operations}, rng).get("all"))
