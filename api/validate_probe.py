"""Rules for probes and lifecycle hooks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from api.container import Container
from api.errors import FieldError
from api.faults import check_choice, check_port, check_range, forbidden, invalid, required
from api.names import port_name_fault
from api.probe import HTTPGetAction, LifecycleHandler, Probe

_HEADER_NAME = re.compile(r"[-A-Za-z0-9]+")
_HANDLERS = (
    ("exec", "exec"),
    ("httpGet", "http_get"),
    ("tcpSocket", "tcp_socket"),
    ("grpc", "grpc"),
    ("sleep", "sleep"),
)


def probe_faults(container: Container, path: str, grace_seconds: int) -> Iterator[FieldError]:
    """Yield what is wrong with a container's probes and hooks; `grace_seconds` is the pod's."""
    for name, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe:
            yield from _probe_faults(probe, f"{path}.{name}", lasting=name == "readinessProbe")
    if container.lifecycle:
        for name, hook in (("postStart", container.lifecycle.post_start), ("preStop", container.lifecycle.pre_stop)):
            if hook:
                yield from _handler_faults(hook, f"{path}.lifecycle.{name}")
                if hook.sleep and not 0 <= hook.sleep.seconds <= grace_seconds:
                    why = f"must be between 0 and the pod's terminationGracePeriodSeconds ({grace_seconds})"
                    yield invalid(f"{path}.lifecycle.{name}.sleep.seconds", hook.sleep.seconds, why)


def _probe_faults(probe: Probe, path: str, *, lasting: bool) -> Iterator[FieldError]:
    yield from _handler_faults(probe, path)
    for name, value, low in (
        ("initialDelaySeconds", probe.initial_delay_seconds, 0),
        ("timeoutSeconds", probe.timeout_seconds, 1),
        ("periodSeconds", probe.period_seconds, 1),
        ("successThreshold", probe.success_threshold, 1),
        ("failureThreshold", probe.failure_threshold, 1),
        ("terminationGracePeriodSeconds", probe.termination_grace_period_seconds, 1),
    ):
        yield from check_range(f"{path}.{name}", value, low)
    if lasting and probe.termination_grace_period_seconds is not None:
        yield forbidden(f"{path}.terminationGracePeriodSeconds", "must not be set for readinessProbes")
    if not lasting and probe.success_threshold not in {None, 1}:
        yield invalid(f"{path}.successThreshold", probe.success_threshold, "must be 1")


def _handler_faults(handler: Probe | LifecycleHandler, path: str) -> Iterator[FieldError]:
    given = [name for name, attribute in _HANDLERS if getattr(handler, attribute, None)]
    if not given:
        yield required(path, "must specify a handler type")
    for name in given[1:]:
        yield forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
    if handler.exec and not handler.exec.command:
        yield required(f"{path}.exec.command")
    if handler.http_get:
        yield from _http_faults(handler.http_get, f"{path}.httpGet")
    if handler.tcp_socket:
        yield from check_port(f"{path}.tcpSocket.port", handler.tcp_socket.port, port_name_fault)
    if isinstance(handler, Probe) and handler.grpc:
        yield from check_port(f"{path}.grpc.port", handler.grpc.port, port_name_fault)


def _http_faults(action: HTTPGetAction, path: str) -> Iterator[FieldError]:
    if not action.path:
        yield required(f"{path}.path")
    yield from check_port(f"{path}.port", action.port, port_name_fault)
    yield from check_choice(f"{path}.scheme", action.scheme, ("HTTP", "HTTPS"))
    for index, header in enumerate(action.http_headers):
        if not _HEADER_NAME.fullmatch(header.name):
            why = "a valid HTTP header must consist of alphanumeric characters or '-' (such as 'X-Header-Name')"
            yield invalid(f"{path}.httpHeaders[{index}].name", header.name, why)
        if "\r" in header.value or "\n" in header.value:
            yield invalid(f"{path}.httpHeaders[{index}].value", header.value, "must be one line")
