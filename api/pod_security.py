"""The Pod Security Standards: what a pod does that a level does not allow (Kubernetes: "Pod Security Standards").

Pure. Only fields that are honoured here are looked at; the others that the standards speak of (SELinux, AppArmor, sysctls,
`procMount`, Windows) are refused in any pod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from api.container import Container
from api.pod import PodSpec
from api.pod_containers import every_container
from api.probe import LifecycleHandler, Probe
from api.shape import fields
from api.volume import Volume

LEVELS = ("privileged", "baseline", "restricted")

BASELINE_CAPABILITIES = frozenset(
    (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
RESTRICTED_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
RESTRICTED_VOLUMES = frozenset(
    (
        *("config_map", "csi", "downward_api", "empty_dir", "ephemeral", "image", "persistent_volume_claim"),
        *("projected", "secret"),
    )
)
_CONFINED = frozenset({"RuntimeDefault", "Localhost"})


def violations(level: str, pod: PodSpec, minor: int) -> list[str]:
    """What the standards of version 1.`minor` do not allow, in Kubernetes' words: `reason (details)`, baseline first."""
    rules = {"privileged": (), "baseline": _BASELINE, "restricted": (*_BASELINE, *_RESTRICTED)}[level]
    found = ((reason, "; ".join(rule(pod))) for since, reason, rule in rules if minor >= since)
    return [f"{reason} ({details})" for reason, details in found if details]


def _containers(pod: PodSpec) -> Sequence[Container]:
    return every_container(pod)


def _named(what: str, names: Sequence[str], one: str, many: str = "") -> Iterator[str]:
    """`container "a" must ...`, `containers "a", "b" must ...`; nothing for none."""
    if names:
        plural = "s" if len(names) > 1 else ""
        quoted = ", ".join(f'"{name}"' for name in names)
        yield f"{what}{plural} {quoted} {many if plural and many else one}"


def _capabilities(pod: PodSpec) -> Iterator[str]:
    yield from _added(pod, BASELINE_CAPABILITIES)


def _added(pod: PodSpec, allowed: frozenset[str]) -> Iterator[str]:
    names, added = [], set()
    for container in _containers(pod):
        context = container.security_context
        more = set(context.capabilities.add) - allowed if context and context.capabilities else set()
        if more:
            names.append(container.name)
            added |= more
    quoted = ", ".join(f'"{name}"' for name in sorted(added))
    yield from _named("container", names, f"must not include {quoted} in securityContext.capabilities.add")


def _host_namespaces(pod: PodSpec) -> Iterator[str]:
    used = (("hostNetwork", pod.host_network), ("hostPID", pod.host_pid), ("hostIPC", pod.host_ipc))
    if names := [f"{name}=true" for name, value in used if value]:
        yield ", ".join(names)


def _host_paths(pod: PodSpec) -> Iterator[str]:
    names = [volume.name for volume in pod.volumes if volume.host_path]
    if names:
        yield f"volume{'s' if len(names) > 1 else ''} {', '.join(map(_quoted, names))}"


def _host_ports(pod: PodSpec) -> Iterator[str]:
    using = {c.name: [p.host_port for p in c.ports if p.host_port] for c in _containers(pod)}
    names = [name for name, ports in using.items() if ports]
    ports = sorted({port for each in using.values() for port in each})
    shown = f"hostPort{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))}"
    yield from _named("container", names, f"uses {shown}", f"use {shown}")


def _hosts(pod: PodSpec) -> Iterator[str]:
    names = [container.name for container in _containers(pod) if any(_asked_hosts(container))]
    field = "host in probes or lifecycle hooks"
    yield from _named("container", names, f"must not set {field}")


def _asked_hosts(container: Container) -> Iterator[str]:
    actions: list[Probe | LifecycleHandler | None] = [
        *(container.liveness_probe, container.readiness_probe, container.startup_probe),
    ]
    if container.lifecycle:
        actions += [container.lifecycle.post_start, container.lifecycle.pre_stop]
    for action in actions:
        if action is not None:
            yield (action.http_get.host if action.http_get else "") or ""
            yield (action.tcp_socket.host if action.tcp_socket else "") or ""


