"""`tim create`: objects that must not exist yet, from manifests or from a few options."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from api.errors import Invalid
from api.wellknown import PREEMPTION_POLICIES
from cli import generators, options
from cli.commands.create_roles import ROLE_COMMANDS
from cli.connect import call, one_line_errors
from cli.creating import common, send_all
from cli.targets import read_manifests
from cli.verb import META_NAMESPACE, VerbGroup, remember

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

Function = TypeVar("Function", bound=Callable[..., Any])
ALIASES = {
    "ns": "namespace",
    "cm": "configmap",
    "deploy": "deployment",
    "sa": "serviceaccount",
    "resourcequota": "quota",
    "pc": "priorityclass",
}


class _Kinds(VerbGroup):
    """Short names work, too."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As a group does, for the name behind a short one."""
        return super().resolve_command(ctx, [ALIASES.get(args[0], args[0]), *args[1:]])


@click.group(
    cls=_Kinds,
    invoke_without_command=True,
    examples=(
        "tim create -f web.yaml",
        "tim create namespace shop",
        "tim create configmap settings --from-literal colour=red --from-file app.conf",
        "tim create deployment web --image nginx --replicas 3 --port 80 --dry-run=client -o yaml > web.yaml",
    ),
)
@options.files()
@options.namespace("Namespace (default: the manifest's, then the context's).")
@options.dry_run
@options.output("name", "yaml", "json")
@click.pass_context
def create(
    ctx: click.Context, files: tuple[str, ...], recursive: bool, namespace: str, dry_run: str, output: str
) -> None:
    """Create objects from manifests or from options; one that exists already is an error."""
    if ctx.invoked_subcommand:
        if files or recursive:
            raise click.UsageError("either -f FILE or a kind and its options")
        if dry_run != "none" or output:
            raise click.UsageError(
                f"write --dry-run and -o behind the kind: tim create {ctx.invoked_subcommand} NAME ..."
            )
        remember(META_NAMESPACE)(ctx, ctx.command.params[0], namespace)
        return
    if not files:
        raise click.UsageError(f"say what to create: -f FILE, or one of {', '.join(sorted(create.commands))}")
    with one_line_errors():
        trees = read_manifests(files, recursive=recursive)
    send_all(trees, namespace, dry_run, output)


def _contents(function: Function) -> Function:
    """Where the entries of a ConfigMap or Secret come from."""
    for name, help_text in (
        ("--from-env-file", "A file of KEY=VALUE lines."),
        ("--from-file", "A file, as [KEY=]PATH, or all files of a folder."),
        ("--from-literal", "An entry: KEY=VALUE."),
    ):
        function = click.option(name, multiple=True, help=help_text + " May be repeated.")(function)
    return function


@create.command("namespace")
@common
def create_namespace(name: str, namespace: str, dry_run: str, output: str) -> None:
    """Create a Namespace."""
    send_all([generators.namespace(name)], namespace, dry_run, output)


@create.command("serviceaccount")
@common
def create_service_account(name: str, namespace: str, dry_run: str, output: str) -> None:
    """Create a ServiceAccount."""
    send_all([generators.service_account(name)], namespace, dry_run, output)


@create.command("configmap")
@common
@_contents
def create_config_map(name: str, namespace: str, dry_run: str, output: str, **sources: tuple[str, ...]) -> None:
    """Create a ConfigMap from literals and files."""
    with one_line_errors():
        tree = generators.config_map(name, _entries(**sources))
    send_all([tree], namespace, dry_run, output)


@create.group("secret", cls=VerbGroup)
def create_secret() -> None:
    """Create a Secret."""


@create_secret.command("generic")
@common
@_contents
@click.option("--type", "kind", default="", help="The Secret's type [default: Opaque].")
def create_generic_secret(
    name: str, namespace: str, dry_run: str, output: str, kind: str, **sources: tuple[str, ...]
) -> None:
    """Create a Secret from literals and files."""
    with one_line_errors():
        tree = generators.secret(name, kind, _entries(**sources))
    send_all([tree], namespace, dry_run, output)


