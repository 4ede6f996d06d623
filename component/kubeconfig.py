"""The client configuration file: Kubernetes' kubeconfig format, which kubectl reads too.

A cluster entry's `server` is one HTTPS address for kubectl; `tim` finds the gRPC addresses of all replicas in the
entry's extension `timonier.dev/replicas`.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api import manifest
from api.errors import Invalid
from component.files import write_private
from component.kubeconfig_problem import KubeconfigProblem
from component.kubeconfig_users import acting_of, material, proof_of

EXTENSION = "timonier.dev/replicas"
_NOT_SO = {
    "proxy-url": "tim connects to the replicas themselves",
    "insecure-skip-tls-verify": "tim always knows whom it speaks to; name the certificate-authority",
}
"""Fields of a cluster that would have to count for `tim`, too, and do not."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One context, resolved: where the cluster is, how to trust it, who we are."""

    context: str
    cluster: str
    user: str
    namespace: str
    endpoints: tuple[str, ...]  # host:port of gRPC, one per replica
    ca_pem: bytes
    cert_pem: bytes
    key_pem: bytes
    path: Path
    acting_user: str = ""
    acting_groups: tuple[str, ...] = ()


def default_path(environ: Mapping[str, str]) -> Path:
    """$TIMCONFIG, ~/.tim/config if it exists, $KUBECONFIG, else ~/.tim/config."""
    if environ.get("TIMCONFIG"):
        return Path(environ["TIMCONFIG"])
    own = Path(environ.get("HOME", "/root")) / ".tim" / "config"
    if not own.exists() and (listed := listed_paths(environ)):
        return listed[0]
    return own


def listed_paths(environ: Mapping[str, str]) -> list[Path]:
    """The files that $KUBECONFIG names; empty names say nothing."""
    return [Path(each) for each in environ.get("KUBECONFIG", "").split(os.pathsep) if each]


def read(path: Path) -> dict[str, Any]:
    """Return the file's tree; raises KubeconfigProblem when there is none or it is not one."""
    try:
        tree = manifest.load_value(path.read_bytes(), str(path), may_be_empty=True)
    except FileNotFoundError as error:
        raise KubeconfigProblem(
            f"no client configuration at {path}: set TIMCONFIG, or copy admin.conf from a replica there"
        ) from error
    except OSError as error:
        raise KubeconfigProblem(f"{path}: {error.strerror}") from error
    except Invalid as error:
        raise KubeconfigProblem(str(error)) from error
    if not isinstance(tree, dict):
        raise KubeconfigProblem(f"{path}: not a kubeconfig: expected kind Config")
    return tree


def resolve(tree: Mapping[str, Any], path: Path, context: str = "") -> Credentials:
    """Return the named (or current) context's credentials; raises KubeconfigProblem naming what is missing."""
    name = context or str(tree.get("current-context") or "")
    if not name:
        raise KubeconfigProblem(f"{path}: no current-context: choose one with `tim config use-context NAME`")
    entry = _inside(named(tree, "contexts", name, path), "context", path)
    cluster_name, user_name = str(entry.get("cluster", "")), str(entry.get("user", ""))
    cluster = _inside(named(tree, "clusters", cluster_name, path), "cluster", path)
    user = _inside(named(tree, "users", user_name, path), "user", path)
    for field, why in _NOT_SO.items():
        if cluster.get(field):
            raise KubeconfigProblem(f"{path}: cluster {cluster_name!r}: {field} is not supported: {why}")
    endpoints, ca_pem = _endpoints(cluster, path), material(cluster, "certificate-authority", path)
    acting = acting_of(user, user_name, path)
    return Credentials(
        name,
        cluster_name,
        user_name,
        str(entry.get("namespace") or "default"),
        endpoints,
        ca_pem,
        *proof_of(user, user_name, path),
        path,
        *acting,
    )


def build(
    cluster: str, server: str, endpoints: Sequence[str], ca_pem: bytes, user: str, cert_pem: bytes, key_pem: bytes
) -> dict[str, Any]:
    """A kubeconfig with one cluster, one user and the context `user@cluster`."""
    context = f"{user}@{cluster}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {
                    "server": server,
                    "tls-server-name": "api.timonier.internal",
                    "certificate-authority-data": base64.b64encode(ca_pem).decode(),
                    "extensions": [{"name": EXTENSION, "extension": {"endpoints": list(endpoints)}}],
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": base64.b64encode(cert_pem).decode(),
                    "client-key-data": base64.b64encode(key_pem).decode(),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
        "current-context": context,
    }


