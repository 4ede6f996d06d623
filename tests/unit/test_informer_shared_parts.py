"""Decoded views whose equal parts are kept once."""

from __future__ import annotations

import msgspec
import pytest

from api.core import Pod
from api.object import canonical
from component.informer import PartialObjectMetadata
from component.shared_parts import CAPACITY, SharedParts
from tests.builders import cached, pod


def stored(name, node="n1", **fields):
    return cached(pod(name, node=node, **fields)).object


def test_pods_of_one_template_share_everything_but_their_names_nodes_and_status():
    parts = SharedParts()
    volumes = [{"name": "data", "emptyDir": {}}]
    one, other = (parts.view(stored(name, node, volumes=volumes), Pod) for name, node in (("a", "n1"), ("b", "n2")))
    assert (one.metadata.name, one.spec.node_name) == ("a", "n1")
    assert (other.metadata.name, other.spec.node_name) == ("b", "n2")
    assert one.spec.containers is other.spec.containers
    assert one.spec.volumes is other.spec.volumes
    assert one.metadata.labels is other.metadata.labels
    assert one.metadata.creation_timestamp is other.metadata.creation_timestamp


def test_a_view_says_what_the_object_says():
    parts = SharedParts()
    for image in ("example/web:1", "example/web:2", "example/web:1"):
        tree = pod("a", requests={"cpu": "1"})
        tree["spec"]["containers"][0]["image"] = image
        item = cached(tree).object
        assert parts.view(item, Pod) == item.view(Pod)


def test_numbers_are_not_taken_for_equal_text():
    def probing(port):
        tree = pod("a")
        tree["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"port": port}}
        return cached(tree).object

    parts = SharedParts()
    ports = [parts.view(probing(port), Pod).spec.containers[0].readiness_probe.http_get.port for port in (80, "80")]
    assert ports == [80, "80"]


def test_names_are_those_of_the_object_itself():
    item = stored("a")
    metadata = SharedParts().view(item, Pod).metadata
    assert metadata.name is item.name
    assert metadata.namespace is item.namespace
    assert metadata.uid is item.uid


def test_views_of_metadata_alone_are_shared_too():
    parts = SharedParts()
    one, other = (parts.view(stored(name), PartialObjectMetadata) for name in ("a", "b"))
    assert one.metadata.labels is other.metadata.labels


def test_only_so_many_different_values_are_remembered():
    parts = SharedParts()
    common = parts.view(stored("a"), Pod).metadata.labels
    for number in range(CAPACITY):
        parts.view(stored("b", labels={"number": str(number)}), Pod)
    again = parts.view(stored("c"), Pod).metadata.labels
    assert again == common
    assert again is not common


def test_what_cannot_be_decoded_is_refused():
    tree = pod("a")
    item = msgspec.structs.replace(cached(tree).object, json=canonical(tree | {"spec": []}))
    with pytest.raises(msgspec.ValidationError):
        SharedParts().view(item, Pod)


def test_a_number_of_any_size_is_taken_in():
    tree = pod("a")
    tree["metadata"]["managedFields"] = [2**64]
    item = msgspec.structs.replace(cached(tree).object, json=canonical(tree))
    assert SharedParts().view(item, Pod).metadata.managed_fields == item.view(Pod).metadata.managed_fields
