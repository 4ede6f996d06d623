"""The example manifests of Kubernetes' documentation are taken and read back equal, or refused by name."""

from __future__ import annotations

import base64
from decimal import Decimal

import pytest

from api import quantity, scheme
from api.errors import ApiError
from tests.clients.documentation import examples

EXAMPLES = list(examples())


def missing(sent, found, path=""):
    """What was sent and is not there with the same meaning."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            if key == "stringData":
                yield from missing({k: base64.b64encode(v.encode()).decode() for k, v in value.items()}, found["data"])
            elif value not in ({}, [], False) or key in found:
                yield from missing(value, found.get(key), f"{path}.{key}")
    elif isinstance(sent, list):
        if len(sent) > len(found or ()):
            yield f"{path}: {sent} is {found}"
        for place, value in enumerate(sent):
            yield from missing(value, found[place], f"{path}[{place}]")
    elif sent != found and not same_quantity(path, sent, found):
        yield f"{path}: {sent} is {found}"


def same_quantity(path, sent, found):
    """Whether both are the same amount, written otherwise: 0.5 and 500m."""
    if found is None or "resources" not in path:
        return False
    return Decimal(quantity.parse(str(sent))) == Decimal(quantity.parse(str(found)))


async def outcome(api, tree):
    """Why a manifest is refused, or "": it is there with all that was sent, and writing what was read changes nothing."""
    try:
        created = await api.create(tree)
    except ApiError as error:
        return str(error)
    metadata = created.tree()["metadata"]
    resource = scheme.by_kind(tree["apiVersion"], tree["kind"]).resource
    found = await api.get(resource, metadata.get("namespace", ""), metadata["name"])
    assert list(missing(tree, found.tree())) == []
    assert (await api.update(found.tree())).tree() == found.tree()
    return ""


@pytest.mark.slow
async def test_manifests_of_the_documentation_are_taken_as_they_are_or_refused_by_name(api):
    high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 10}
    await api.create(high)  # one of them names it
    told = {}
    for number, example in enumerate(EXAMPLES):
        space = f"example-{number}"  # of its own: some of them bound what the others may have
        await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        await api.create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": space}}
        )
        told[example.pages] = await outcome(api, within(example.tree, space))
    assert told == {example.pages: example.refused for example in EXAMPLES}


def within(tree, space):
    """A manifest in a namespace, if its kind has one."""
    known = {(kind.api_version, kind.kind): kind.namespaced for kind in scheme.KINDS}
    if not known.get((tree["apiVersion"], tree["kind"])):
        return tree
    return {**tree, "metadata": {**tree["metadata"], "namespace": space}}
