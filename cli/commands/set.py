"""`tim set`: one field of objects, named by what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from api.errors import ApiError, Invalid
from api.object import Object, Tree
from cli import options, setting
from cli.connect import call, fail_after, one_line_errors
from cli.edit import Change, chosen, edit_each
from cli.generators import pairs
from cli.labels import split
from cli.mistakes import Misused
from cli.output import object_name, told
from cli.role_generators import subjects_of
from cli.targets import Target, parse
from cli.verb import VerbGroup

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

SOURCES = {"configmaps": "configMapKeyRef", "secrets": "secretKeyRef"}
_FEW = tuple[str, ...]


@click.group(
    "set",
    cls=VerbGroup,
    examples=(
        "tim set image deploy/web app=nginx:1.29",
        "tim set env deploy/web LEVEL=debug OLD-",
        "tim set env deploy/web --from secret/database --prefix DB_",
        "tim set resources deploy/web -c app --limits cpu=1,memory=512Mi --requests cpu=200m",
        "tim set selector service web app=web,track=stable",
        "tim set serviceaccount deploy/web robot",
        "tim set subject rolebinding/readers --user jane",
    ),
)
def set_group() -> None:
    """Set one field of objects: image, env, resources, selector, serviceaccount or subject."""


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """What all of them take."""
    for option in (
        options.output("name", "yaml", "json"),
        options.dry_run,
        click.option("--all", "everything", is_flag=True, help="All objects of the kind in the namespace."),
        options.selector("All objects of the kind with these labels."),
        options.namespace(),
    ):
        function = option(function)
    return function


def _change(objects: list[str], what: str, change: Change, check: Callable[[Target], None], **shared: Any) -> None:
    """Change the objects that the words name, or that labels or --all choose, and tell of each."""
    trial = shared["dry_run"] != "none"

    def tell(stored: Object, was_changed: bool) -> None:
        done = f"{what} updated" if was_changed else f"{what} unchanged"
        click.echo(told(stored, done + (" (dry run)" if trial else ""), shared["output"]))

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        where = shared["namespace"] or default
        for each in parse(objects):
            check(each)
        found = await chosen(client, objects, where, selector=shared["selector"], everything=shared["everything"])
        return await edit_each(client, found, where, change, tell, dry_run=trial)

    fail_after(call(work))


def _has_pods(target: Target) -> None:
    setting.check_has_pods(target.kind)


def _only(*kinds: str) -> Callable[[Target], None]:
    def check(target: Target) -> None:
        if target.kind.kind not in kinds:
            raise Misused(f"{target.kind.plural} have none: name a {' or '.join(kinds)}")

    return check


@set_group.command(examples=("tim set image deploy/web app=nginx:1.29", "tim set image pods -l app=web '*=nginx:1.29'"))
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME... | KIND NAME... CONTAINER=IMAGE...")
@_shared
def image(words: _FEW, **shared: Any) -> None:
    """Set the images of containers; * is every container."""
    with one_line_errors():
        objects, wanted, removals = split(words)
        if removals or not wanted or not all(wanted.values()):
            raise Misused("say which image: CONTAINER=IMAGE")
    _change(objects, "image", setting.pods_changed(setting.images(wanted)), _has_pods, **shared)


@set_group.command(
    examples=(
        "tim set env deploy/web LEVEL=debug OLD-",
        "tim set env deploy/web --list",
        "tim set env deploy/web --from configmap/settings --keys colour",
    )
)
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME... | KIND NAME... [NAME=VALUE...] [NAME-...]")
@click.option("-c", "--containers", default="*", metavar="NAME", help="Only of these; * and ? fit more than one.")
@click.option(
    "--from", "source", default="", metavar="KIND/NAME", help="A variable for each key of this ConfigMap or Secret."
)
@click.option("--prefix", default="", metavar="TEXT", help="With --from: before each variable's name.")
@click.option("--keys", default="", metavar="A,B", help="With --from: only these keys.")
@click.option("--overwrite/--no-overwrite", default=True, show_default=True, help="Change variables that are there.")
@click.option("--list", "show", is_flag=True, help="Change nothing: print what is set.")
@_shared
def env(
    words: _FEW, containers: str, source: str, prefix: str, keys: str, overwrite: bool, show: bool, **shared: Any
) -> None:
    """Set (NAME=VALUE) or remove (NAME-) variables of containers."""
    with one_line_errors():
        objects, plain, removals = split(words)
        if not (plain or removals or source or show):
            raise Misused("say what to set (NAME=VALUE), to remove (NAME-), or --list")
        if (prefix or keys) and not source:
            raise Misused("--prefix and --keys need --from")
    settings = {name: {"name": name, "value": value} for name, value in plain.items()}
    if source:
        settings |= call(lambda client, default: _from(client, shared["namespace"] or default, source, prefix, keys))
    if show:
        call(lambda client, default: _list(client, objects, containers, default, **shared))
        return
    change = setting.environment(settings, removals, containers, overwrite=overwrite)
    _change(objects, "env", setting.pods_changed(change), _has_pods, **shared)


async def _from(client: RpcClient, namespace: str, source: str, prefix: str, keys: str) -> dict[str, Tree]:
    """A variable for each key of a ConfigMap or Secret, which stays where the value comes from."""
    target = parse([source])[0]
    reference = SOURCES.get(target.kind.resource)
    if reference is None or not target.name:
        raise Misused(f"--from {source!r}: write it as configmap/NAME or secret/NAME")
    tree = (await client.get(target.kind.resource, namespace, target.name)).tree()
    known = tree.get("data") or {}
    wanted = [each for each in keys.split(",") if each] or sorted(known)
    if missing := [each for each in wanted if each not in known]:
        raise Invalid(f"{source} has no key {missing[0]!r}")
    entries: dict[str, Tree] = {}
    for key in wanted:
        name = prefix + key.upper().replace("-", "_").replace(".", "_")
        entries[name] = {"name": name, "valueFrom": {reference: {"name": target.name, "key": key}}}
    return entries


async def _list(client: RpcClient, objects: list[str], containers: str, default: str, **shared: Any) -> None:
    where = shared["namespace"] or default
    for target in await chosen(client, objects, where, selector=shared["selector"], everything=shared["everything"]):
        setting.check_has_pods(target.kind)
        stored = await client.get(target.kind.resource, where, target.name)
        for name, lines in setting.variables(stored.tree(), containers):
            click.echo("\n".join([f"# {object_name(stored)}, container {name}", *lines]))


@set_group.command(examples=("tim set resources deploy/web -c app --limits cpu=1,memory=512Mi --requests cpu=200m",))
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME... | KIND NAME...")
@click.option("-c", "--containers", default="*", metavar="NAME", help="Only of these; * and ? fit more than one.")
@click.option("--limits", default="", metavar="A=1,B=2", help="The most that they may take.")
@click.option("--requests", default="", metavar="A=1,B=2", help="What is kept free for them.")
@_shared
def resources(words: _FEW, containers: str, limits: str, requests: str, **shared: Any) -> None:
    """Set limits and requests of containers."""
    with one_line_errors():
        wanted = setting.Resources(pairs(limits, "--limits"), pairs(requests, "--requests"))
        if not (wanted.limits or wanted.requests):
            raise Misused("say what to set: --limits or --requests")
    change = setting.pods_changed(setting.resources(wanted, containers))
    _change(list(words), "resource requirements", change, _has_pods, **shared)


@set_group.command(examples=("tim set selector service web app=web,track=stable",))
@click.argument("words", nargs=-1, required=True, metavar="service NAME... LABEL=VALUE[,LABEL=VALUE...]")
@_shared
def selector(words: _FEW, **shared: Any) -> None:
    """Set the labels by which Services select their pods."""
    with one_line_errors():
        wanted = pairs(words[-1], "selector")
        if not wanted:
            raise Misused("say which labels: LABEL=VALUE")
    _change(list(words[:-1]), "selector", setting.selector(wanted), _only("Service"), **shared)


@set_group.command("serviceaccount", examples=("tim set serviceaccount deploy/web robot",))
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME... | KIND NAME... ACCOUNT")
@_shared
def service_account(words: _FEW, **shared: Any) -> None:
    """Set the ServiceAccount that pods run as."""
    with one_line_errors():
        *objects, account = words
        if not objects or "/" in account:
            raise Misused("say which objects, then which service account")
    change = setting.pods_changed(setting.service_account(account))
    _change(objects, "serviceaccount", change, _has_pods, **shared)


@set_group.command(examples=("tim set subject rolebinding/readers --user jane --serviceaccount ci:robot",))
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME... | KIND NAME...")
@click.option("--user", "users", multiple=True, metavar="NAME", help="A user; may be repeated.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group; may be repeated.")
@click.option(
    "--serviceaccount", "accounts", multiple=True, metavar="NAMESPACE:NAME", help="A service account; may be repeated."
)
@_shared
def subject(words: _FEW, users: _FEW, groups: _FEW, accounts: _FEW, **shared: Any) -> None:
    """Give the role of RoleBindings or ClusterRoleBindings to further subjects."""
    with one_line_errors():
        added = subjects_of(users, groups, accounts)
        if not added:
            raise Misused("say to whom: --user, --group or --serviceaccount")
    _change(list(words), "subjects", setting.subjects(added), _only(*setting.BINDINGS), **shared)
