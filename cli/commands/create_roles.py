"""`tim create role`, `clusterrole`, `rolebinding` and `clusterrolebinding`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cli import role_generators
from cli.connect import one_line_errors
from cli.creating import common, send_all
from cli.verb import Verb

Function = TypeVar("Function", bound=Callable[..., Any])


def _rules(function: Function) -> Function:
    for name, into, help_text in (
        ("--resource-name", "names", "Only objects of this name."),
        ("--resource", "resources", "A kind, or a part of it: pods, deployments.apps, pods/log, *."),
        ("--verb", "verbs", "get, list, watch, create, update, patch, delete, deletecollection, *."),
    ):
        text = f"{help_text} May be repeated, or several with commas."
        function = click.option(name, into, multiple=True, metavar="NAME", help=text)(function)
    return function


def _subjects(function: Function) -> Function:
    for name, into, metavar, help_text in (
        ("--serviceaccount", "accounts", "NAMESPACE:NAME", "A service account that gets the permissions."),
        ("--group", "groups", "NAME", "A group whose members get them."),
        ("--user", "users", "NAME", "A user who gets them."),
    ):
        text = f"{help_text} May be repeated."
        function = click.option(name, into, multiple=True, metavar=metavar, help=text)(function)
    return function


@click.command("role", cls=Verb, examples=("tim create role reader --verb get,list,watch --resource pods,pods/log",))
@common
@_rules
def create_role(
    name: str,
    namespace: str,
    dry_run: str,
    output: str,
    verbs: tuple[str, ...],
    resources: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    """Create a Role: permissions in one namespace."""
    with one_line_errors():
        tree = role_generators.role(name, verbs, resources, names)
    send_all([tree], namespace, dry_run, output)


@click.command(
    "clusterrole",
    cls=Verb,
    examples=(
        "tim create clusterrole node-reader --verb get,list,watch --resource nodes",
        "tim create clusterrole backup --verb get --non-resource-url /timonier/backup",
        "tim create clusterrole monitoring --aggregation-rule example.dev/monitoring=true",
    ),
)
@common
@_rules
@click.option("--non-resource-url", "urls", multiple=True, metavar="PATH", help="A path of the API; may end with *.")
@click.option(
    "--aggregation-rule",
    "labels",
    multiple=True,
    metavar="LABEL=VALUE",
    help="Gather all ClusterRoles with this label.",
)
def create_cluster_role(
    name: str,
    namespace: str,
    dry_run: str,
    output: str,
    verbs: tuple[str, ...],
    resources: tuple[str, ...],
    names: tuple[str, ...],
    urls: tuple[str, ...],
    labels: tuple[str, ...],
) -> None:
    """Create a ClusterRole: permissions in every namespace and on what has none."""
    with one_line_errors():
        tree = role_generators.cluster_role(name, verbs, resources, names, urls, labels)
    send_all([tree], namespace, dry_run, output)


@click.command(
    "rolebinding",
    cls=Verb,
    examples=(
        "tim create rolebinding jane-edits --clusterrole edit --user jane -n shop",
        "tim create rolebinding robots --role deployer --serviceaccount ci:robot -n shop",
    ),
)
@common
@click.option("--role", "own", default="", metavar="NAME", help="A Role of the same namespace.")
@click.option("--clusterrole", default="", metavar="NAME", help="A ClusterRole, given in this namespace only.")
@_subjects
def create_role_binding(
    name: str,
    namespace: str,
    dry_run: str,
    output: str,
    own: str,
    clusterrole: str,
    users: tuple[str, ...],
    groups: tuple[str, ...],
    accounts: tuple[str, ...],
) -> None:
    """Create a RoleBinding: give a role in one namespace."""
    with one_line_errors():
        tree = role_generators.role_binding(name, own, clusterrole, users, groups, accounts)
    send_all([tree], namespace, dry_run, output)


@click.command(
    "clusterrolebinding",
    cls=Verb,
    examples=("tim create clusterrolebinding operators --clusterrole cluster-admin --group operators",),
)
@common
@click.option("--clusterrole", required=True, metavar="NAME", help="The ClusterRole that is given everywhere.")
@_subjects
def create_cluster_role_binding(
    name: str,
    namespace: str,
    dry_run: str,
    output: str,
    clusterrole: str,
    users: tuple[str, ...],
    groups: tuple[str, ...],
    accounts: tuple[str, ...],
) -> None:
    """Create a ClusterRoleBinding: give a ClusterRole in all namespaces."""
    with one_line_errors():
        tree = role_generators.cluster_role_binding(name, clusterrole, users, groups, accounts)
    send_all([tree], namespace, dry_run, output)


ROLE_COMMANDS = (create_role, create_cluster_role, create_role_binding, create_cluster_role_binding)
