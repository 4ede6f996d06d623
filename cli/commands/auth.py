"""`tim auth`: who I am, and what I may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.object import Tree
from cli import options
from cli.connect import call
from cli.output import align
from cli.rights import is_path, question, rows, who
from cli.verb import VerbGroup

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.group(
    cls=VerbGroup,
    examples=(
        "tim auth can-i create deployments -n shop",
        "tim auth can-i get pods/web-0 --subresource log",
        "tim auth can-i list secrets -A --as jane --as-group developers",
        "tim auth can-i --list -n shop",
        "tim auth whoami",
    ),
)
def auth() -> None:
    """Who I am, and what I may do."""


@auth.command("can-i")
@click.argument("verb", default="")
@click.argument("resource", default="", metavar="[KIND[/NAME]|PATH]")
@click.argument("name", default="", metavar="[NAME]")
@options.namespace()
@click.option("-A", "--all-namespaces", is_flag=True, help="In every namespace.")
@click.option(
    "--subresource", default="", metavar="NAME", help="A part of the object, such as log, exec, scale or status."
)
@click.option("--list", "list_all", is_flag=True, help="Everything I may do in the namespace.")
@click.option("--no-headers", is_flag=True, help="With --list: no line with the columns' names.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing: the exit code says it.")
def can_i(
    verb: str,
    resource: str,
    name: str,
    namespace: str,
    all_namespaces: bool,
    subresource: str,
    list_all: bool,
    no_headers: bool,
    quiet: bool,
) -> None:
    """Tell whether I may VERB objects of a kind, one object, or a path: yes, or no and exit code 1.

    Verbs are get, list, watch, create, update, patch, delete, deletecollection, bind, escalate and impersonate; of a
    path, which begins with /, the HTTP methods.
    """
    if list_all:
        if verb:
            raise click.UsageError("--list shows every verb: name none")
        table = call(lambda client, default: _rights(client, namespace or default))
        click.echo(align(table[1:] if no_headers else table))
        return
    if not (verb and resource):
        raise click.UsageError("say what: tim auth can-i VERB KIND [NAME], or --list")
    if all_namespaces and namespace:
        raise click.UsageError("either --namespace or --all-namespaces")
    if is_path(resource) and (name or subresource):
        raise click.UsageError("a path has neither a name nor a subresource")

    async def work(client: RpcClient, default: str) -> Tree:
        where = "" if all_namespaces else namespace or default
        answer = await client.create(question(verb, resource, name, subresource, where))
        status: Tree = answer.tree()["status"]
        return status

    status = call(work)
    if not quiet:
        reason = status.get("reason", "")
        click.echo("yes" if status["allowed"] else f"no - {reason}" if reason else "no")
    if not status["allowed"]:
        raise click.exceptions.Exit(1)


@auth.command()
@options.output("yaml", "json")
def whoami(output: str) -> None:
    """Show the user and the groups that the cluster takes me for."""

    async def work(client: RpcClient, _namespace: str) -> Tree:
        tree = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
        return (await client.create(tree)).tree()

    click.echo(who(call(work), output))


async def _rights(client: RpcClient, namespace: str) -> list[list[str]]:
    spec = {"namespace": namespace}
    tree = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "metadata": {}, "spec": spec}
    status = (await client.create(tree)).tree()["status"]
    if status.get("evaluationError"):
        click.echo(f"not all of it: {status['evaluationError']}", err=True)
    return rows(status)
