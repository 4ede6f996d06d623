"""Roles and bindings from a few options, as `tim create` makes them. Pure: words in, trees out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.errors import NotFound
from api.object import Tree
from api.scheme import RBAC
from cli.mistakes import Misused
from cli.targets import lookup

_API_VERSION = f"{RBAC}/v1"


def role(name: str, verbs: Sequence[str], resources: Sequence[str], names: Sequence[str]) -> Tree:
    """A Role. Misused unless there are verbs and resources; NotFound for a kind that does not exist."""
    return {**_object("Role", name), "rules": _resource_rules(verbs, resources, names)}


def cluster_role(
    name: str,
    verbs: Sequence[str],
    resources: Sequence[str],
    names: Sequence[str],
    urls: Sequence[str],
    labels: Sequence[str],
) -> Tree:
    """A ClusterRole of rules, or one that gathers those with the `labels`. Misused, NotFound."""
    tree = _object("ClusterRole", name)
    if labels:
        if verbs or resources or names or urls:
            raise Misused("--aggregation-rule gathers other roles' rules: give none of its own")
        return {**tree, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": dict(map(_label, labels))}]}}
    rules = _resource_rules(verbs, resources, names) if resources or names or not urls else []
    if urls:
        if not verbs:
            raise Misused("--verb is missing: what may be done to the paths?")
        rules.append({"nonResourceURLs": _words(urls), "verbs": _words(verbs)})
    return {**tree, "rules": rules}


def role_binding(
    name: str, own: str, cluster: str, users: Sequence[str], groups: Sequence[str], accounts: Sequence[str]
) -> Tree:
    """A RoleBinding. Misused unless exactly one role is named."""
    if bool(own) == bool(cluster):
        raise Misused("name one role to give: --role of this namespace, or --clusterrole")
    return _binding("RoleBinding", name, "Role" if own else "ClusterRole", own or cluster, users, groups, accounts)


def cluster_role_binding(
    name: str, cluster: str, users: Sequence[str], groups: Sequence[str], accounts: Sequence[str]
) -> Tree:
    """A ClusterRoleBinding."""
    return _binding("ClusterRoleBinding", name, "ClusterRole", cluster, users, groups, accounts)


def subjects_of(users: Iterable[str], groups: Iterable[str], accounts: Iterable[str]) -> list[Tree]:
    """Who gets a role, as a binding names them. Misused."""
    subjects: list[Tree] = [{"apiGroup": RBAC, "kind": "User", "name": user} for user in users]
    subjects += [{"apiGroup": RBAC, "kind": "Group", "name": group} for group in groups]
    return [*subjects, *map(_account, accounts)]


def _binding(
    kind: str,
    name: str,
    role_kind: str,
    role_name: str,
    users: Iterable[str],
    groups: Iterable[str],
    accounts: Iterable[str],
) -> Tree:
    subjects = subjects_of(users, groups, accounts)
    reference = {"apiGroup": RBAC, "kind": role_kind, "name": role_name}
    return {**_object(kind, name), "roleRef": reference, **({"subjects": subjects} if subjects else {})}


def _resource_rules(verbs: Sequence[str], resources: Sequence[str], names: Sequence[str]) -> list[Tree]:
    """One rule for each API group, in the order in which the groups come."""
    if not _words(verbs):
        raise Misused("--verb is missing: what may be done?")
    if not _words(resources):
        raise Misused("--resource is missing: to what may it be done?")
    by_group: dict[str, list[str]] = {}
    for word in _words(resources):
        group, resource = _resource(word)
        by_group.setdefault(group, []).append(resource)
    named = {"resourceNames": _words(names)} if names else {}
    return [
        {"apiGroups": [group], "resources": each, **named, "verbs": _words(verbs)} for group, each in by_group.items()
    ]


def _resource(word: str) -> tuple[str, str]:
    """Group and resource, with its subresource, of a word; `*` is everything of every group."""
    plural, slash, subresource = word.partition("/")
    if plural == "*":
        return "*", word
    try:
        kind = lookup(plural)
    except NotFound:
        plural, dot, group = plural.partition(".")
        if not dot:
            raise
        return group, plural + slash + subresource
    return kind.group, kind.plural + slash + subresource


def _account(word: str) -> Tree:
    namespace, colon, name = word.partition(":")
    if not (colon and namespace and name):
        raise Misused(f"--serviceaccount {word!r}: write it as NAMESPACE:NAME")
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _label(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise Misused(f"--aggregation-rule {word!r}: write it as LABEL=VALUE")
    return key, value


def _words(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(word for value in values for word in value.split(",") if word))


def _object(kind: str, name: str) -> Tree:
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": {"name": name}}
