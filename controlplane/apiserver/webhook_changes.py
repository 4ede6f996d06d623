"""What a webhook made of an object, completed as if a client had sent it. Pure."""

from __future__ import annotations

from api import defaults, strict
from api.errors import Invalid
from api.object import Tree
from api.scheme import Kind
from controlplane.admission.request import Request
from controlplane.apiserver.kinds.base import KindRules
from controlplane.apiserver.objects import SERVER_OWNED

_KEPT = (*SERVER_OWNED, "uid", "managedFields")
"""Metadata that stays as the API made it."""


def finished(request: Request, tree: Tree, rules: KindRules) -> Tree:
    """Return the object with defaults, and without what only the API writes. Invalid for fields that its kind does not know."""
    tree = _checked(request.kind, request.tree, tree)
    before = request.tree["metadata"]
    metadata = {name: value for name, value in tree["metadata"].items() if name not in {*_KEPT, "resourceVersion"}}
    metadata |= {name: before[name] for name in (*_KEPT, "resourceVersion") if name in before}
    complete = defaults.default(request.kind, {**tree, "metadata": metadata})
    return rules.arriving(complete, request.old)


def status_only(request: Request, tree: Tree) -> Tree:
    """Return the object as it was but for its status. Invalid as `finished`."""
    status = _checked(request.kind, request.tree, tree).get("status", {})
    return {**request.tree, "status": defaults.default_status(request.kind, status)}


def _checked(kind: Kind, before: Tree, tree: Tree) -> Tree:
    tree = strict.prune(tree, kind)
    faults = strict.check(kind, tree)
    known = set(strict.check(kind, before)) if faults else set()
    new = [fault for fault in faults if fault not in known]
    if new:
        raise Invalid("what it leaves is wrong", new)
    return tree
