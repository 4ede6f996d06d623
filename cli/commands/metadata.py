"""`tim label` and `tim annotate`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from api.errors import Conflict, Invalid
from api.object import Tree
from cli.connect import call
from cli.edit import edit
from cli.output import object_name
from cli.targets import Target, parse
from component.rpc_client import RpcClient


def _options(command: click.Command) -> click.Command:
    for option in (
        click.Argument(["words"], nargs=-1, required=True, metavar="KIND NAME... KEY=VALUE... KEY-..."),
        click.Option(["-n", "--namespace"], default=""),
        click.Option(["-l", "--selector"], default="", help="All objects of the kind with these labels."),
        click.Option(["--all", "everything"], is_flag=True, help="All objects of the kind in the namespace."),
        click.Option(["--overwrite"], is_flag=True, help="Change values that are there."),
    ):
        command.params.append(option)
    return command


@_options
@click.command()
def label(words: tuple[str, ...], namespace: str, selector: str, everything: bool, overwrite: bool) -> None:
    """Set labels (KEY=VALUE) or remove them (KEY-)."""
    _write("labels", "labeled", words, namespace, selector, everything=everything, overwrite=overwrite)


@_options
@click.command()
def annotate(words: tuple[str, ...], namespace: str, selector: str, everything: bool, overwrite: bool) -> None:
    """Set annotations (KEY=VALUE) or remove them (KEY-)."""
    _write("annotations", "annotated", words, namespace, selector, everything=everything, overwrite=overwrite)


def split(words: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Tell (objects, values to set, keys to remove) apart; changes come after the objects."""
    objects: list[str] = []
    settings: dict[str, str] = {}
    removals: list[str] = []
    for word in words:
        key, separator, value = word.partition("=")
        if separator and key:
            settings[key] = value
        elif word.endswith("-") and objects:
            removals.append(word[:-1])
        elif settings or removals:
            raise Invalid(f"{word!r} is neither KEY=VALUE nor KEY-")
        else:
            objects.append(word)
    if not settings and not removals:
        raise Invalid("say what to set (KEY=VALUE) or to remove (KEY-)")
    return objects, settings, removals


def _write(
    field: str,
    done: str,
    words: Sequence[str],
    namespace: str,
    selector: str,
    *,
    everything: bool,
    overwrite: bool,
) -> None:
    async def work(client: RpcClient, default: str) -> None:
        objects, settings, removals = split(words)

        def change(tree: Tree) -> Tree | None:
            values: dict[str, str] = dict(tree["metadata"].get(field, {}))
            taken = [key for key, value in settings.items() if values.get(key, value) != value]
            if taken and not overwrite:
                raise Conflict(f"{tree['metadata']['name']} has {taken[0]}={values[taken[0]]}: --overwrite changes it")
            values |= settings
            for key in removals:
                values.pop(key, None)
            if values == tree["metadata"].get(field, {}):
                return None
            return {**tree, "metadata": {**tree["metadata"], field: values}}

        where = namespace or default
        for target in await _targets(client, objects, where, selector, everything=everything):
            stored, changed = await edit(client, target, where, change)
            click.echo(f"{object_name(stored)} {done if changed else 'unchanged'}")

    call(work)


async def _targets(
    client: RpcClient, objects: Sequence[str], namespace: str, selector: str, *, everything: bool
) -> list[Target]:
    targets: list[Target] = []
    for target in parse(objects):
        if target.name:
            targets.append(target)
        elif selector or everything:
            where = namespace if target.kind.namespaced else ""
            listed = await client.list(target.kind.resource, where, label_selector=selector)
            targets.extend(Target(target.kind, each.name) for each in listed.items)
        else:
            raise Invalid(f"name the {target.kind.plural}, or choose with -l or --all")
    return targets
