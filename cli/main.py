"""`tim`: finds the command, hands over, and turns every way to fail into one line and an exit code.

Commands are imported only when called, so that start-up stays short.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from cli.verb import HELP, META_NAMESPACE, Completed, VerbGroup, connection_options, remember
from cli.visible import visible

COMMANDS: dict[str, tuple[str, str]] = {
    "annotate": ("cli.commands.metadata:annotate", "Set or remove annotations of objects."),
    "api-resources": ("cli.commands.api_resources:api_resources", "List the kinds the cluster knows."),
    "api-versions": ("cli.commands.api_versions:api_versions", "List the API versions the cluster knows."),
    "apply": ("cli.commands.apply:apply", "Create objects or change them to match manifests."),
    "attach": ("cli.commands.attach:attach", "Join the streams of what a container runs."),
    "auth": ("cli.commands.auth:auth", "Who I am, and what I may do."),
    "backup": ("cli.commands.backup:backup", "Save, verify and restore the state of the cluster."),
    "check": ("cli.commands.check:check", "Tell whether this machine can run a node or a lab."),
    "completion": ("cli.commands.completion:completion", "Print what a shell needs to complete commands of tim."),
    "config": ("cli.commands.config:config", "Look at and choose clusters, users and namespaces."),
    "cordon": ("cli.commands.nodes:cordon", "Keep new pods off a node."),
    "cp": ("cli.commands.cp:cp", "Copy files into and out of containers."),
    "create": ("cli.commands.create:create", "Create objects from manifests or from options."),
    "debug": ("cli.commands.debug:debug", "Look into a pod or a node with another container."),
    "delete": ("cli.commands.delete:delete", "Delete objects by manifest, name or selector."),
    "describe": ("cli.commands.describe:describe", "Show everything about objects, with their events."),
    "diff": ("cli.commands.diff:diff", "Show what changed since, or what a manifest would change."),
    "drain": ("cli.commands.drain:drain", "Empty nodes for maintenance."),
    "edit": ("cli.commands.edit:edit_command", "Change objects in an editor."),
    "events": ("cli.commands.events:events", "List what happened, oldest first."),
    "exec": ("cli.commands.exec:exec_command", "Run a command in a container."),
    "explain": ("cli.commands.explain:explain", "Describe the fields of a kind."),
    "expose": ("cli.commands.expose:expose", "Create a Service in front of the pods of an object."),
    "get": ("cli.commands.get:get", "List objects, or show some by name."),
    "history": ("cli.commands.history:history", "Show the changes of an object."),
    "init": ("cli.commands.init:init", "Make the keys and configuration of a first cluster."),
    "join": ("cli.commands.join:join_command", "Make this machine a node of a cluster."),
    "lab": ("cli.commands.lab:lab", "A whole cluster on this machine."),
    "label": ("cli.commands.metadata:label", "Set or remove labels of objects."),
    "logs": ("cli.commands.logs:logs", "Print the logs of containers."),
    "patch": ("cli.commands.patch:patch", "Change fields of objects."),
    "pki": ("cli.commands.pki:pki", "Credentials signed by the cluster's certificate authority."),
    "plugin": ("cli.commands.plugin:plugin", "Programs called tim-NAME, which `tim NAME` runs."),
    "port-forward": ("cli.commands.port_forward:port_forward", "Reach ports of a pod from this machine."),
    "replica": ("cli.commands.replica:replica", "The replicas of the control plane: see, add, remove."),
    "replace": ("cli.commands.replace:replace", "Replace objects by what manifests say."),
    "reset": ("cli.commands.reset:reset", "Make this machine a stranger to its cluster again."),
    "rollout": ("cli.commands.rollout:rollout", "Follow, undo or restart rollouts of a Deployment."),
    "run": ("cli.commands.run:run", "Run an image in a pod."),
    "scale": ("cli.commands.scale:scale", "Set how many pods there should be."),
    "secrets": ("cli.commands.secrets:secrets", "The keys that Secrets are encrypted with."),
    "set": ("cli.commands.set:set_group", "Set one field of objects: image, env, resources and others."),
    "status": ("cli.commands.status:status", "Show the replicas of the cluster and how they are."),
    "taint": ("cli.commands.taint:taint", "Set or remove taints, which keep pods off nodes."),
    "token": ("cli.commands.token:token", "Tokens with which machines join."),
    "uncordon": ("cli.commands.nodes:uncordon", "Let new pods onto a node again."),
    "version": ("cli.commands.version:version_command", "Print the versions of tim and of the cluster."),
    "wait": ("cli.commands.wait:wait", "Wait until objects meet a condition."),
}
"""Name -> where it is, and its line of help (repeated here so that `tim --help` imports nothing)."""

EXIT_INTERNAL = 70  # sysexits.h: EX_SOFTWARE
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class LazyGroup(VerbGroup):
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
        """As a group does; an unknown name may be a plugin's, which then takes this process over."""
        if args and args[0] not in COMMANDS:
            from cli import plugins  # noqa: PLC0415 - most starts know their command

            plugins.run_if_there_is_one(ctx, args)
            if instead := plugins.INSTEAD.get(args[0]):
                ctx.fail(f"there is no command {args[0]!r}: {instead}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `tim --help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit: every failure is one line on standard error, never a traceback."""

        def run() -> Any:
            return super(LazyGroup, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)

        if not standalone_mode:
            return run()
        sys.exit(exit_code(run))


def exit_code(run: Callable[[], Any]) -> int:
    """Run a command line and tell its exit code, after saying on one line of standard error what went wrong.

    A reader that went away (`| head`) is no news: click ends such a run silently with code 1.
    """
    try:
        code = run()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        click.echo(f"Error: {_one_line(error.format_message())}{hint}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except (OSError, UnicodeEncodeError) as error:
        if os.environ.get("TIM_DEBUG"):
            raise
        click.echo(f"Error: {_reason(error)}", err=True)
        return 1
    except Exception as error:
        if os.environ.get("TIM_DEBUG"):
            raise
        what = _one_line(f"{type(error).__name__}: {error}")
        click.echo(f"internal error: {what}; run with TIM_DEBUG=1 for the traceback", err=True)
        return EXIT_INTERNAL
    return code if isinstance(code, int) else 0


def _reason(error: OSError | UnicodeEncodeError) -> str:
    """Files of a command are read with care: an OSError is the output's, a full disk mostly."""
    if isinstance(error, OSError):
        return (f"{error.filename}: " if error.filename else "") + (error.strerror or str(error))
    return f"{error.object[error.start : error.end]!a}: a word of the command line is no {error.encoding} text"


def _version(ctx: click.Context, _parameter: click.Parameter, given: bool) -> None:
    if given:
        from component.version import version  # noqa: PLC0415 - reading the installed metadata takes 20 ms

        click.echo(f"tim, version {version()}")
        ctx.exit()


@click.command(cls=LazyGroup, context_settings=HELP)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version and exit.",
)
@click.option(
    *("-n", "--namespace"),
    type=Completed("namespaces"),
    default="",
    metavar="NAME",
    expose_value=False,
    callback=remember(META_NAMESPACE),
    help="Namespace (default: the context's).",
)
def main() -> None:
    """Steer a Timonier cluster: apply manifests, watch what runs, mend what does not.

    The options below may stand behind the command's name, too.
    """


main.params += connection_options()


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))