@create.command("quota")
@common
@click.option("--hard", default="", help="What all objects may take together: pods=5,requests.cpu=2")
@click.option("--scopes", default="", help="Count only pods that all of these look at: BestEffort,NotTerminating")
def create_quota(name: str, namespace: str, dry_run: str, output: str, hard: str, scopes: str) -> None:
    """Create a ResourceQuota."""
    with one_line_errors():
        tree = generators.resource_quota(name, hard, scopes)
    send_all([tree], namespace, dry_run, output)


@create.command("priorityclass")
@common
@click.option("--value", type=int, default=0, show_default=True, help="Pods of higher values are placed first.")
@click.option("--global-default", "is_default", is_flag=True, help="For pods that name no class.")
@click.option("--description", default="", help="When to use it.")
@click.option(
    "--preemption-policy",
    "policy",
    type=click.Choice(PREEMPTION_POLICIES),
    default=PREEMPTION_POLICIES[0],
    show_default=True,
    help="Whether its pods may remove others of lower priority.",
)
def create_priority_class(
    name: str, namespace: str, dry_run: str, output: str, value: int, description: str, policy: str, *, is_default: bool
) -> None:
    """Create a PriorityClass."""
    tree = generators.priority_class(name, value, description, policy, is_default=is_default)
    send_all([tree], namespace, dry_run, output)


@create.command("deployment")
@common
@click.option("--image", "images", multiple=True, required=True, help="Its container's image; may be repeated.")
@click.option("-r", "--replicas", type=click.IntRange(0), default=1, show_default=True, help="How many pods.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="The port it listens on.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG...]]")
def create_deployment(
    name: str,
    namespace: str,
    dry_run: str,
    output: str,
    images: tuple[str, ...],
    replicas: int,
    port: int | None,
    command: tuple[str, ...],
) -> None:
    """Create a Deployment of one or more images."""
    with one_line_errors():
        tree = generators.deployment(name, images, replicas, port, command)
    send_all([tree], namespace, dry_run, output)


@create.command("token", examples=("tim create token robot --duration 10m", "tim create token robot --audience vault"))
@click.argument("name")
@options.namespace()
@click.option(
    "--duration", type=options.Duration(), default=None, help="How long it is good: 10m at least [default: 1h]."
)
@click.option("--audience", "audiences", multiple=True, help="Whom it is shown to [default: the API]. May be repeated.")
@click.option("--bound-object-kind", type=click.Choice(["Pod"]), default=None, help="With --bound-object-name.")
@click.option("--bound-object-name", default="", metavar="POD", help="Good only while this pod of the account exists.")
@click.option("--bound-object-uid", default="", metavar="UID", help="Only if the pod has this uid.")
def create_token(
    name: str,
    namespace: str,
    duration: float | None,
    audiences: tuple[str, ...],
    bound_object_kind: str | None,
    bound_object_name: str,
    bound_object_uid: str,
) -> None:
    """Print a token with which to be the ServiceAccount NAME to the API, over HTTPS."""
    if bool(bound_object_kind) != bool(bound_object_name) or (bound_object_uid and not bound_object_name):
        raise click.UsageError("--bound-object-kind and --bound-object-name belong together")

    async def work(client: RpcClient, default: str) -> str:
        made = await client.create_token(
            namespace or default,
            name,
            audiences=audiences,
            expiration_seconds=math.ceil(duration or 0),
            pod=bound_object_name,
            uid=bound_object_uid,
        )
        return made.token

    click.echo(call(work))


for _command in ROLE_COMMANDS:
    create.add_command(_command)


def _entries(
    from_literal: tuple[str, ...], from_file: tuple[str, ...], from_env_file: tuple[str, ...]
) -> Iterator[tuple[str, bytes]]:
    yield from map(generators.literal, from_literal)
    for text in from_file:
        key, equals, path = text.partition("=")
        place = Path(path if equals else text)
        if place.is_dir() and not equals:
            for file in sorted(each for each in place.iterdir() if each.is_file()):
                yield file.name, _content(file)
        else:
            yield (key if equals else place.name), _content(place)
    for path in from_env_file:
        yield from generators.env_lines(_content(Path(path)).decode(errors="replace"), path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
