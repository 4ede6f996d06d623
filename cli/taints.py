"""What `tim taint` does to a node's taints. Pure: words and a tree in, a tree out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.object import Tree
from cli.mistakes import Misused

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class TaintChange:
    """One word of the command line: `effect` "" means every effect, for removals only."""

    key: str
    value: str
    effect: str
    removed: bool


def split(words: Sequence[str]) -> tuple[list[str], list[TaintChange]]:
    """Tell (kinds and names, taints) apart: a taint has a colon or a minus at its end. Misused for half a taint."""
    first = next((place for place, word in enumerate(words) if ":" in word or word.endswith("-")), len(words))
    return list(words[:first]), [_read(word) for word in words[first:]]


def _read(word: str) -> TaintChange:
    removed = word.endswith("-")
    text, colon, effect = word.removesuffix("-").partition(":")
    key, _, value = text.partition("=")
    if not key or (not colon and not removed):
        raise Misused(
            f"{word!r} is no taint: write KEY=VALUE:EFFECT or KEY:EFFECT to set one, KEY- or KEY:EFFECT- to remove it"
        )
    if (colon or not removed) and effect not in EFFECTS:
        raise Misused(f"{word!r}: the effect of a taint is one of {', '.join(EFFECTS)}")
    return TaintChange(key, value, effect, removed)


def check(changes: Sequence[TaintChange]) -> None:
    """Misused unless each taint is mentioned once and there is one."""
    if not changes:
        raise Misused("say which taints to set (KEY=VALUE:EFFECT) or to remove (KEY-)")
    seen: set[tuple[str, str]] = set()
    for change in changes:
        if (change.key, change.effect) in seen:
            raise Misused(f"taint {change.key}:{change.effect} is named twice")
        seen.add((change.key, change.effect))


def changed(node: Tree, changes: Sequence[TaintChange], *, overwrite: bool) -> Tree | None:
    """The node with its new taints, None when nothing changes.

    Misused for a taint that is there with another value without `overwrite`, and for the removal of one that is not there.
    """
    before = list(node.get("spec", {}).get("taints", []))
    taints = list(before)
    name = node["metadata"]["name"]
    for change in changes:
        same = [taint for taint in taints if taint["key"] == change.key and change.effect in {"", taint["effect"]}]
        shown = f"{change.key}:{change.effect}" if change.effect else change.key
        if change.removed:
            if not same:
                raise Misused(f"node {name} has no taint {shown}")
            taints = [taint for taint in taints if taint not in same]
        elif not same:
            taints.append(_taint(change))
        elif same[0].get("value", "") != change.value:
            if not overwrite:
                raise Misused(f"node {name} has taint {shown} with another value; --overwrite replaces it")
            taints[taints.index(same[0])] = _taint(change)
    return None if taints == before else {**node, "spec": {**node["spec"], "taints": taints}}


def _taint(change: TaintChange) -> Tree:
    return {"key": change.key, **({"value": change.value} if change.value else {}), "effect": change.effect}
