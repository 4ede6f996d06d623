"""Podman's descriptions of containers, read into ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.runtime.protocol import Container, ContainerState
from agent.runtime.spec import (
    LABEL_ATTEMPT,
    LABEL_CONTAINER,
    LABEL_LOG_PATH,
    LABEL_POD_UID,
    LABEL_SANDBOX,
    LABEL_SPEC_HASH,
)
from api.stop_signals import STOP_SIGNALS

_STATES: Mapping[str, ContainerState] = {
    "configured": "created",
    "created": "created",
    "initialized": "created",
    "running": "running",
    "paused": "running",
    "stopping": "running",
    "stopped": "exited",
    "exited": "exited",
}


@dataclass(frozen=True, slots=True)
class Inspected:
    """A container and where Podman and conmon keep its files."""

    container: Container
    conmon_pid: int  # 0 when not running
    static_dir: str  # holds conmon's control FIFO
    cgroup_parent: str


def from_inspect(tree: Mapping[str, Any]) -> Inspected:
    """Read an answer of GET /containers/ID/json."""
    state = tree["State"]
    name = _STATES.get(state["Status"], "unknown")
    started_time = instant(state.get("StartedAt", ""))
    container = _labelled(
        tree["Config"].get("Labels") or {},
        id=tree["Id"],
        state=name,
        image=tree.get("ImageName", ""),
        image_id=tree.get("Image", ""),
        pid=state.get("Pid", 0) if name == "running" else 0,
        created_time=instant(tree.get("Created", "")),
        started_time=started_time,
        # Read from a file's time, which lags by up to one tick (4 ms).
        finished_time=max(instant(state.get("FinishedAt", "")), started_time) if name == "exited" else 0.0,
        exit_code=state.get("ExitCode", 0),
        oom_killed=bool(state.get("OOMKilled")),
        message=state.get("Error", ""),
        stop_signal=_signal_number(tree["Config"].get("StopSignal")),
    )
    return Inspected(
        container=container,
        conmon_pid=state.get("ConmonPid", 0) if name == "running" else 0,
        static_dir=tree.get("StaticDir", ""),
        cgroup_parent=tree.get("HostConfig", {}).get("CgroupParent", ""),
    )


def from_list(tree: Mapping[str, Any]) -> Container:
    """Read one element of GET /containers/json; its instants are whole seconds."""
    name = _STATES.get(tree["State"], "unknown")
    return _labelled(
        tree.get("Labels") or {},
        id=tree["Id"],
        state=name,
        image=tree.get("Image", ""),
        image_id=tree.get("ImageID", ""),
        pid=tree.get("Pid", 0) if name == "running" else 0,
        created_time=instant(tree.get("Created", "")),
        started_time=float(max(0, tree.get("StartedAt", 0))),
        finished_time=float(max(0, tree.get("ExitedAt", 0))) if name == "exited" else 0.0,
        exit_code=tree.get("ExitCode", 0) if name == "exited" else 0,
    )


def instant(text: str) -> float:
    """Seconds since the epoch of a Go timestamp such as 2025-01-15T08:30:00.123456789+01:00; 0.0 for Go's zero time."""
    if not text or text.startswith("0001-"):
        return 0.0
    whole, _, rest = text.partition(".")
    if not rest:
        return datetime.fromisoformat(text).timestamp()
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return datetime.fromisoformat(whole + rest[digits:]).timestamp() + float(f"0.{rest[:digits]}")


def _signal_number(value: int | str | None) -> int:
    """Podman 4 writes a number, 5 a name; 0 for what is neither."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() else STOP_SIGNALS.get(value.upper(), 0)
    return value or 0


def _labelled(labels: Mapping[str, str], **facts: Any) -> Container:
    attempt = labels.get(LABEL_ATTEMPT, "")
    return Container(
        pod_uid=labels.get(LABEL_POD_UID, ""),
        name=labels.get(LABEL_CONTAINER, ""),
        attempt=int(attempt) if attempt.isdecimal() else 0,
        spec_hash=labels.get(LABEL_SPEC_HASH, ""),
        log_path=labels.get(LABEL_LOG_PATH, ""),
        sandbox_id=labels.get(LABEL_SANDBOX, ""),
        **facts,
    )
