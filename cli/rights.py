"""Questions about rights out of words, and their answers as text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.errors import NotFound
from api.object import Tree
from cli.mistakes import Misused
from cli.output import align, as_json, as_yaml
from cli.targets import lookup


def is_path(resource: str) -> bool:
    """Whether a word names a path of the HTTPS API and no kind."""
    return resource.startswith("/")


def question(verb: str, resource: str, name: str, subresource: str, namespace: str) -> Tree:
    """The SelfSubjectAccessReview that asks whether I may. NotFound for a kind that does not exist; Misused."""
    if is_path(resource):
        return _review({"nonResourceAttributes": {"verb": verb, "path": resource}})
    word, slash, behind = resource.partition("/")
    if slash and name:
        raise Misused("give the name once: KIND/NAME or KIND NAME")
    group, plural, namespaced = _kind(word)
    name = behind or name
    if plural == "namespaces" and not group:  # what is done to a Namespace happens in it
        namespace, namespaced = name, True
    attributes = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "name": name,
        "namespace": namespace if namespaced else "",
    }
    return _review({"resourceAttributes": {key: value for key, value in attributes.items() if value}})


def _kind(word: str) -> tuple[str, str, bool]:
    """Group, plural and whether it lives in namespaces; `*` and what only rules name (users, groups) as they are."""
    if word in {"*", "users", "groups"}:
        return "*" if word == "*" else "", word, word == "*"
    try:
        kind = lookup(word)
    except NotFound:
        plural, dot, group = word.partition(".")
        if not dot:
            raise
        return group, plural, True
    return kind.group, kind.plural, kind.namespaced


def rows(status: Tree) -> list[list[str]]:
    """A SelfSubjectRulesReview's answer as a table, as kubectl prints it."""
    table = [["RESOURCES", "NON-RESOURCE URLS", "RESOURCE NAMES", "VERBS"]]
    found = []
    for rule in status.get("resourceRules", []):
        for resource in rule.get("resources", []):
            for group in rule.get("apiGroups", []):
                named = f"{resource}.{group}" if group and resource != "*" else "*.*" if group == resource else resource
                found.append([named, "[]", _words(rule.get("resourceNames")), _words(rule["verbs"])])
    for rule in status.get("nonResourceRules", []):
        found += [["", f"[{path}]", "[]", _words(rule["verbs"])] for path in rule.get("nonResourceURLs", [])]
    return table + sorted(found, key=lambda row: (not row[0], row))


def who(review: Tree, output: str) -> str:
    """A SelfSubjectReview's answer as a table, or whole."""
    if output == "yaml":
        return as_yaml(review)
    if output == "json":
        return as_json(review)
    user: Tree = review["status"]["userInfo"]
    table = [["ATTRIBUTE", "VALUE"], ["Username", str(user["username"])], ["Groups", _words(user.get("groups"))]]
    return align(table)


def _words(values: Sequence[Any] | None) -> str:
    return f"[{' '.join(map(str, values or ()))}]"


def _review(spec: Tree) -> Tree:
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {}, "spec": spec}
