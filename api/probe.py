"""How the agent asks a container how it is, and what runs at the turns of its life."""

from __future__ import annotations

from api.meta import IntOrString, Resource, required


class ExecAction(Resource):
    """A command run inside the container, without a shell; exit code 0 is success."""

    command: tuple[str, ...] = ()


class HTTPHeader(Resource):
    """One request header."""

    name: str = required("")
    value: str = required("")


class HTTPGetAction(Resource):
    """A GET request; any status from 200 to 399 is success. `port` is a number or a container port's name."""

    port: IntOrString = required(0)
    protocol: str | None = None
    host: str | None = None
    http_headers: tuple[HTTPHeader, ...] = ()
    path: str | None = None
    scheme: str | None = None


class TCPSocketAction(Resource):
    """Success is that a TCP connection opens. `port` is a number or a container port's name."""

    port: IntOrString = required(0)
    host: str | None = None


class GRPCAction(Resource):
    """The standard gRPC health check of `service`."""

    port: int = required(0)
    mode: str | None = None
    service: str | None = None


class SleepAction(Resource):
    """Waits `seconds` before the container is stopped."""

    seconds: int = required(0)


class Probe(Resource):
    """A repeated check; exactly one of the actions is given.

    Times are whole seconds. Thresholds count consecutive results needed to change the verdict.
    """

    exec: ExecAction | None = None
    failure_threshold: int | None = None
    grpc: GRPCAction | None = None
    http_get: HTTPGetAction | None = None
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    tcp_socket: TCPSocketAction | None = None
    termination_grace_period_seconds: int | None = None
    timeout_seconds: int | None = None


class LifecycleHandler(Resource):
    """What to run; exactly one of the actions is given."""

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: TCPSocketAction | None = None


class Lifecycle(Resource):
    """Hooks after start and before stop; `stop_signal` replaces the image's."""

    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None
