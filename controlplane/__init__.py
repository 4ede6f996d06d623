"""One control-plane replica: API, admission, replicated state, watches, scheduler and controllers."""

import os

from component import without_rich  # noqa: F401 - before any module of ours imports structlog

# gRPC reads this when it is imported: without it every port scan and bad certificate writes lines of its own to our log.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
