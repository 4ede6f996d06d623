"""`tim edit`: objects in the editor of whoever calls it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.errors import ApiError, Invalid
from api.object import Object, Tree
from cli import editing, options
from cli.connect import call
from cli.edit import chosen, edit
from cli.output import as_json, as_yaml, object_name, told
from cli.targets import Target, namespace_of, read_manifests, targets_of
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

EDITORS = ("KUBE_EDITOR", "VISUAL", "EDITOR")
DEFAULT_EDITOR = "vi"


@dataclass(frozen=True, slots=True)
class Session:
    """One object and how it is shown."""

    target: Target
    namespace: str
    stored: Object
    original: Tree
    output: str
    path: Path

    def text(self) -> str:
        """The object as it was."""
        return as_json(self.original) if self.output == "json" else as_yaml(self.original)


@click.command(
    "edit",
    cls=Verb,
    examples=(
        "tim edit deploy/web",
        "EDITOR='code --wait' tim edit svc/web -o json",
    ),
)
@click.argument("words", nargs=-1, metavar="KIND/NAME... | KIND NAME... | KIND -l SELECTOR")
@options.files("The objects of these manifests: file, folder or - for standard input.")
@options.namespace()
@options.selector()
@click.option("--show-managed-fields", is_flag=True, help="Also who owns which fields.")
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="How it is shown."
)
def edit_command(
    words: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    selector: str,
    show_managed_fields: bool,
    output: str,
) -> None:
    """Change objects in an editor ($KUBE_EDITOR, $VISUAL, $EDITOR or vi), one after the other.

    What the cluster refuses is shown again, with the reasons. What others change meanwhile is kept.
    """
    if bool(words) == bool(files):
        raise click.UsageError("name the objects, or give manifests that name them with -f")

    async def find(client: RpcClient, default: str) -> list[tuple[Target, str, Object]]:
        where = namespace or default
        if files:
            found, problems = targets_of(read_manifests(files, recursive=recursive))
            if problems:
                raise problems[0]
            places = [(target, namespace_of(tree, target.kind, namespace, default)) for target, tree in found]
        else:
            targets = await chosen(client, words, where, selector=selector, everything=False)
            places = [(target, where if target.kind.namespaced else "") for target in targets]
        return [(target, where, await client.get(target.kind.resource, where, target.name)) for target, where in places]

    for target, where, stored in call(find):
        original = stored.tree()
        if not show_managed_fields:
            original["metadata"].pop("managedFields", None)
        descriptor, name = tempfile.mkstemp(prefix=f"tim-edit-{stored.name[:32]}-", suffix=f".{output}")
        os.close(descriptor)
        _edited(Session(target, where, stored, original, output, Path(name)))


def _edited(session: Session) -> None:
    """Let the user edit until it is accepted or given up."""
    before, kept = session.text(), False
    problems: list[str] = []
    try:
        while True:
            session.path.write_text(editing.shown(before, problems))
            _run_editor(session.path)
            after = editing.body(session.path.read_text(errors="replace"))
            if not after.strip() or (after == before and not problems):
                why = "no changes made" if after.strip() else "saved file was empty"
                click.echo(f"Edit cancelled, {why}.")
                return
            if after == before:
                kept = True
                raise click.ClickException(f"{problems[0]}; what you wrote is in {session.path}")
            try:
                click.echo(_send(session, _parsed(after)))
            except ApiError as error:
                before, problems = after, [f"{error.reason}: {error}"]
            else:
                return
    finally:
        if not kept:
            with contextlib.suppress(OSError):
                session.path.unlink()


def _parsed(text: str) -> Tree:
    from api.manifest import load_all  # noqa: PLC0415 - loads the YAML library

    trees = load_all(text.encode(), "the edited text")
    if len(trees) != 1:
        raise Invalid(f"the edited text holds {len(trees)} objects: leave one")
    return trees[0]


def _send(session: Session, wanted: Tree) -> str:
    """Store what was changed and say so. ApiError as the cluster refuses it."""
    editing.check(session.original, wanted)

    def change(current: Tree) -> Tree | None:
        if current["metadata"]["uid"] != session.stored.uid:
            raise Invalid(f"{object_name(session.stored)} was deleted meanwhile; this is another one of its name")
        after = editing.merged(session.original, wanted, current)
        return None if after == current else after

    async def work(client: RpcClient, _default: str) -> str | ApiError:
        try:
            stored, changed = await edit(client, session.target, session.namespace, change)
        except ApiError as error:  # `call` would end the program
            return error
        return told(stored, "edited" if changed else "unchanged", "")

    answer = call(work)
    if isinstance(answer, ApiError):
        raise answer
    return answer


def _run_editor(path: Path) -> None:
    editor = next((found for name in EDITORS if (found := os.environ.get(name))), DEFAULT_EDITOR)
    done = subprocess.run(["/bin/sh", "-c", f'{editor} "$1"', "sh", str(path)], check=False)
    if done.returncode:
        raise click.ClickException(f"the editor {editor!r} failed (exit code {done.returncode}): nothing was changed")
