"""`tim create role`, `clusterrole`, `rolebinding` and `clusterrolebinding`."""

from __future__ import annotations

import click

from cli import role_generators
from cli.creating import generator

SEVERAL = "May be repeated, or several with commas."

_RULES = (
    click.option(
        *("--verb", "verbs"),
        multiple=True,
        metavar="NAME",
        help=f"get, list, watch, create, update, patch, delete, deletecollection, *. {SEVERAL}",
    ),
    click.option(
        *("--resource", "resources"),
        multiple=True,
        metavar="NAME",
        help=f"A kind, or a part of it: pods, deployments.apps, pods/log, *. {SEVERAL}",
    ),
    click.option(
        *("--resource-name", "names"), multiple=True, metavar="NAME", help=f"Only objects of this name. {SEVERAL}"
    ),
)
_SUBJECTS = (
    click.option(
        *("--user", "users"), multiple=True, metavar="NAME", help="A user who gets the permissions. May be repeated."
    ),
    click.option(
        *("--group", "groups"),
        multiple=True,
        metavar="NAME",
        help="A group whose members get them. May be repeated.",
    ),
    click.option(
        *("--serviceaccount", "accounts"),
        multiple=True,
        metavar="NAMESPACE:NAME",
        help="A service account that gets them. May be repeated.",
    ),
)

ROLE_COMMANDS = (
    generator(
        "role",
        role_generators.role,
        "Create a Role: permissions in one namespace.",
        *_RULES,
        examples=("tim create role reader --verb get,list,watch --resource pods,pods/log",),
    ),
    generator(
        "clusterrole",
        role_generators.cluster_role,
        "Create a ClusterRole: permissions in every namespace and on what has none.",
        *_RULES,
        click.option(
            *("--non-resource-url", "urls"), multiple=True, metavar="PATH", help="A path of the API; may end with *."
        ),
        click.option(
            *("--aggregation-rule", "labels"),
            multiple=True,
            metavar="LABEL=VALUE",
            help="Gather all ClusterRoles with this label.",
        ),
        examples=(
            "tim create clusterrole node-reader --verb get,list,watch --resource nodes",
            "tim create clusterrole backup --verb get --non-resource-url /timonier/backup",
            "tim create clusterrole monitoring --aggregation-rule example.dev/monitoring=true",
        ),
    ),
    generator(
        "rolebinding",
        role_generators.role_binding,
        "Create a RoleBinding: give a role in one namespace.",
        click.option("--role", "own", default="", metavar="NAME", help="A Role of the same namespace."),
        click.option(
            "--clusterrole", "cluster", default="", metavar="NAME", help="A ClusterRole, given in this namespace only."
        ),
        *_SUBJECTS,
        examples=(
            "tim create rolebinding jane-edits --clusterrole edit --user jane -n shop",
            "tim create rolebinding robots --role deployer --serviceaccount ci:robot -n shop",
        ),
    ),
    generator(
        "clusterrolebinding",
        role_generators.cluster_role_binding,
        "Create a ClusterRoleBinding: give a ClusterRole in all namespaces.",
        click.option(
            *("--clusterrole", "cluster"),
            required=True,
            metavar="NAME",
            help="The ClusterRole that is given everywhere.",
        ),
        *_SUBJECTS,
        examples=("tim create clusterrolebinding operators --clusterrole cluster-admin --group operators",),
    ),
)
