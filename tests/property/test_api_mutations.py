"""Valid objects of every kind, mutated anywhere and sent through the whole write path of a core.

Each refusal names a place that is there, or one that could be; what is accepted is stored as it was said; and what was
read changes nothing when it is put back or applied, by the client's way and the server's.
CI tries the same ones each time. Others, and more: `MUTATIONS=20000 FIRST_MUTATION=$RANDOM .venv/bin/python -m pytest
tests/property/test_api_mutations.py`.
"""

from __future__ import annotations

import copy
import os
import random
import re
from contextlib import suppress

import pytest

from api import scheme
from api.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from api.object import Tree
from controlplane.apiserver.incoming import read
from tests.api_server import running_core
from tests.fuzz.kept import changed_fields, changed_status
from tests.fuzz.trees import mutate, population
from tests.whole_objects import whole_objects, with_statuses

pytestmark = pytest.mark.slow

MUTATIONS = int(os.environ.get("MUTATIONS", "300"))
FIRST = int(os.environ.get("FIRST_MUTATION", "1"))
LAST_APPLIED = "/last-applied-configuration"
STEP = re.compile(r"\[([^\]]*(?:'\])?)\]|([^.\[\]]+)")
KEPT = {"Namespace", "Node", "CustomResourceDefinition"}  # one is needed, and nobody is there to empty the others
CRITICAL = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "system-cluster-critical"},
    "value": 2_000_000_000,
}


def content(tree: Tree) -> Tree:
    """An object without what only counts and notes changes."""
    annotations = {k: v for k, v in tree["metadata"].get("annotations", {}).items() if not k.endswith(LAST_APPLIED)}
    metadata = {k: v for k, v in tree["metadata"].items() if k not in {"resourceVersion", "managedFields"}}
    return {**tree, "metadata": {**metadata, "annotations": annotations}}


@pytest.fixture
async def api(tmp_path):
    """The verbs of a core that has what whole objects refer to."""
    async with running_core(tmp_path) as cluster:
        await cluster.local.create(CRITICAL)
        yield cluster.local


def missing_steps(tree: Tree, path: str) -> int:
    """How many steps of a path, counted from its end, lead to nothing in the tree."""
    steps = [index or name for index, name in STEP.findall(path)]
    rest = ".".join(steps)
    for number, step in enumerate(steps):
        if isinstance(tree, dict):
            longer = next((key for key in tree if "." in key and rest.startswith(key)), None)  # keys may have dots
            if step not in tree and longer is None:
                return len(steps) - number
            if step not in tree:
                return 0
            tree = tree[step]
        elif isinstance(tree, list) and step.isdigit() and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return len(steps) - number
        rest = rest[len(step) + 1 :]
    return 0


async def test_whole_objects_are_stored_as_said_and_change_nothing_when_they_come_back(api):
    for tree in whole_objects():
        made = await api.create(copy.deepcopy(tree))
        created = await api.get(made.resource, made.namespace, made.name)  # a quota has been counted meanwhile
        stored = created.tree()
        assert changed_fields(tree, stored) == [], tree["kind"]
        assert (await api.update(copy.deepcopy(stored))).revision == created.revision, tree["kind"]
        del stored["metadata"]["resourceVersion"]
        applied = (await api.apply(copy.deepcopy(stored)))[0]  # notes what was applied, and nothing else
        assert content(applied.tree()) == content(stored), tree["kind"]
        assert (await api.apply(copy.deepcopy(stored)))[0].revision == applied.revision, tree["kind"]


async def test_mutated_objects_are_refused_by_a_place_or_kept_whole(api):
    accepted, choices = 0, population()
    await api.create(next(each for each in choices if each["kind"] == "Node"))
    for seed in range(FIRST, FIRST + MUTATIONS):
        rng = random.Random(seed)
        tree = mutate(rng.choice(choices), rng)
        sent = copy.deepcopy(tree)
        try:
            stored = (await api.create(tree)).tree()
        except Invalid as refusal:
            check_refusal(sent, refusal, seed)
            continue
        except AlreadyExists:
            assert tree["kind"] in KEPT, f"mutation {seed}"
            continue
        except (Forbidden, NotFound, Conflict):
            continue  # other objects or rights are missing; what the object says is not the reason
        accepted += 1
        assert changed_fields(sent, stored) == [], f"mutation {seed}"
        metadata = stored["metadata"]
        place = (
            scheme.by_kind(stored["apiVersion"], stored["kind"]).resource,
            metadata.get("namespace", ""),
            metadata["name"],
        )
        read_again = await api.get(*place)
        put_back = await api.update(read_again.tree())
        assert put_back.revision == read_again.revision, f"mutation {seed} changes when put back"
        await remove(api, *place)
    assert accepted > MUTATIONS / 50


async def test_mutated_updates_are_refused_by_a_place_or_kept_whole(api):
    """The same of objects that are there; each update starts from the whole one."""
    accepted, choices = 0, whole_objects()
    for tree in choices:
        await api.create(copy.deepcopy(tree))
    for seed in range(FIRST, FIRST + MUTATIONS):
        rng = random.Random(seed)
        sent = mutate(rng.choice(choices), rng)
        try:
            stored = (await api.update(copy.deepcopy(sent))).tree()
        except Invalid as refusal:
            check_refusal(sent, refusal, seed)
            continue
        except (Forbidden, NotFound, Conflict):
            continue
        accepted += 1
        assert changed_fields(sent, stored) == [], f"mutation {seed}"
    assert accepted > MUTATIONS / 50


async def test_mutated_statuses_are_refused_by_a_place_or_kept_whole(api):
    for tree in whole_objects():
        await api.create(copy.deepcopy(tree))
    accepted = 0
    for seed in range(FIRST, FIRST + MUTATIONS // 2):
        rng = random.Random(seed)
        tree = rng.choice(with_statuses())
        sent = {**tree, "status": mutate({"status": tree["status"]}, rng).get("status")}
        try:
            stored = (await api.update_status(copy.deepcopy(sent))).tree()
        except Invalid as refusal:
            check_refusal(sent, refusal, seed)
            continue
        accepted += 1
        assert changed_status(sent, stored) == [], f"mutation {seed}"
    assert accepted > MUTATIONS / 50


async def remove(api, *place: str) -> None:
    """Delete it, and let it go."""
    tree = (await api.get(*place)).tree()
    if tree["metadata"].pop("finalizers", []):
        await api.update(tree)
    if place[0] == "pods":
        await api.delete(*place)  # as the object says; one that is bound stays
    with suppress(NotFound):
        await api.delete(*place, grace_seconds=0)


def check_refusal(sent: Tree, refusal: Invalid, seed: int) -> None:
    """Every fault has a path of which at most the last two steps are not there, and is one line."""
    assert refusal.fields or "kind" in str(refusal) or "apiVersion" in str(refusal), f"mutation {seed}: {refusal}"
    try:
        known = read(copy.deepcopy(sent)).tree
    except (Invalid, NotFound):
        known = sent
    for fault in refusal.fields:
        assert fault.path, f"mutation {seed}: {refusal}"
        stored = (
            fault.path.startswith("status.") and "status" not in known
        )  # what must agree with the status that is kept
        missing = min(missing_steps(tree, fault.path) for tree in (sent, known))  # some defaults take a field away
        assert stored or missing <= 2, f"mutation {seed}: {fault.path} of {refusal}"
        assert "\n" not in str(fault), f"mutation {seed}"
        assert fault.message, f"mutation {seed}"
