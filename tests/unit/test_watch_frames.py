"""Frames written by hand are what the generated code writes, and it reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.v1 import apiserver_pb2, resource_pb2
from controlplane.commands import Envelope, Key
from controlplane.watch.frames import bookmark_frame, event_frame, resource_bytes, varint

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=200)
REVISIONS = st.integers(1, 2**64 - 1)


def body_of(text: str) -> bytes:
    return ('{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"x":"' + text + '"}}').encode()


def resource_of(envelope: Envelope, body: bytes, revision: int) -> resource_pb2.Resource:
    return resource_pb2.Resource(
        api_version="apps/v1",
        kind="Deployment",
        namespace=envelope.key.namespace,
        name=envelope.key.name,
        uid=envelope.uid,
        resource_version=revision,
        json=body.decode(),
    )


@given(TEXT, TEXT, TEXT, REVISIONS, st.sampled_from(["", "é", "x" * 20_000]))
def test_a_resource_equals_the_generated_message(namespace, name, uid, revision, text):
    envelope, body = Envelope(Key("deployments.apps", namespace, name), uid), body_of(text)
    expected = resource_of(envelope, body, revision).SerializeToString(deterministic=True)
    assert resource_bytes(envelope, body, revision) == expected


@given(st.sampled_from([1, 2, 3]), REVISIONS)
def test_an_event_equals_the_generated_message(event_type, revision):
    envelope, body = Envelope(Key("deployments.apps", "d", "a"), "u"), body_of("x")
    event = resource_pb2.WatchEvent(
        type=event_type, resource_version=revision, object=resource_of(envelope, body, revision)
    )
    frame = event_frame(event_type, revision, resource_bytes(envelope, body, revision))
    assert frame == apiserver_pb2.WatchResponse(events=[event]).SerializeToString(deterministic=True)


def test_frames_concatenate_to_one_response_of_all_events():
    envelope, body = Envelope(Key("deployments.apps", "d", "a"), "u"), body_of("é")
    frames = [event_frame(kind, at, resource_bytes(envelope, body, at)) for kind, at in ((1, 7), (3, 300))]
    response = apiserver_pb2.WatchResponse.FromString(b"".join([*frames, bookmark_frame(2**40)]))
    assert [(each.type, each.resource_version) for each in response.events] == [(1, 7), (3, 300), (4, 2**40)]
    assert response.events[1].object.json == body.decode()
    assert not response.events[2].HasField("object")


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**64 - 1, "ff" * 9 + "01")]
)
def test_varints(number, expected):
    assert varint(number).hex() == expected
