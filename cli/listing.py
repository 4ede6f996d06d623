"""What `tim get` does: fetch, print, and go on with what changes. Errors of one object do not hide the others."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from api.errors import ApiError, Expired, NotFound
from api.object import Object
from api.scheme import Kind
from cli import colour, output, past
from cli.connect import fail_after, system_time
from cli.mistakes import Misused
from cli.past import Moment
from cli.targets import Target, namespace_of, parse, read_manifests, targets_of

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.path_steps import Path
    from component.rpc_client import RpcClient

CUSTOM = "custom-columns="


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line asked for."""

    words: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    recursive: bool = False
    namespace: str = ""
    all_namespaces: bool = False
    selector: str = ""
    field_selector: str = ""
    output: str = "table"
    watch: bool = False
    watch_only: bool = False
    ignore_not_found: bool = False
    show_labels: bool = False
    show_kind: bool = False
    label_columns: tuple[str, ...] = ()
    sort_by: str = ""
    no_headers: bool = False
    show_managed_fields: bool = False
    at: str = ""
    ago: float | None = None
    stale: float | None = None

    @property
    def following(self) -> bool:
        """Whether to go on with what changes."""
        return self.watch or self.watch_only

    @property
    def tabular(self) -> bool:
        """Whether tables are printed."""
        return self.output in {"table", "wide"} or self.output.startswith(CUSTOM)

    def check(self) -> None:
        """Misused for what does not go together."""
        if self.following and (self.at or self.ago is not None):
            raise Misused("the past does not change: leave out --watch, or --at and --ago")
        if self.stale is not None and (self.following or self.at or self.ago is not None):
            raise Misused("--stale is about what is now: leave it out, or --watch, --at and --ago")
        if self.sort_by:
            _sort_path(self.sort_by)
        if self.files and (self.words or self.selector):
            raise Misused("-f already says which objects are meant: leave out kinds, names and -l")
        if not self.files and any(target.name for target in parse(self.words)):
            if self.selector:
                raise Misused("give names, or choose with -l, not both")
            if self.all_namespaces:
                raise Misused("an object cannot be shown by name across all namespaces: use -n")


@dataclass(frozen=True, slots=True)
class Place:
    """One thing to look at: a kind or an object, and where."""

    target: Target
    namespace: str


