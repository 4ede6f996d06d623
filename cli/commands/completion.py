"""`tim completion`: what a shell reads to complete commands, options, kinds and names of objects."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cli.verb import Verb

VARIABLE = "_TIM_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=Verb,
    examples=(
        "source <(tim completion bash)                                  this shell",
        "tim completion bash > /etc/bash_completion.d/tim               every new one",
        "tim completion zsh > ~/.tim/completion.zsh                     then source it in ~/.zshrc",
        "tim completion fish > ~/.config/fish/completions/tim.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script for SHELL (bash, zsh or fish) that completes commands, options, kinds and names of objects."""
    found = get_completion_class(shell)
    if found is None:  # click knows all of SHELLS
        raise click.ClickException(f"no completion for {shell}")
    click.echo(found(ctx.find_root().command, {}, "tim", VARIABLE).source())
