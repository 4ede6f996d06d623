"""`tim config`: contexts, clusters and users in the client configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from cli.connect import one_line_errors
from cli.output import align, as_yaml
from component import kubeconfig


@click.group()
def config() -> None:
    """Look at and choose clusters, users and namespaces."""


@config.command()
@click.option("--raw", is_flag=True, help="Show keys and certificates too.")
def view(raw: bool) -> None:
    """Print the client configuration."""
    tree, _ = _load()
    click.echo(as_yaml(tree if raw else _redacted(tree)).rstrip())


@config.command(name="get-contexts")
def get_contexts() -> None:
    """List the contexts; * marks the current one."""
    tree, _ = _load()
    table = [["CURRENT", "NAME", "CLUSTER", "USER", "NAMESPACE"]]
    for entry in tree.get("contexts") or ():
        context = entry.get("context") or {}
        current = "*" if entry["name"] == tree.get("current-context") else ""
        table.append(
            [current, entry["name"], context.get("cluster", ""), context.get("user", ""), context.get("namespace", "")]
        )
    click.echo(align(table))


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
    tree, path = _load()
    _context(tree, name, path)
    kubeconfig.write({**tree, "current-context": name}, path)
    click.echo(f'switched to context "{name}"')


@config.command(name="set-context")
@click.argument("name", default="")
@click.option("--current", is_flag=True, help="Change the current context.")
@click.option("--namespace", default=None)
@click.option("--cluster", default=None)
@click.option("--user", default=None)
def set_context(name: str, current: bool, namespace: str | None, cluster: str | None, user: str | None) -> None:
    """Change a context, or make a new one."""
    tree, path = _load()
    name = str(tree.get("current-context", "")) if current else name
    if not name:
        raise click.ClickException("name a context, or say --current")
    contexts = tree.setdefault("contexts", [])
    entry = next((each for each in contexts if each["name"] == name), None)
    word = "modified" if entry else "created"
    if entry is None:
        entry = {"name": name, "context": {}}
        contexts.append(entry)
    given = {"namespace": namespace, "cluster": cluster, "user": user}
    entry["context"].update({key: value for key, value in given.items() if value is not None})
    kubeconfig.write(tree, path)
    click.echo(f'context "{name}" {word}')


def _load() -> tuple[dict[str, Any], Path]:
    chosen = click.get_current_context().meta.get("timonier.config", "")
    path = Path(chosen) if chosen else kubeconfig.default_path(os.environ)
    with one_line_errors():
        return kubeconfig.read(path), path


def _context(tree: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    for entry in tree.get("contexts") or ():
        if entry.get("name") == name:
            found: dict[str, Any] = entry
            return found
    known = ", ".join(str(entry.get("name")) for entry in tree.get("contexts") or ()) or "none"
    raise click.ClickException(f"{path}: no context named {name!r}; there are: {known}")


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "REDACTED" if key in {"client-key-data", "token", "password"} else _shortened(key, inner)
            for key, inner in value.items()
        }
    return [_redacted(each) for each in value] if isinstance(value, list) else value


def _shortened(key: str, value: Any) -> Any:
    return "DATA+OMITTED" if key.endswith("-data") else _redacted(value)
