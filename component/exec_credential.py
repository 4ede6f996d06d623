"""Asking a program for credentials, as `users[].user.exec` of a kubeconfig says (client.authentication.k8s.io).

Only certificates count here. What the program prints on standard error is the user's to see, as with kubectl.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from component.kubeconfig_problem import KubeconfigProblem

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
_FIELDS = frozenset(
    {"apiVersion", "command", "args", "env", "installHint", "interactiveMode", "provideClusterInfo"},
)


def ask(spec: Any, where: str, folder: Path) -> tuple[bytes, bytes]:
    """Run the program and return (certificate, key), PEM. KubeconfigProblem begins with `where`.

    A command with a slash that is not absolute is beside the kubeconfig, in `folder`.
    """
    command, environment = _read(spec, where)
    program = str(folder / command[0]) if "/" in command[0] else command[0]
    interactive = spec.get("interactiveMode", "IfAvailable") != "Never" and sys.stdin is not None and sys.stdin.isatty()
    if spec.get("interactiveMode") == "Always" and not interactive:
        raise KubeconfigProblem(f"{where}: it wants to ask on a terminal (interactiveMode), and there is none")
    question = {"apiVersion": spec["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": interactive}}
    try:
        done = subprocess.run(
            [program, *command[1:]],
            env={**os.environ, **environment, "KUBERNETES_EXEC_INFO": json.dumps(question)},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        hint = f"; {spec['installHint']}" if spec.get("installHint") else ""
        raise KubeconfigProblem(f"{where}: {program}: {error.strerror}{hint}") from error
    except ValueError as error:  # a null character in a word
        raise KubeconfigProblem(f"{where}: {error}") from error
    if done.returncode:
        raise KubeconfigProblem(f"{where}: {program} ended with code {done.returncode}")
    return _pair(done.stdout, spec["apiVersion"], where)


def _read(spec: Any, where: str) -> tuple[list[str], dict[str, str]]:
    """The command line and the variables; KubeconfigProblem for what is not understood."""
    if not isinstance(spec, dict) or not spec.get("command"):
        raise KubeconfigProblem(f"{where}: command is needed")
    if unknown := sorted(map(str, spec.keys() - _FIELDS)):
        raise KubeconfigProblem(f"{where}: {unknown[0]} is not known")
    if spec.get("apiVersion") not in VERSIONS:
        raise KubeconfigProblem(f"{where}: apiVersion {spec.get('apiVersion')!r}: use {' or '.join(VERSIONS)}")
    if spec.get("provideClusterInfo"):
        raise KubeconfigProblem(f"{where}: provideClusterInfo is not supported")
    arguments, variables = spec.get("args") or [], spec.get("env") or []
    if not isinstance(arguments, list) or not isinstance(variables, list):
        raise KubeconfigProblem(f"{where}: args and env are lists")
    environment = {}
    for each in variables:
        if not isinstance(each, Mapping) or not {"name", "value"} <= each.keys():
            raise KubeconfigProblem(f"{where}: env has entries of name and value")
        environment[str(each["name"])] = str(each["value"])
    return [str(spec["command"]), *map(str, arguments)], environment


def _pair(printed: bytes, version: str, where: str) -> tuple[bytes, bytes]:
    try:
        tree = json.loads(printed)
        status = tree.get("status") or {}
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
    except (ValueError, AttributeError) as error:
        raise KubeconfigProblem(f"{where}: what it printed is no ExecCredential in JSON") from error
    if tree.get("kind") != "ExecCredential" or tree.get("apiVersion") != version:
        raise KubeconfigProblem(f"{where}: what it printed is no ExecCredential of {version}")
    if isinstance(certificate, str) and isinstance(key, str) and certificate and key:
        return certificate.encode(), key.encode()
    if status.get("token"):
        raise KubeconfigProblem(f"{where}: it gives only a token; tim speaks gRPC and needs a client certificate")
    raise KubeconfigProblem(f"{where}: it gives no clientCertificateData and clientKeyData")
