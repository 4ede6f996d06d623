"""`tim patch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from api.errors import ApiError, Invalid, Unavailable
from api.object import Object, canonical
from cli import options, reading
from cli.connect import call, fail_after
from cli.output import told
from cli.targets import Target, namespace_of, parse, read_manifests, targets_of
from cli.verb import Verb
from component.client import PatchType

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        """tim patch deploy/web -p '{"spec": {"replicas": 5}}'""",
        "tim patch node n1 -p 'spec: {unschedulable: true}'",
        """tim patch pod web --type json -p '[{"op": "remove", "path": "/metadata/labels/tier"}]'""",
    ),
)
@click.argument("words", nargs=-1, metavar="KIND NAME... | KIND/NAME...")
@options.files("The objects of these manifests: file, folder or - for standard input.")
@options.namespace()
@click.option("-p", "--patch", "text", default="", metavar="PATCH", help="The patch, as JSON or YAML.")
@click.option("--patch-file", default="", metavar="FILE", help="A file with the patch.")
@click.option(
    "--type",
    "patch_type",
    type=click.Choice(["strategic", "merge", "json"]),
    default="strategic",
    help="strategic: lists merge by their keys; merge: lists are replaced (RFC 7386); json: operations (RFC 6902).",
)
@click.option("--subresource", type=click.Choice(["status"]), default=None, help="Change the status only.")
@options.dry_run
@options.output("name", "yaml", "json")
def patch(
    words: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    text: str,
    patch_file: str,
    patch_type: str,
    subresource: str | None,
    dry_run: str,
    output: str,
) -> None:
    """Change fields of objects."""
    body = _body(text, patch_file)

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        problems: list[ApiError] = []
        for target, where in _places(words, files, recursive, namespace, default):
            try:
                before = await client.get(target.kind.resource, where, target.name)
                after = await client.patch(
                    target.kind.resource,
                    where,
                    target.name,
                    cast("PatchType", patch_type),
                    body,
                    subresource=cast("Literal['', 'status']", subresource or ""),
                    dry_run=dry_run != "none",
                )
            except Unavailable as error:  # the others would fail the same way, each after its time-out
                return [*problems, error]
            except ApiError as error:
                problems.append(error)
            else:
                click.echo(told(after, _done(before, after, dry_run), output))
        return problems

    fail_after(call(work))


def _body(text: str, patch_file: str) -> bytes:
    """The patch as JSON."""
    from api import manifest  # noqa: PLC0415 - loads the YAML library

    if bool(text) == bool(patch_file):
        raise click.UsageError("give the patch with -p or with --patch-file")
    try:
        given: str | bytes = reading.file(Path(patch_file)) if patch_file else text
        return canonical(manifest.load_value(given, patch_file or "patch"))
    except Invalid as error:
        raise click.UsageError(str(error)) from error


def _places(
    words: tuple[str, ...], files: tuple[str, ...], recursive: bool, namespace: str, default: str
) -> list[tuple[Target, str]]:
    """The objects to patch, each with its namespace."""
    if bool(words) == bool(files):
        raise Invalid("name the objects, or give manifests that name them with -f")
    if files:
        found, problems = targets_of(read_manifests(files, recursive=recursive))
        if problems:
            raise problems[0]
        return [(target, namespace_of(tree, target.kind, namespace, default)) for target, tree in found]
    targets = parse(words)
    if nameless := next((target for target in targets if not target.name), None):
        raise Invalid(f"name the {nameless.kind.plural} to patch")
    return [(target, (namespace or default) if target.kind.namespaced else "") for target in targets]


def _done(before: Object, after: Object, dry_run: str) -> str:
    word = "patched" if canonical(before.tree()) != canonical(after.tree()) else "patched (no change)"
    return word + (" (dry run)" if dry_run != "none" else "")
