"""`tim get`: list objects, or show some by name; `-w` goes on with what changes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from api.errors import Expired, NotFound
from api.object import Object
from api.scheme import Kind
from cli import output
from cli.connect import call, system_time
from cli.targets import Target, parse, read_manifests, target_of
from component.rpc_client import RpcClient


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line asked for."""

    words: tuple[str, ...]
    files: tuple[str, ...]
    namespace: str
    all_namespaces: bool
    selector: str
    field_selector: str
    output: output.Format
    watch: bool
    ignore_not_found: bool
    show_labels: bool
    label_columns: tuple[str, ...]
    no_headers: bool


@click.command()
@click.argument("words", nargs=-1, metavar="KIND[,KIND...] [NAME...] | KIND/NAME...")
@click.option("-f", "--filename", "files", multiple=True, help="The objects of these manifests.")
@click.option("-n", "--namespace", default="", help="Namespace (default: the context's).")
@click.option("-A", "--all-namespaces", is_flag=True)
@click.option("-l", "--selector", default="", help="Labels: app=web,tier in (a,b),!old")
@click.option("--field-selector", default="", help="Fields: status.phase=Running")
@click.option("-o", "--output", type=click.Choice(output.FORMATS), default="table", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Go on and print what changes.")
@click.option("--ignore-not-found", is_flag=True, help="No error when an object does not exist.")
@click.option("--show-labels", is_flag=True)
@click.option("-L", "--label-columns", multiple=True, help="A column for this label.")
@click.option("--no-headers", is_flag=True)
def get(**options: object) -> None:
    """List objects, or show some by name."""
    question = Question(**options)  # type: ignore[arg-type] # click gives each option its type

    async def work(client: RpcClient, namespace: str) -> None:
        await _Answer(client, question, question.namespace or namespace).give()

    call(work)


class _Answer:
    def __init__(self, client: RpcClient, question: Question, namespace: str) -> None:
        self._client = client
        self._question = question
        self._namespace = "" if question.all_namespaces else namespace

    async def give(self) -> None:
        question = self._question
        targets = (
            [target_of(tree) for tree in read_manifests(question.files)] if question.files else parse(question.words)
        )
        groups: dict[str, list[Object]] = {}
        revisions: dict[str, int] = {}
        for target in targets:
            found, revision = await self._fetch(target)
            groups.setdefault(target.kind.resource, []).extend(found)
            revisions[target.kind.resource] = revision
        named = bool(targets[0].name)
        if question.output in {"table", "wide"}:
            self._print_tables(groups, [target.kind for target in targets], named=named)
        elif any(groups.values()) or not (question.ignore_not_found and named):
            objects = [each for group in groups.values() for each in group]
            text = output.document(objects, question.output, single=named)
            click.echo(text, nl=bool(text))
        if question.watch:
            await self._watch(targets, revisions)

    async def _fetch(self, target: Target) -> tuple[list[Object], int]:
        question, namespace = self._question, self._namespace if target.kind.namespaced else ""
        if target.name and not question.watch:
            try:
                found = await self._client.get(target.kind.resource, namespace, target.name)
            except NotFound:
                if question.ignore_not_found:
                    return [], 0
                raise
            return [found], found.revision
        fields = question.field_selector
        if target.name:
            fields = ",".join(filter(None, (fields, f"metadata.name={target.name}")))
        listed = await self._client.list(
            target.kind.resource, namespace, label_selector=question.selector, field_selector=fields
        )
        return list(listed.items), listed.revision

    def _print_tables(self, groups: dict[str, list[Object]], kinds: Sequence[Kind], *, named: bool) -> None:
        shown = [(resource, objects) for resource, objects in groups.items() if objects]
        if not shown and not self._question.watch:
            if named:
                return
            where = f" in {self._namespace} namespace" if self._namespace and kinds[0].namespaced else ""
            click.echo(f"No resources found{where}.", err=True)
        for index, (resource, objects) in enumerate(shown):
            if index:
                click.echo()
            click.echo(output.align(self._rows(resource, objects, mixed=len(groups) > 1)))

    def _rows(self, resource: str, objects: Sequence[Object], *, mixed: bool) -> list[list[str]]:
        question = self._question
        prefix = output.object_name(objects[0]).partition("/")[0] + "/" if mixed and objects else ""
        table = output.rows(
            resource,
            [each.tree() for each in objects],
            system_time(),
            wide=question.output == "wide",
            with_namespace=question.all_namespaces and bool(objects and objects[0].namespace),
            with_labels=question.show_labels,
            label_columns=question.label_columns,
            prefix=prefix,
        )
        return table[1:] if question.no_headers and len(table) > 1 else table

    async def _watch(self, targets: Sequence[Target], revisions: dict[str, int]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for target in targets:
                tasks.create_task(self._follow(target, revisions[target.kind.resource], mixed=len(targets) > 1))

    async def _follow(self, target: Target, revision: int, *, mixed: bool) -> None:
        question, namespace = self._question, self._namespace if target.kind.namespaced else ""
        fields = ",".join(filter(None, (question.field_selector, target.name and f"metadata.name={target.name}")))
        widths: list[int] = []
        while True:
            try:
                async for events in self._client.watch(
                    target.kind.resource,
                    namespace,
                    revision=revision,
                    label_selector=question.selector,
                    field_selector=fields,
                ):
                    changed = [event.object for event in events if event.object is not None]
                    if changed:
                        widths = self._print_changes(target.kind, changed, widths, mixed=mixed)
            except Expired:
                revision = (await self._client.list(target.kind.resource, namespace, limit=1)).revision

    def _print_changes(self, kind: Kind, changed: Sequence[Object], widths: list[int], *, mixed: bool) -> list[int]:
        if self._question.output in {"table", "wide"}:
            table = self._rows(kind.resource, changed, mixed=mixed)
            widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
            click.echo("\n".join(output.align(table, widths).splitlines()[0 if self._question.no_headers else 1 :]))
        else:
            for each in changed:
                click.echo(output.document([each], self._question.output, single=True))
        sys.stdout.flush()
        return widths
