"""`tim config`: contexts, clusters and users in the client configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import options
from cli.connect import config_paths, one_line_errors
from cli.output import align, as_json, as_yaml
from cli.verb import META_CONTEXT, VerbGroup
from component import kubeconfig, kubeconfig_files

SECRETS = {"client-key-data", "token", "password"}


@click.group(
    cls=VerbGroup,
    examples=(
        "tim config get-contexts",
        "tim config use-context kubernetes-admin@lab",
        "tim config set-context --current --namespace shop",
    ),
)
def config() -> None:
    """Look at and choose clusters, users and namespaces."""


@config.command()
@click.option("--raw", is_flag=True, help="Show keys and certificates too.")
@click.option("--minify", is_flag=True, help="Only what the current context uses.")
@click.option("-o", "--output", type=options.Output(("yaml", "json")), default="yaml", help="How to print it.")
def view(raw: bool, minify: bool, output: str) -> None:
    """Print the client configuration."""
    tree, path = _load()
    if minify:
        with one_line_errors():
            tree = kubeconfig.minified(tree, path, click.get_current_context().meta.get(META_CONTEXT, ""))
    tree = tree if raw else _redacted(tree)
    click.echo(as_yaml(tree) if output == "yaml" else as_json(tree))


@config.command(name="get-contexts")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("-o", "--output", type=options.Output(("name",)), default="", help="Only the names.")
@click.option("--no-headers", is_flag=True, help="No line with the columns' names.")
def get_contexts(names: tuple[str, ...], output: str, no_headers: bool) -> None:
    """List the contexts; * marks the current one."""
    tree, path = _load()
    entries = [_entry(tree, path, "contexts", name) for name in names] or kubeconfig.entries(tree, "contexts")
    if output == "name":
        click.echo("\n".join(str(entry["name"]) for entry in entries), nl=bool(entries))
        return
    table = [["CURRENT", "NAME", "CLUSTER", "USER", "NAMESPACE"]]
    for entry in entries:
        context = entry.get("context") or {}
        current = "*" if entry["name"] == tree.get("current-context") else ""
        cells = [str(context.get(field, "")) for field in ("cluster", "user", "namespace")]
        table.append([current, str(entry["name"]), *cells])
    click.echo("\n".join(align(table).split("\n")[int(no_headers) :]))


@config.command(name="get-clusters")
def get_clusters() -> None:
    """List the clusters."""
    _list_names("clusters")


@config.command(name="get-users")
def get_users() -> None:
    """List the users."""
    _list_names("users")


@config.command(name="current-context")
def current_context() -> None:
    """Print the current context's name."""
    tree, path = _load()
    if not tree.get("current-context"):
        raise click.ClickException(f"{path}: no current-context is set")
    click.echo(tree["current-context"])


@config.command(name="use-context")
@click.argument("name")
def use_context(name: str) -> None:
    """Make NAME the current context."""
    _entry(*_load(), "contexts", name)
    _choose(name)
    click.echo(f'switched to context "{name}"')


@config.command(name="set-context")
@click.argument("name", default="", metavar="NAME | --current")
@click.option("--current", is_flag=True, help="Change the current context.")
@click.option("-n", "--namespace", default=None, metavar="NAME", help="The namespace commands use without -n.")
@click.option("--cluster", default=None, metavar="NAME", help="Its cluster.")
@click.option("--user", default=None, metavar="NAME", help="Its user.")
def set_context(name: str, current: bool, namespace: str | None, cluster: str | None, user: str | None) -> None:
    """Change a context, or make a new one."""
    if bool(name) == current:
        raise click.UsageError("name a context, or say --current")
    tree, path = _load()
    name = name or str(tree.get("current-context") or "")
    if not name:
        raise click.ClickException(f"{path}: no current-context is set")
    tree, path = _holding("contexts", name)
    contexts = kubeconfig.entries(tree, "contexts")
    old = next((each for each in contexts if each["name"] == name), None)
    given = {"namespace": namespace, "cluster": cluster, "user": user}
    values = {key: value for key, value in given.items() if value is not None}
    new = {"name": name, "context": {**((old or {}).get("context") or {}), **values}}
    changed = [new if each is old else each for each in contexts] + ([] if old else [new])
    _save({**tree, "contexts": changed}, path)
    click.echo(f'context "{name}" {"modified" if old else "created"}')


@config.command(name="rename-context")
@click.argument("old")
@click.argument("new")
def rename_context(old: str, new: str) -> None:
    """Give context OLD the name NEW."""
    whole, path = _load()
    _entry(whole, path, "contexts", old)
    if any(each["name"] == new for each in kubeconfig.entries(whole, "contexts")):
        raise click.ClickException(f"{path}: there is a context named {new!r} already")
    tree, path = _holding("contexts", old)
    contexts = kubeconfig.entries(tree, "contexts")
    _save({**tree, "contexts": [{**each, "name": new} if each["name"] == old else each for each in contexts]}, path)
    if whole.get("current-context") == old:
        _choose(new)
    click.echo(f'context "{old}" renamed to "{new}"')


@config.command(name="delete-context")
@click.argument("name")
def delete_context(name: str) -> None:
    """Remove context NAME; its cluster and user stay."""
    current = _load()[0].get("current-context")
    _delete("contexts", name)
    note = " (it was the current one: choose another with `tim config use-context`)"
    click.echo(f'context "{name}" deleted' + (note if current == name else ""))


@config.command(name="delete-cluster")
@click.argument("name")
def delete_cluster(name: str) -> None:
    """Remove cluster NAME; contexts that name it stay."""
    _delete("clusters", name)
    click.echo(f'cluster "{name}" deleted')


@config.command(name="delete-user")
@click.argument("name")
def delete_user(name: str) -> None:
    """Remove user NAME with its keys; contexts that name it stay."""
    _delete("users", name)
    click.echo(f'user "{name}" deleted')


def _load() -> tuple[dict[str, Any], Path]:
    """All of it, and what to call it."""
    with one_line_errors():
        return kubeconfig_files.read(config_paths())


def _holding(section: str, name: str) -> tuple[dict[str, Any], Path]:
    """The one file that has the entry, or takes a new one."""
    with one_line_errors():
        path = kubeconfig_files.holder(config_paths(), section, name)
        return kubeconfig.read(path), path


def _choose(context: str) -> None:
    with one_line_errors():
        path = kubeconfig_files.holder_of_current(config_paths())
        _save({**kubeconfig.read(path), "current-context": context}, path)


def _delete(section: str, name: str) -> None:
    _entry(*_load(), section, name)
    tree, path = _holding(section, name)
    _save({**tree, section: [each for each in kubeconfig.entries(tree, section) if each["name"] != name]}, path)


def _save(tree: dict[str, Any], path: Path) -> None:
    with one_line_errors():
        kubeconfig.write(tree, path)


def _entry(tree: dict[str, Any], path: Path, section: str, name: str) -> dict[str, Any]:
    with one_line_errors():
        return kubeconfig.named(tree, section, name, path)


def _list_names(section: str) -> None:
    tree, _ = _load()
    click.echo("\n".join(["NAME", *(str(each["name"]) for each in kubeconfig.entries(tree, section))]))


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "REDACTED" if key in SECRETS else "DATA+OMITTED" if key.endswith("-data") else _redacted(inner)
            for key, inner in value.items()
        }
    return [_redacted(each) for each in value] if isinstance(value, list) else value
