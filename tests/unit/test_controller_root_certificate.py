"""The ConfigMap with the certificate authority that every namespace has."""

from __future__ import annotations

import pytest

from api.wellknown import ROOT_CERTIFICATE
from controlplane.controllers.actions import Create, Update
from controlplane.controllers.root_certificate import reconcile
from tests.builders import cached

PEM = "-----BEGIN CERTIFICATE-----"


def namespace(**metadata):
    return cached({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", **metadata}})


def config_map(**fields):
    metadata = {"name": ROOT_CERTIFICATE, "namespace": "shop"}
    return cached({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **fields})


def test_a_namespace_gets_it():
    [create] = reconcile(namespace(), None, PEM)
    assert isinstance(create, Create)
    assert create.tree["metadata"] == {"name": ROOT_CERTIFICATE, "namespace": "shop"}
    assert create.tree["data"] == {"ca.crt": PEM}


def test_nothing_is_done_once_it_is_right():
    assert reconcile(namespace(), config_map(data={"ca.crt": PEM}), PEM) == []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": {"ca.crt": "another"}},
        {"data": {"ca.crt": PEM, "more": "x"}},
        {"data": {"ca.crt": PEM}, "binaryData": {"x": "eA=="}},
    ],
)
def test_what_somebody_changed_is_put_right(fields):
    [update] = reconcile(namespace(), config_map(**fields), PEM)
    assert isinstance(update, Update)
    assert update.tree["data"] == {"ca.crt": PEM}
    assert "binaryData" not in update.tree
    assert update.tree["metadata"]["resourceVersion"] == "1"


def test_a_namespace_that_goes_is_left_alone():
    assert reconcile(namespace(deletionTimestamp="2025-01-01T00:00:00Z"), None, PEM) == []
