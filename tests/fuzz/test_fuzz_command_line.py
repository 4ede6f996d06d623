"""Nonsense on the command line: every command ends with one of the known codes, says why, and shows no traceback."""

from __future__ import annotations

import random

import click
import pytest

from cli.main import main
from tests.cli_rig import CliApi, deployment, pod, tim

RUNS = 6
"""Of each command."""

ELSEWHERE = {
    *("lab", "reset", "init", "join", "pki", "backup", "replica", "check"),  # they change this machine
    *("port-forward", "exec", "attach", "cp", "debug"),  # they last, or need a node
    *("token", "completion", "config", "status", "secrets"),  # they ask more than the fake knows, or write files
}
LASTING = {"-w", "--watch", "--watch-only", "-f", "--follow", "-i", "--stdin", "--attach"}
WORDS = (
    *("", "-", "--", "*", "~", "%s", "{}", "[", "{.x", "é", "\ud800", "a" * 300, "0", "-1", "1e9", "9" * 20),
    *("pods", "pod/web", "web", "deploy/web", "svc", "node/n1", "cm/x", "all", "x/y/z", "pod/", "nonsense", "ns"),
    *("a=b", "a-", "a=", "=b", "*=x", "c=nginx", "a:b", "80:80", "10m", "true", "none", "null", "yaml", "json", "name"),
    *("-l", "a in (", "--all", "-n", "-o", "-A", "--dry-run", "--dry-run=client", "--nonsense", "--=x", "-?"),
    *(
        "jsonpath={.items[*]",
        "jsonpath={range",
        "custom-columns=A:.x",
        "custom-columns=:",
        "status.phase",
        "/nonexistent",
    ),
)
INPUTS = ("", "{}", "a: [", "kind: Pod\n", b"\xff\xfe", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")


def commands(command, path=()):
    """Every command that does something, with the words that name it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(click.Context(command)):
        if path or name not in ELSEWHERE:
            yield from commands(command.get_command(click.Context(command), name), (*path, name))


EVERY = [(path, command) for path, command in commands(main) if path != ("create", "token")]


def nonsense(rng, command):
    options = [name for each in command.params if isinstance(each, click.Option) for name in each.opts]
    for _ in range(rng.randrange(6)):
        if options and rng.random() < 0.4:
            option = rng.choice(options)
            yield option if rng.random() < 0.5 else f"{option}={rng.choice(WORDS)}"
        else:
            yield rng.choice(WORDS)


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[" ".join(path) for path, _ in EVERY])
def test_nonsense_is_refused_or_harmless(path, command, monkeypatch):
    rng = random.Random(" ".join(path))
    monkeypatch.setenv("KUBE_EDITOR", "true")
    for _ in range(RUNS):
        words = [*path, *nonsense(rng, command)]
        if LASTING & {word.partition("=")[0] for word in words} or path == ("rollout", "status"):
            continue
        if any(isinstance(each, click.Option) and "--timeout" in each.opts for each in command.params):
            words.append("--timeout=0.01s")
        api = CliApi()
        api.put(deployment("web"))
        api.put(pod("web"))
        result = tim(api, *words, stdin=rng.choice(INPUTS))
        told = f"{words}: {result.exit_code} {result.stderr}"
        assert result.exit_code in {0, 1, 2}, told
        assert "internal error" not in result.stderr, told
        assert result.exit_code == 0 or result.stderr.strip() or path == ("diff",), told
