"""`tim create`: objects that must not exist yet, from manifests or from a few options."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from api.wellknown import PREEMPTION_POLICIES
from cli import generators, options
from cli.commands.create_roles import ROLE_COMMANDS
from cli.commands.create_secrets import contents, create_secret, entries
from cli.commands.create_services import create_service
from cli.connect import call, one_line_errors
from cli.creating import generator, send_all
from cli.targets import read_manifests
from cli.verb import META_NAMESPACE, VerbGroup, remember

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

ALIASES = {
    "ns": "namespace",
    "cm": "configmap",
    "deploy": "deployment",
    "sa": "serviceaccount",
    "resourcequota": "quota",
    "pc": "priorityclass",
    "svc": "service",
}
ABSENT = ("cronjob", "ingress", "job", "poddisruptionbudget")
"""Kinds that kubectl makes from options and this version does not have."""


class _Kinds(VerbGroup):
    """Short names work, too."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As a group does, for the name behind a short one."""
        if args[0] in ABSENT:
            ctx.fail(f"this version has no objects of the kind {args[0]!r}; `tim api-resources` lists what there is")
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


for _command in (
    generator("namespace", generators.namespace, "Create a Namespace."),
    generator("serviceaccount", generators.service_account, "Create a ServiceAccount."),
    generator(
        "configmap",
        lambda name, **sources: generators.config_map(name, entries(**sources)),
        "Create a ConfigMap from literals and files.",
        contents,
    ),
    generator(
        "quota",
        generators.resource_quota,
        "Create a ResourceQuota.",
        click.option("--hard", default="", help="What all objects may take together: pods=5,requests.cpu=2"),
        click.option(
            "--scopes", default="", help="Count only pods that all of these look at: BestEffort,NotTerminating"
        ),
    ),
    generator(
        "priorityclass",
        generators.priority_class,
        "Create a PriorityClass.",
        click.option("--value", type=int, default=0, show_default=True, help="Pods of higher values are placed first."),
        click.option("--global-default", "is_default", is_flag=True, help="For pods that name no class."),
        click.option("--description", default="", help="When to use it."),
        click.option(
            *("--preemption-policy", "policy"),
            type=click.Choice(PREEMPTION_POLICIES),
            default=PREEMPTION_POLICIES[0],
            show_default=True,
            help="Whether its pods may remove others of lower priority.",
        ),
    ),
    generator(
        "deployment",
        generators.deployment,
        "Create a Deployment of one or more images.",
        click.option("--image", "images", multiple=True, required=True, help="Its container's image; may be repeated."),
        click.option("-r", "--replicas", type=click.IntRange(0), default=1, show_default=True, help="How many pods."),
        click.option("--port", type=click.IntRange(1, 65535), default=None, help="The port it listens on."),
        click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARG...]]"),
    ),
    create_secret,
    create_service,
    *ROLE_COMMANDS,
):
    create.add_command(_command)


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
