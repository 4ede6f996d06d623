"""Objects for fuzzing: valid ones of every kind, and mutations of them anywhere in the tree."""

from __future__ import annotations

import copy
import random

import yaml

from tests.api_server import config_map, node, pod
from tests.e2e.cluster import EXAMPLES
from tests.whole_objects import whole_objects

VALUES = (
    None,
    "",
    "x",
    "é\x00",
    0,
    -1,
    1.5,
    2**31,
    2**62,
    10**30,
    True,
    [],
    {},
    [None],
    {"a": None},
    [[]],
    "9" * 400,
    "100m",
    "1e999",
    ["a", 1],
)


def examples() -> list[dict]:
    """Valid objects of every kind the examples use."""
    found = [node("n2"), pod("p2"), config_map("c2", {"k": "v"})]
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        found += [each for each in yaml.safe_load_all(path.read_text()) if each]
    return found


def population() -> list[dict]:
    """One whole object of every kind, and a pod that is bound: such ones are not deleted at once."""
    found = whole_objects()
    bound = next(each for each in whole_objects() if each["kind"] == "Pod")
    bound["metadata"]["name"] = "bound"
    bound["spec"]["nodeName"] = "machine"
    return [*found, bound]


def places(tree, path=()) -> list[tuple]:
    """Paths to everything in a tree."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def holder_of(tree, place: tuple):
    """What holds the last step of a path."""
    for key in place[:-1]:
        tree = tree[key]
    return tree


def mutate(tree: dict, rng: random.Random) -> dict:
    """One to three values replaced, removed, doubled or renamed, anywhere but at the top."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 3))):
        inner = [place for place in places(tree) if place]
        if not inner:
            break
        place = rng.choice(inner)
        holder, last = holder_of(tree, place), place[-1]
        match rng.randrange(5):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, dict):
                holder[rng.choice((f"{last}x", "", "kind", "metadata"))] = holder[last]
            case 2 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
            case _:
                holder[last] = copy.deepcopy(rng.choice(VALUES))
    return tree
