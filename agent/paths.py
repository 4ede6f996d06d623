"""Where the agent keeps what belongs to pods. Pure: knows names, touches nothing.

`data_dir` outlives a boot, `run_dir` is a tmpfs: Secrets and memory volumes stand only there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SECRET_FOLDER_MODE = 0o700


@dataclass(frozen=True, slots=True)
class Paths:
    """The agent's two folders."""

    data_dir: Path
    run_dir: Path

    @property
    def checkpoint(self) -> Path:
        """The journal of inputs, without Secrets."""
        return self.data_dir / "checkpoint"

    @property
    def secrets(self) -> Path:
        """The journal of Secrets."""
        return self.run_dir / "secrets"

    @property
    def pods(self) -> Path:
        """One folder per pod, named by uid."""
        return self.data_dir / "pods"

    @property
    def memory_pods(self) -> Path:
        """The part of `pods` that must not reach a disk."""
        return self.run_dir / "pods"

    def pod(self, uid: str) -> Path:
        """Everything of one pod."""
        return self.pods / uid

    def volume(self, uid: str, name: str) -> Path:
        """A volume on disk."""
        return self.pods / uid / "volumes" / name

    def sub_path(self, uid: str, container: str, index: int) -> Path:
        """Where the subPath of a container's mount is bound; no volume has such a name."""
        return self.pods / uid / "volumes" / "..sub-paths" / container / str(index)

    def memory_volume(self, uid: str, name: str) -> Path:
        """A volume in memory."""
        return self.memory_pods / uid / "volumes" / name

    def etc(self, uid: str) -> Path:
        """The pod's hosts, hostname and resolv.conf."""
        return self.pods / uid / "etc"

    def log(self, uid: str, container: str, attempt: int) -> Path:
        """The log of one attempt."""
        return self.pods / uid / "logs" / container / f"{attempt}.log"

    def message(self, uid: str, container: str, attempt: int) -> Path:
        """The file in which one attempt may leave its last words."""
        return self.pods / uid / "logs" / container / f"{attempt}.message"
