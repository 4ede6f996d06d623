"""`tim`: finds the command and hands over. Commands are imported only when called, so that start-up stays short."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import click

from component.version import version

COMMANDS: dict[str, tuple[str, str]] = {
    "annotate": ("cli.commands.metadata:annotate", "Set or remove annotations of objects."),
    "api-resources": ("cli.commands.api_resources:api_resources", "List the kinds the cluster knows."),
    "apply": ("cli.commands.apply:apply", "Create objects or change them to match manifests."),
    "check": ("cli.commands.check:check", "Tell whether this machine can run a node or a lab."),
    "config": ("cli.commands.config:config", "Look at and choose clusters, users and namespaces."),
    "cordon": ("cli.commands.nodes:cordon", "Keep new pods off a node."),
    "create": ("cli.commands.create:create", "Create objects from manifests."),
    "delete": ("cli.commands.delete:delete", "Delete objects by manifest, name or selector."),
    "describe": ("cli.commands.describe:describe", "Show everything about objects, with their events."),
    "drain": ("cli.commands.nodes:drain", "Empty a node for maintenance."),
    "events": ("cli.commands.events:events", "List what happened, oldest first."),
    "exec": ("cli.commands.exec:exec_command", "Run a command in a container."),
    "get": ("cli.commands.get:get", "List objects, or show some by name."),
    "init": ("cli.commands.init:init", "Make the keys and configuration of a first cluster."),
    "join": ("cli.commands.join:join_command", "Make this machine a node of a cluster."),
    "lab": ("cli.commands.lab:lab", "A whole cluster on this machine."),
    "label": ("cli.commands.metadata:label", "Set or remove labels of objects."),
    "logs": ("cli.commands.logs:logs", "Print a container's log."),
    "rollout": ("cli.commands.rollout:rollout", "Follow, undo or restart rollouts of a Deployment."),
    "scale": ("cli.commands.scale:scale", "Set how many pods there should be."),
    "status": ("cli.commands.status:status", "Show the replicas of the cluster and how they are."),
    "token": ("cli.commands.token:token", "Tokens with which machines join."),
    "uncordon": ("cli.commands.nodes:uncordon", "Let new pods onto a node again."),
    "version": ("cli.commands.version:version_command", "Print the versions of tim and of the cluster."),
    "wait": ("cli.commands.wait:wait", "Wait until objects meet a condition."),
}
"""Name -> where it is, and its line of help (repeated here so that `tim --help` imports nothing)."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name suggested for an unknown one."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(_unknown(args[0], sorted(COMMANDS)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `tim --help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="tim")
@click.option("--context", default="", help="Use this context of the client configuration.")
@click.option(
    "--kubeconfig", "config_path", default="", help="Client configuration file (default: $TIMCONFIG, ~/.tim/config)."
)
@click.pass_context
def main(ctx: click.Context, context: str, config_path: str) -> None:
    """Steer a Timonier cluster: apply manifests, watch what runs, mend what does not."""
    ctx.meta["timonier.context"] = context
    ctx.meta["timonier.config"] = config_path


def _unknown(word: str, known: Sequence[str]) -> str:
    import difflib  # noqa: PLC0415 - only an error needs it

    near = difflib.get_close_matches(word, known, n=1)
    return f"unknown command {word!r}" + (f": did you mean {near[0]!r}?" if near else ": see `tim --help`")