class Listing:
    """One run of `tim get`."""

    def __init__(self, client: RpcClient, question: Question, namespace: str) -> None:
        """`namespace` counts where the question names none."""
        self._client = client
        self._moment: Moment | None = None
        self._question = question
        self._default = namespace
        self._widths: dict[str, list[int]] = {}
        self._paint = colour.paint if colour.wanted(terminal=sys.stdout.isatty(), environ=os.environ) else None
        self._mixed = False

    async def give(self) -> None:
        """Print the answer, then changes when those are wanted; exits 1 after naming what was not found."""
        question = self._question
        self._moment = await past.moment(self._client, question.at, question.ago)
        places, problems = self._places()
        fail_after(problems if not places else ())
        self._mixed = question.show_kind or len({place.target.kind.resource for place in places}) > 1
        groups: dict[str, list[Object]] = {}
        revisions: list[int] = []
        for place in places:
            found, revision = await self._fetch(place, problems)
            groups.setdefault(place.target.kind.resource, []).extend(found)
            revisions.append(revision)
        if not question.watch_only and question.following and not question.tabular:
            for place in places:  # one by one, as what changes: a list would be another form of document
                self._print_changes(place.target.kind, groups.pop(place.target.kind.resource, ()))
        elif not question.watch_only:
            self._print(groups, places, silent=bool(problems))
        fail_after(problems)
        if question.following:
            async with asyncio.TaskGroup() as tasks:
                for place, revision in zip(places, revisions, strict=True):
                    tasks.create_task(self._follow(place, revision))

    def _places(self) -> tuple[list[Place], list[ApiError]]:
        question = self._question
        if question.files:
            found, problems = targets_of(read_manifests(question.files, recursive=question.recursive))
            places = [
                Place(target, namespace_of(tree, target.kind, question.namespace, self._default))
                for target, tree in found
            ]
            return places, problems
        namespace = "" if question.all_namespaces else question.namespace or self._default
        return [Place(target, namespace if target.kind.namespaced else "") for target in parse(question.words)], []

    async def _fetch(self, place: Place, problems: list[ApiError]) -> tuple[list[Object], int]:
        resource, name = place.target.kind.resource, place.target.name
        if name and not self._question.following:
            try:
                found = await self._client.get(
                    resource, place.namespace, name, at_revision=self._revision, stale_seconds=self._question.stale
                )
            except NotFound as error:
                if not self._question.ignore_not_found:
                    problems.append(error)
                return [], 0
            return [found], found.revision
        listed = await self._client.list(
            resource,
            place.namespace,
            label_selector=self._question.selector,
            field_selector=self._fields(place),
            at_revision=self._revision,
            stale_seconds=self._question.stale,
        )
        if name and not listed.items and not self._question.ignore_not_found:
            problems.append(NotFound(f'{resource} "{name}" not found'))
        return list(listed.items), listed.revision

    @property
    def _revision(self) -> int | None:
        """What to show everything at, None for now."""
        return self._moment.revision if self._moment else None

    def _fields(self, place: Place) -> str:
        chosen = self._question.field_selector
        return ",".join(filter(None, (chosen, place.target.name and f"metadata.name={place.target.name}")))

    def _print(self, groups: dict[str, list[Object]], places: Sequence[Place], *, silent: bool) -> None:
        if self._question.sort_by:
            groups = {resource: _in_order(group, self._question.sort_by) for resource, group in groups.items()}
        objects = [each for group in groups.values() for each in group]
        named = bool(places[0].target.name)
        if self._question.tabular:
            if not objects and not named and not self._question.following:
                namespace = places[0].namespace
                click.echo(
                    f"No resources found in {namespace} namespace." if namespace else "No resources found", err=True
                )
            shown = [(resource, group) for resource, group in groups.items() if group]
            for index, (resource, group) in enumerate(shown):
                if index:
                    click.echo()
                self._print_rows(resource, group)
        elif objects or not (silent or (named and self._question.ignore_not_found)):
            text = output.document(
                objects,
                self._question.output,
                single=named and len(places) == 1,
                managed_fields=self._question.show_managed_fields,
            )
            click.echo(text, nl=bool(text) and not self._question.output.startswith("jsonpath="))

    def _print_rows(self, resource: str, objects: Sequence[Object]) -> None:
        """A table, under its heading the first time."""
        question = self._question
        table = output.rows(
            resource,
            [each.tree() for each in objects],
            self._moment.time_seconds if self._moment else system_time(),
            wide=question.output == "wide",
            with_namespace=question.all_namespaces and bool(objects[0].namespace),
            with_labels=question.show_labels,
            label_columns=question.label_columns,
            prefix=output.object_name(objects[0]).partition("/")[0] + "/" if self._mixed else "",
            custom=question.output.removeprefix(CUSTOM) if question.output.startswith(CUSTOM) else "",
        )
        known = self._widths.get(resource)
        headed = not (question.no_headers or known)
        self._widths[resource] = output.column_widths(table if headed else table[1:], known or ())
        click.echo(output.align(table, self._widths[resource], self._paint, headed=headed))

    async def _follow(self, place: Place, revision: int) -> None:
        resource = place.target.kind.resource
        while True:
            try:
                async for events in self._client.watch(
                    resource,
                    place.namespace,
                    revision=revision,
                    label_selector=self._question.selector,
                    field_selector=self._fields(place),
                ):
                    self._print_changes(place.target.kind, [each.object for each in events if each.object is not None])
            except Expired:
                revision = (await self._client.list(resource, place.namespace, limit=1)).revision

    def _print_changes(self, kind: Kind, changed: Sequence[Object]) -> None:
        if not changed:
            return
        if self._question.tabular:
            self._print_rows(kind.resource, changed)
            return
        for each in changed:
            text = output.document(
                [each], self._question.output, single=True, managed_fields=self._question.show_managed_fields
            )
            before = "---\n" if self._question.output == "yaml" else ""
            click.echo(before + text, nl=not self._question.output.startswith("jsonpath="))


def _sort_path(text: str) -> Path:
    from api import jsonpath  # noqa: PLC0415 - most starts sort nothing

    try:
        return jsonpath.path(text)
    except ValueError as error:
        raise Misused(f"--sort-by: {error}") from error


def _in_order(objects: Sequence[Object], text: str) -> list[Object]:
    from cli.shaping import in_order  # noqa: PLC0415 - most starts sort nothing

    trees, path = [each.tree() for each in objects], _sort_path(text)
    if trees and not any(path.values(each, each) for each in trees):
        raise NotFound(f"--sort-by: none of the objects has {text}")
    return [objects[place] for place in in_order(trees, path)]
