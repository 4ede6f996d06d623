"""What `tim apply --prune` deletes: objects that labels choose, that were applied once, and that stand in no manifest now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from api import scheme
from api.errors import ApiError, NotFound
from api.object import Object
from api.scheme import Kind
from api.wellknown import LAST_APPLIED_ANNOTATION
from cli.kinds import find
from cli.output import object_name
from component.client import ApiClient

PRUNED: Final = ("configmaps", "pods", "secrets", "services", "deployments.apps", "replicasets.apps")
"""Kinds that are looked through unless others are named: kubectl's, as far as they exist, without Namespaces."""


def kinds_of(allowed: Sequence[str]) -> list[Kind]:
    """The kinds that GROUP/VERSION/KIND name, `core/v1/ConfigMap`; without any `PRUNED`. UsageError."""
    if not allowed:
        return [scheme.by_resource(resource) for resource in PRUNED]
    return [_kind(text) for text in allowed]


def _kind(text: str) -> Kind:
    group, _, rest = text.partition("/")
    version, _, kind = rest.partition("/")
    if not (group and version and kind) or "/" in kind:
        raise click.UsageError(f"--prune-allowlist {text}: write it as GROUP/VERSION/KIND, core/v1/ConfigMap")
    try:
        return find(lambda known: known.by_kind(version if group == "core" else f"{group}/{version}", kind))
    except NotFound as error:
        raise click.UsageError(f"--prune-allowlist {text}: {error}") from error


async def prune(
    client: ApiClient, kinds: Sequence[Kind], applied: Sequence[Object], selector: str, *, dry_run: bool
) -> list[ApiError]:
    """Delete what is left over in the namespaces of what was applied, and tell; returns what was refused."""
    kept = {each.uid for each in applied}
    namespaces = sorted({each.namespace for each in applied if each.namespace})
    problems: list[ApiError] = []
    for kind in kinds:
        for namespace in namespaces if kind.namespaced else [""]:
            listed = await client.list(kind.resource, namespace, label_selector=selector)
            for each in listed.items:
                if each.uid not in kept and _left_over(each):
                    try:
                        await client.delete(each.resource, each.namespace, each.name, uid=each.uid, dry_run=dry_run)
                        click.echo(f"{object_name(each)} pruned" + (" (dry run)" if dry_run else ""))
                    except ApiError as error:
                        problems.append(error)
    return problems


def _left_over(each: Object) -> bool:
    """Whether somebody applied it, nobody is deleting it, and no other object made it."""
    metadata = each.tree()["metadata"]
    going = "deletionTimestamp" in metadata or metadata.get("ownerReferences")
    return LAST_APPLIED_ANNOTATION in metadata.get("annotations", {}) and not going
