"""What `tim reset` removes. Pure: configurations and what exists in, a list of steps out; nothing is touched here.

The order matters: programs that would put things back stop first, configuration goes last, so that a reset that was
interrupted can be run again and still knows what to remove.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.config import PODMAN_SOCKET, AgentConfig
from controlplane.config import ServerConfig

AGENT_UNITS = ("timonier-agent.service",)
SERVER_UNITS = ("timonier-api.service", "timonier-raft.service")
PODMAN_UNIT = "timonier-podman.service"
PODMAN_FOLDERS = (Path("/var/lib/timonier/storage"), Path("/run/timonier/storage"), Path("/run/timonier/podman"))
"""Of the Podman that deploy/timonier-podman.service runs; another Podman's images are not ours to remove."""

SHARED_FOLDERS = (Path("/var/lib/timonier"), Path("/run/timonier"))
"""Removed when nothing is left in them."""

MADE_FILES = ("bundles", "admin.conf", "pki", "server.yaml", "agent.yaml")
"""What `tim init` and `tim join` write; the configurations last, because a second run starts from them."""

Action = Literal["stop", "containers", "network", "remove", "remove if empty"]


class ResetProblem(Exception):
    """It cannot be said what is safe to remove; the message names the field and the remedy."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; `subject` is a unit, a socket or a path."""

    action: Action
    subject: str = ""

    def __str__(self) -> str:
        """As the user reads it."""
        words = {
            "stop": f"stop and disable {self.subject}",
            "containers": f"remove all pods' containers from the Podman at {self.subject}",
            "network": "remove our links, routes, addresses and nftables table",
            "remove": f"remove {self.subject}",
            "remove if empty": f"remove {self.subject} if nothing else is in it",
        }
        return words[self.action]


def plan(
    agent: AgentConfig | None,
    server: ServerConfig | None,
    directory: Path,
    *,
    units: Collection[str],
    exists: Callable[[Path], bool],
) -> list[Step]:
    """Every step that undoes `tim init` and `tim join` here; [] when nothing is left.

    `units` are the systemd units there are. ResetProblem for folders that cannot be ours alone.
    """
    programs = (AGENT_UNITS if agent is not None else ()) + (SERVER_UNITS if server is not None else ())
    steps = [Step("stop", unit) for unit in programs if unit in units]
    folders: list[Path] = []
    if agent is not None:
        steps += [Step("containers", agent.podman_socket), Step("network")]
        folders += [_own(agent.data_dir, "data_dir", directory), _own(agent.run_dir, "run_dir", directory)]
    if agent is not None and PODMAN_UNIT in units:
        steps.append(Step("stop", PODMAN_UNIT))
    if agent is not None and agent.podman_socket == PODMAN_SOCKET:
        folders += PODMAN_FOLDERS
    if server is not None:
        folders += [_own(server.data_dir, "data_dir", directory), _own(server.run_dir, "run_dir", directory)]
    folders += [directory / name for name in MADE_FILES]
    steps += [Step("remove", str(path)) for path in dict.fromkeys(folders) if exists(path)]
    if not steps:
        return []
    left = SHARED_FOLDERS if agent is not None or server is not None else ()
    emptied = [path for path in (*left, directory) if exists(path) and Step("remove", str(path)) not in steps]
    return steps + [Step("remove if empty", str(path)) for path in emptied]


def _own(text: str, field: str, directory: Path) -> Path:
    """A folder from a configuration, refused when removing it could remove what is not ours."""
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise ResetProblem(f"{field} {text!r} is no absolute path: remove it by hand")
    if len(path.parts) <= 3 and "timonier" not in path.name:
        raise ResetProblem(f"{field} {text!r} may hold more than Timonier's files: remove those by hand")
    if directory == path or path in directory.parents:
        raise ResetProblem(f"{field} {text!r} holds the configuration in {directory}: remove it by hand")
    return path
