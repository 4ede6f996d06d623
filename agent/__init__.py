"""The node agent: turns pod assignments into containers and reports what it sees."""

import os

from component import without_rich  # noqa: F401 - before any module of ours imports structlog

# gRPC reads these when it is imported. Without the first every port scan and bad certificate writes lines of its own to our log.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
# Without the second its handlers run in every child that uvloop forks, and one in six of a busy agent's children, probes and
# hooks, dies of them before it becomes the program that was meant (github.com/grpc/grpc/issues/43055).
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
