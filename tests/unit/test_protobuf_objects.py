"""Kubernetes' protobuf form: what kubectl 1.32 really sent, and bytes that mean nothing."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import scheme, shape
from api.protobuf_fields import by_name, by_number, meaning
from api.protobuf_messages import MESSAGES
from api.protobuf_objects import MAGIC, Malformed, decode

SENT = [  # by `kubectl create`: the body, and the object that its JSON would have been
    (
        (
            "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50Es8BCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEp0BCAASDAoKCgNhcHAS"
            "A3dlYhqCAQocCgASABoAIgAqADIAOABCAFoKCgNhcHASA3dlYhJiEkQKBW5naW54EgpuZ2lueDoxLjI5GgJzaBoCLWMaB2VjaG8gaGkq"
            "ADIKCgAQABhQIgAqAEIAagByAIABAIgBAJABAKIBABoAMgBCAEoAUgBYAGAAaACCAQCKAQCaAQDCAQAiAgoAKAA4ABoMCAAQABgAIAAo"
            "ADgAGgAiAA=="
        ),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "containers": [
                            {
                                "name": "nginx",
                                "image": "nginx:1.29",
                                "command": ["sh", "-c", "echo hi"],
                                "ports": [{"containerPort": 80}],
                            }
                        ]
                    },
                },
            },
        },
    ),
    (
        "azhzAAoMCgJ2MRIGU2VjcmV0Eh0KEQoBcxIAGgAiACoAMgA4AEIAEgYKAWESAWIaABoAIgA=",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}},
    ),
    (
        (
            "azhzAAoNCgJ2MRIHU2VydmljZRJpCh8KA3N2YxIAGgAiACoAMgA4AEIAWgoKA2FwcBIDc3ZjEkIKGwoHODAtODA4MBIDVENQGFAiBwgA"
            "EJA/GgAoABIKCgNhcHASA3N2YxoAIglDbHVzdGVySVA6AEIAUgBaAGAAaAAaAgoAGgAiAA=="
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "svc", "labels": {"app": "svc"}},
            "spec": {
                "ports": [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                "selector": {"app": "svc"},
                "type": "ClusterIP",
            },
        },
    ),
    (
        "azhzAAoTCgJ2MRINUmVzb3VyY2VRdW90YRIwChEKAXESABoAIgAqADIAOABCABIZCgoKA2NwdRIDCgExCgsKBHBvZHMSAwoBMhoAGgAiAA==",
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "q"},
            "spec": {"hard": {"cpu": "1", "pods": "2"}},
        },
    ),
    (
        (
            "azhzAAolChRzY2hlZHVsaW5nLms4cy5pby92MRINUHJpb3JpdHlDbGFzcxI5ChIKAnBjEgAaACIAKgAyADgAQgAQ+///////////ARgA"
            "IgAqFFByZWVtcHRMb3dlclByaW9yaXR5GgAiAA=="
        ),
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "pc"},
            "value": -5,
            "preemptionPolicy": "PreemptLowerPriority",
        },
    ),
]


@pytest.mark.parametrize(("body", "tree"), SENT, ids=lambda each: each["kind"] if isinstance(each, dict) else "")
def test_an_object_is_what_its_json_would_have_said(body, tree):
    assert decode(base64.b64decode(body)) == tree


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def sent(kind, raw):
    names = field(1, b"v1") + field(2, kind)
    return MAGIC + field(1, names) + field(2, raw)


def test_times_come_as_text_and_none_of_an_empty_one():
    instant = field(8, b"\x08\x80\xe2\xcf\xaa\x06") + field(9, b"")  # creationTimestamp, deletionTimestamp
    metadata = decode(sent(b"Namespace", field(1, instant)))["metadata"]
    assert metadata == {"creationTimestamp": "2023-11-14T22:13:20Z", "deletionTimestamp": None}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{}", "does not begin"),
        (MAGIC, 'the kind ""'),
        (sent(b"Widget", b""), 'the kind "Widget" has no such form here: send JSON'),
        (sent(b"Namespace", field(15, b"x")), "Namespace: field 15 is not known here"),
        (sent(b"Namespace", b"\x0a\x05x"), "Namespace: it ends in the middle of field 1"),
        (sent(b"Namespace", b"\x08\x01"), "Namespace.metadata: a number where there should be none"),
        (sent(b"Namespace", field(1, field(1, b"\xff"))), "ObjectMeta.name: no text"),
        (sent(b"Namespace", b"\xff" * 11), "Namespace: no number at byte 10"),
        (sent(b"Namespace", b"\x0b"), "Namespace: wire type 3 is not known"),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_is_wrong(data, told):
    with pytest.raises(Malformed, match=told):
        decode(data)


@given(st.binary(max_size=200), st.sampled_from([each.kind.encode() for each in scheme.KINDS]))
def test_no_bytes_do_worse_than_be_refused(raw, kind):
    try:
        tree = decode(sent(kind, raw[:100]))
    except Malformed:
        return
    assert tree["kind"] == kind.decode()


def structs(struct, found):
    if struct not in found:
        found.add(struct)
        for each in shape.fields(struct).values():
            for inner in (each, each.item, each.item.item if each.item else None):
                if inner is not None and inner.struct is not None:
                    structs(inner.struct, found)
    return found


JSON_ONLY = {scheme.DEFINITIONS}  # their clients send JSON, as for what they define


@pytest.mark.parametrize(
    "kind", [each for each in scheme.KINDS if each.resource not in JSON_ONLY], ids=lambda kind: kind.kind
)
def test_every_field_of_a_kind_has_its_number(kind):
    for struct in structs(kind.type, set()):
        missing = shape.fields(struct).keys() - by_name(struct.__name__).keys() - {"apiVersion", "kind"}
        assert not missing - {"runningInUserNamespace"}, struct  # of a node's status, newer than the numbers


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_that_a_field_names_is_there(message):
    assert {each.message for each in by_number(message).values() if each.message} <= MESSAGES.keys()


def test_what_a_go_program_adds_and_drops_changes_no_meaning():
    written = {
        "metadata": {"creationTimestamp": None, "labels": {"app": ""}},
        "spec": {
            "containers": [{"name": "a", "args": [""], "resources": {}, "env": [{"name": "E", "value": ""}]}],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "hostNetwork": False,
            "nodeSelector": {},
            "terminationGracePeriodSeconds": 0,
            "affinity": {"podAffinity": {}},
        },
    }
    assert meaning("PodTemplateSpec", written) == {
        "metadata": {"labels": {"app": ""}},
        "spec": {
            "containers": [{"name": "a", "args": [""], "env": [{"name": "E"}]}],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 0,
            "affinity": {"podAffinity": {}},
        },
    }


def test_fields_that_no_message_has_keep_what_they_say():
    assert meaning("PodSpec", {"novelty": ""}) == {"novelty": ""}