def cluster_of(tree: Mapping[str, Any], path: Path, context: str = "") -> str:
    """The name of the cluster of the named (or current) context; raises KubeconfigProblem."""
    name = context or str(tree.get("current-context") or "")
    return str(_inside(named(tree, "contexts", name, path), "context", path).get("cluster", ""))


def minified(tree: Mapping[str, Any], path: Path, context: str = "") -> dict[str, Any]:
    """Only the named (or current) context with its cluster and user; raises KubeconfigProblem when one is missing."""
    name = context or str(tree.get("current-context") or "")
    if not name:
        raise KubeconfigProblem(f"{path}: no current-context: choose one with `tim config use-context NAME`")
    entry = named(tree, "contexts", name, path)
    inside = _inside(entry, "context", path)
    return {
        **tree,
        "clusters": [named(tree, "clusters", str(inside.get("cluster", "")), path)],
        "users": [named(tree, "users", str(inside.get("user", "")), path)],
        "contexts": [entry],
        "current-context": name,
    }


def with_endpoints(
    tree: Mapping[str, Any], path: Path, cluster: str, endpoints: Sequence[str]
) -> dict[str, Any] | None:
    """The configuration with other replica addresses for a cluster ("": the current one); None when they are the same.

    `server`, which kubectl uses, follows when its host is no replica any more. Raises KubeconfigProblem.
    """
    cluster = cluster or cluster_of(tree, path)
    known = _endpoints(_inside(named(tree, "clusters", cluster, path), "cluster", path), path)
    if set(known) == set(endpoints):
        return None
    clusters = []
    for entry in entries(tree, "clusters"):
        if entry["name"] == cluster:
            inside = _inside(entry, "cluster", path)
            others = [each for each in _extensions(inside) if each.get("name") != EXTENSION]
            extension = {"name": EXTENSION, "extension": {"endpoints": list(endpoints)}}
            server = _server_among(str(inside.get("server", "")), known, endpoints)
            changed = {**inside, "server": server, "extensions": [*others, extension]}
            clusters.append({**entry, "cluster": changed})
        else:
            clusters.append(entry)
    return {**tree, "clusters": clusters}


def _server_among(server: str, before: Sequence[str], now: Sequence[str]) -> str:
    """The HTTPS address, on another replica's host when its own was a replica's and is none any more."""
    scheme, _, rest = server.partition("://")
    host, _, port = rest.rpartition(":")
    was, is_ = ({each.rpartition(":")[0] for each in known} for known in (before, now))
    if host not in was or host in is_:
        return server
    return f"{scheme}://{now[0].rpartition(':')[0]}:{port}"


def write(tree: Mapping[str, Any], path: Path) -> None:
    """Replace the file in one step, readable by its owner only; raises KubeconfigProblem when that cannot be."""
    text = yaml.safe_dump(dict(tree), sort_keys=False)
    try:
        manifest.load_value(text, str(path))
        write_private(path, text.encode())
    except Invalid as error:  # a name with half a character
        raise KubeconfigProblem(f"{path}: it could not be read again with a name that is no text") from error
    except OSError as error:
        raise KubeconfigProblem(f"{path}: {error.strerror}") from error


def entries(tree: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    """The entries of `clusters`, `users` or `contexts` that have a name, in order."""
    listed = tree.get(section)
    return [each for each in listed if isinstance(each, dict) and "name" in each] if isinstance(listed, list) else []


def named(tree: Mapping[str, Any], section: str, name: str, path: Path) -> dict[str, Any]:
    """The entry of that name; raises KubeconfigProblem with the names there are."""
    known = entries(tree, section)
    for entry in known:
        if entry["name"] == name:
            return entry
    names = ", ".join(str(entry["name"]) for entry in known) or "none"
    raise KubeconfigProblem(f"{path}: no {section[:-1]} named {name!r}; there are: {names}")


def _inside(entry: Mapping[str, Any], field: str, path: Path) -> dict[str, Any]:
    inside = entry.get(field) or {}
    if not isinstance(inside, dict):
        raise KubeconfigProblem(f"{path}: {field} {entry['name']!r} is no mapping")
    return inside


def _extensions(cluster: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = cluster.get("extensions")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _endpoints(cluster: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    for extension in _extensions(cluster):
        if extension.get("name") == EXTENSION:
            inside = extension.get("extension")
            listed = inside.get("endpoints") if isinstance(inside, dict) else None
            if isinstance(listed, list) and listed:
                return tuple(str(endpoint) for endpoint in listed)
            raise KubeconfigProblem(f"{path}: the extension {EXTENSION} names no endpoints")
    raise KubeconfigProblem(f"{path}: the cluster has no extension {EXTENSION}: it is not a Timonier cluster")
