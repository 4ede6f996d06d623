"""What the entry of a user in a kubeconfig says: with which key and certificate, from where, and as whom.

gRPC knows its callers by certificates only. What gives something else (tokens, passwords) is refused by name.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from component.kubeconfig_problem import KubeconfigProblem

_OTHERS = {
    "token": "a token",
    "tokenFile": "a token",
    "username": "a password",
    "password": "a password",
    "auth-provider": "an auth-provider",
}


def proof_of(user: Mapping[str, Any], name: str, path: Path) -> tuple[bytes, bytes]:
    """Certificate and key of a user, PEM; asks the program in `exec` when there is no certificate. KubeconfigProblem."""
    if user.keys() & {"client-certificate", "client-certificate-data"}:
        return material(user, "client-certificate", path), material(user, "client-key", path)
    if "exec" in user:
        from component.exec_credential import ask  # noqa: PLC0415 - few have a program for this

        return ask(user["exec"], f"{path}: user {name!r}: exec", path.parent)
    for field, what in _OTHERS.items():
        if field in user:
            raise KubeconfigProblem(
                f"{path}: user {name!r} has only {what} ({field}), which counts over HTTPS; tim speaks gRPC and needs a "
                "client certificate"
            )
    return material(user, "client-certificate", path), material(user, "client-key", path)


def acting_of(user: Mapping[str, Any], name: str, path: Path) -> tuple[str, tuple[str, ...]]:
    """Whom the user acts as (`as`), and the groups of those (`as-groups`); ("", ()) for themselves. KubeconfigProblem."""
    for field in ("as-uid", "as-user-extra"):
        if user.get(field):
            raise KubeconfigProblem(f"{path}: user {name!r}: {field} is not supported; as and as-groups are")
    groups = user.get("as-groups") or ()
    if not isinstance(groups, list | tuple):
        raise KubeconfigProblem(f"{path}: user {name!r}: as-groups is no list")
    acting = str(user.get("as") or "")
    if groups and not acting:
        raise KubeconfigProblem(f"{path}: user {name!r}: as-groups needs as: groups are those of a user")
    return acting, tuple(map(str, groups))


def material(entry: Mapping[str, Any], name: str, path: Path) -> bytes:
    """What `NAME-data` holds, or the file that `name` names, beside the kubeconfig if it is relative. KubeconfigProblem."""
    if f"{name}-data" in entry:
        try:
            return base64.b64decode(str(entry[f"{name}-data"]), validate=True)
        except ValueError as error:
            raise KubeconfigProblem(f"{path}: {name}-data is not base64") from error
    if name in entry:
        source = path.parent / str(entry[name])
        try:
            return source.read_bytes()
        except OSError as error:
            raise KubeconfigProblem(f"{path}: {name}: {source}: {error.strerror}") from error
        except ValueError as error:
            raise KubeconfigProblem(f"{path}: {name}: {str(source)!r} is no path") from error
    raise KubeconfigProblem(f"{path}: no {name} or {name}-data")
