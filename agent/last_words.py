"""What a container leaves behind as its termination message."""

from __future__ import annotations

from agent.logs import last_lines
from agent.paths import Paths
from agent.runtime.protocol import Container
from agent.volumes import read_message
from api.core import Container as ContainerSpec

FALLBACK_BYTES = 2048
FALLBACK_LINES = 80


def last_words(paths: Paths, container: Container, spec: ContainerSpec | None) -> str:
    """The file at terminationMessagePath, or the end of the log if the container's policy says so and it failed."""
    message = read_message(paths, container.pod_uid, container.name, container.attempt)
    fallback = spec is not None and spec.termination_message_policy == "FallbackToLogsOnError"
    if message or not fallback or container.exit_code == 0:
        return message
    path = paths.log(container.pod_uid, container.name, container.attempt)
    return last_lines(path, FALLBACK_BYTES, FALLBACK_LINES)
