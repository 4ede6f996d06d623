"""Linearizability of small histories by trying every order (Wing and Gong 1993), to check the checker by revision.

It knows the same rules from the other side: a model that is asked one request after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.checks.record import Asked

Model = tuple[int, tuple[tuple[str, int, str], ...]]  # revision, then name, revision and token of every object


def linearizable(asked: Sequence[Asked], start: Model = (0, ())) -> bool:
    """Whether some order that respects real time explains every answer. Exponential: a dozen requests at most."""
    tried: set[tuple[frozenset[int], Model]] = set()

    def search(left: frozenset[int], model: Model) -> bool:
        if all(asked[number].outcome in {"unknown", "open"} for number in left):
            return True
        if (left, model) in tried:
            return False
        tried.add((left, model))
        first_return = min(asked[number].return_time for number in left)
        for number in sorted(left):
            if asked[number].invoke_time > first_return:
                continue
            after = _ask(asked[number], model)
            if after is not None and search(left - {number}, after):
                return True
        return False

    done = frozenset(n for n, each in enumerate(asked) if each.outcome != "unavailable")
    return search(done, start)


def _ask(each: Asked, model: Model) -> Model | None:  # noqa: PLR0911 - one return for each kind of answer
    """The model after the request, None when its answer does not fit here."""
    revision, objects = model
    found = {name: (its_revision, token) for name, its_revision, token in objects}
    stored = found.get(each.name)
    match each.verb:
        case "get":
            if each.outcome == "refused":
                return model if stored is None else None
            return model if stored == (each.revision, each.seen) else None
        case "list":
            return model if (revision, found) == (each.revision, each.seen) else None
    does = (each.verb == "apply" or (stored is None) == (each.verb == "create")) and not (
        each.precondition and (stored is None or stored[0] != each.precondition)
    )
    if each.outcome == "refused":
        return model if not does or each.reason not in {"AlreadyExists", "NotFound", "Conflict"} else None
    if not does:
        return model if each.outcome in {"unknown", "open"} else None
    if each.outcome == "ok" and each.revision != revision + 1:
        return None
    if each.verb == "delete":
        del found[each.name]
    else:
        found[each.name] = (revision + 1, each.token)
    return revision + 1, tuple(sorted((name, *what) for name, what in found.items()))