def _privileged(pod: PodSpec) -> Iterator[str]:
    names = [c.name for c in _containers(pod) if c.security_context and c.security_context.privileged]
    yield from _named("container", names, "must not set securityContext.privileged=true")


def _escalation(pod: PodSpec) -> Iterator[str]:
    names = [
        c.name
        for c in _containers(pod)
        if c.security_context is None or c.security_context.allow_privilege_escalation is not False
    ]
    yield from _named("container", names, "must set securityContext.allowPrivilegeEscalation=false")


def _restricted_capabilities(pod: PodSpec) -> Iterator[str]:
    names = []
    for container in _containers(pod):
        context = container.security_context
        if "ALL" not in (context.capabilities.drop if context and context.capabilities else ()):
            names.append(container.name)
    yield from _named("container", names, 'must set securityContext.capabilities.drop=["ALL"]')
    yield from _added(pod, RESTRICTED_CAPABILITIES)


def _restricted_volumes(pod: PodSpec) -> Iterator[str]:
    used = {volume.name: kind for volume in pod.volumes if (kind := _volume_kind(volume)) not in RESTRICTED_VOLUMES}
    names = dict(zip(Volume.__struct_fields__, fields(Volume), strict=True))
    kinds = ", ".join(_quoted(names[kind]) for kind in sorted(set(used.values())))
    types = f"restricted volume type{'s' if len(set(used.values())) > 1 else ''} {kinds}"
    yield from _named("volume", list(used), f"uses {types}", f"use {types}")


def _volume_kind(volume: Volume) -> str:
    sources = (name for name in Volume.__struct_fields__ if name != "name" and getattr(volume, name) is not None)
    return next(sources, "empty_dir")


def _non_root(pod: PodSpec) -> Iterator[str]:
    own = pod.security_context.run_as_non_root if pod.security_context else None
    if own is False:
        yield "pod must not set securityContext.runAsNonRoot=false"
    said = {c.name: c.security_context.run_as_non_root if c.security_context else None for c in _containers(pod)}
    wrong = [name for name, value in said.items() if value is False]
    yield from _named("container", wrong, "must not set securityContext.runAsNonRoot=false")
    if not own:
        silent = [name for name, value in said.items() if value is None]
        yield from _named("pod or container", silent, "must set securityContext.runAsNonRoot=true")


def _root_user(pod: PodSpec) -> Iterator[str]:
    if pod.security_context and pod.security_context.run_as_user == 0:
        yield "pod must not set runAsUser=0"
    names = [c.name for c in _containers(pod) if c.security_context and c.security_context.run_as_user == 0]
    yield from _named("container", names, "must not set runAsUser=0")


def _seccomp(pod: PodSpec) -> Iterator[str]:
    profile = pod.security_context.seccomp_profile if pod.security_context else None
    if profile is not None and profile.type in _CONFINED:
        return
    names = []
    for container in _containers(pod):
        own = container.security_context.seccomp_profile if container.security_context else None
        if own is None or own.type not in _CONFINED:
            names.append(container.name)
    wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    yield from _named("pod or container", names, wanted)


def _quoted(name: str) -> str:
    return f'"{name}"'


_Rule = Callable[[PodSpec], Iterator[str]]

_BASELINE: Sequence[tuple[int, str, _Rule]] = (
    (1, "non-default capabilities", _capabilities),
    (1, "host namespaces", _host_namespaces),
    (1, "hostPath volumes", _host_paths),
    (1, "hostPort", _host_ports),
    (34, "probe or lifecycle host", _hosts),
    (1, "privileged", _privileged),
)

_RESTRICTED: Sequence[tuple[int, str, _Rule]] = (
    (8, "allowPrivilegeEscalation != false", _escalation),
    (22, "unrestricted capabilities", _restricted_capabilities),
    (1, "restricted volume types", _restricted_volumes),
    (1, "runAsNonRoot != true", _non_root),
    (23, "runAsUser=0", _root_user),
    (19, "seccompProfile", _seccomp),
)
"""The minor version that brought each rule, its reason, and what finds the details."""
