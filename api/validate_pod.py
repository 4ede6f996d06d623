"""Rules for pods and pod templates, and for what may change in a pod that exists."""

from __future__ import annotations

from collections.abc import Iterator

from api.affinity import Toleration
from api.container import Container
from api.defaults_pod import default_pod
from api.errors import FieldError
from api.faults import check_choice, check_labels, check_range, check_text, check_unique, forbidden, invalid, required
from api.names import dns_label_fault, dns_subdomain_fault, label_value_fault, qualified_name_fault
from api.object import Tree
from api.pod import Pod, PodSpec
from api.stop_signals import STOP_SIGNALS
from api.validate_annotations import pod_annotation_faults
from api.validate_container import ID_LIMIT, container_faults, host_port_faults
from api.validate_dns import dns_faults
from api.validate_ephemeral import ephemeral_container_faults
from api.validate_init import init_container_faults
from api.validate_volume import volume_faults

RESTART_POLICIES = ("Always", "OnFailure", "Never")
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_GROUP_ALONE = "not supported yet without `runAsUser`"
_CHANGEABLE = (
    "`spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, "
    "`spec.tolerations` (only additions to existing tolerations)"
)
_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


def pod_faults(pod: Pod) -> Iterator[FieldError]:
    """Yield what is wrong with a pod."""
    yield from pod_annotation_faults(pod.metadata.annotations, "metadata.annotations")
    yield from pod_spec_faults(pod.spec, "spec")


def pod_spec_faults(spec: PodSpec, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the spec of a pod or template."""
    yield from volume_faults(spec.volumes, f"{path}.volumes")
    if not spec.containers:
        yield required(f"{path}.containers")
    volumes = frozenset(volume.name for volume in spec.volumes)
    grace_seconds = 30 if spec.termination_grace_period_seconds is None else spec.termination_grace_period_seconds
    for index, container in enumerate(spec.containers):
        yield from container_faults(container, f"{path}.containers[{index}]", volumes, grace_seconds)
    yield from check_unique(f"{path}.containers[{{}}].name", (container.name for container in spec.containers))
    side_by_side = [(f"{path}.containers[{index}]", container) for index, container in enumerate(spec.containers)]
    yield from host_port_faults(side_by_side, host_network=bool(spec.host_network))
    yield from init_container_faults(spec, path, volumes, grace_seconds)
    yield from ephemeral_container_faults(spec, path, volumes)
    yield from check_choice(f"{path}.restartPolicy", spec.restart_policy, RESTART_POLICIES)
    yield from dns_faults(spec, path)
    yield from check_range(f"{path}.terminationGracePeriodSeconds", spec.termination_grace_period_seconds, 0)
    yield from check_range(f"{path}.activeDeadlineSeconds", spec.active_deadline_seconds, 1, ID_LIMIT)
    yield from check_labels(f"{path}.nodeSelector", spec.node_selector)
    for name, value, fault in (
        ("nodeName", spec.node_name, dns_subdomain_fault),
        ("serviceAccountName", spec.service_account_name, dns_subdomain_fault),
        ("hostname", spec.hostname, dns_label_fault),
        ("subdomain", spec.subdomain, dns_label_fault),
        ("schedulerName", spec.scheduler_name, qualified_name_fault),
        ("priorityClassName", spec.priority_class_name, dns_subdomain_fault),
    ):
        yield from check_text(f"{path}.{name}", value, fault, optional=True)
    for index, toleration in enumerate(spec.tolerations):
        yield from _toleration_faults(toleration, f"{path}.tolerations[{index}]")
    for index, gate in enumerate(spec.readiness_gates):
        yield from check_text(
            f"{path}.readinessGates[{index}].conditionType", gate.condition_type, qualified_name_fault
        )
    if spec.os and not spec.os.name:
        yield required(f"{path}.os.name", "cannot be empty")
    yield from _stop_signal_faults(spec, path)
    yield from _node_term_faults(spec, path)
    yield from _group_faults(spec, path)
    if context := spec.security_context:
        where = f"{path}.securityContext"
        yield from check_range(f"{where}.runAsUser", context.run_as_user, 0, ID_LIMIT)
        yield from check_range(f"{where}.runAsGroup", context.run_as_group, 0, ID_LIMIT)
        yield from check_range(f"{where}.fsGroup", context.fs_group, 0, ID_LIMIT)
        policies = ("Always", "OnRootMismatch")
        yield from check_choice(f"{where}.fsGroupChangePolicy", context.fs_group_change_policy, policies)
        for index, group in enumerate(context.supplemental_groups):
            yield from check_range(f"{where}.supplementalGroups[{index}]", group, 0, ID_LIMIT)


def _places(spec: PodSpec, path: str) -> Iterator[tuple[str, Container]]:
    """Every container with where it stands."""
    for name, containers in (
        ("containers", spec.containers),
        ("initContainers", spec.init_containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    ):
        for index, container in enumerate(containers):
            yield f"{path}.{name}[{index}]", container


def _node_term_faults(spec: PodSpec, path: str) -> Iterator[FieldError]:
    """No term at all would fit no node."""
    affinity = spec.affinity.node_affinity if spec.affinity else None
    needed = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    if needed is not None and not needed.node_selector_terms:
        where = f"{path}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
        yield required(where, "must have at least one node selector term")


def _stop_signal_faults(spec: PodSpec, path: str) -> Iterator[FieldError]:
    """Signals have names that depend on the system, so that Kubernetes wants to know which it is."""
    for place, container in _places(spec, path):
        name = container.lifecycle.stop_signal if container.lifecycle else None
        where = f"{place}.lifecycle.stopSignal"
        if name and not (spec.os and spec.os.name):
            yield forbidden(where, "may not be set for containers with unspecified `spec.os.name`")
        yield from check_choice(where, name or None, tuple(STOP_SIGNALS))


def _group_faults(spec: PodSpec, path: str) -> Iterator[FieldError]:
    """Refuse a group without a user: the runtime takes a group only beside one, and cannot ask the image for its own."""
    pod = spec.security_context
    pod_user, pod_group = (pod.run_as_user, pod.run_as_group) if pod else (None, None)
    for place, container in _places(spec, path):
        own = container.security_context
        if pod_user is not None or (own is not None and own.run_as_user is not None):
            continue
        if own is not None and own.run_as_group is not None:
            yield forbidden(f"{place}.securityContext.runAsGroup", _GROUP_ALONE)
        elif pod_group is not None:
            yield forbidden(f"{path}.securityContext.runAsGroup", f"{_GROUP_ALONE} (container {container.name})")


def _toleration_faults(toleration: Toleration, path: str) -> Iterator[FieldError]:
    if toleration.key:
        yield from check_text(f"{path}.key", toleration.key, qualified_name_fault)
    elif toleration.operator != "Exists":
        problem = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{path}.operator", toleration.operator or "", problem)
    match toleration.operator or "Equal":
        case "Equal":
            if why := label_value_fault(toleration.value or ""):
                yield invalid(f"{path}.value", toleration.value, why)
        case "Exists":
            if toleration.value:
                yield invalid(f"{path}.value", toleration.value, "value must be empty when `operator` is 'Exists'")
        case other:
            yield from check_choice(f"{path}.operator", other, ("Equal", "Exists"))
    if toleration.effect:
        yield from check_choice(f"{path}.effect", toleration.effect, TAINT_EFFECTS)
    if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
        yield invalid(f"{path}.effect", toleration.effect or "", "must be NoExecute when `tolerationSeconds` is set")


def pod_change_faults(spec: Tree, old_spec: Tree) -> Iterator[FieldError]:
    """Yield the changes that a pod's spec may not see once the pod exists. Expects defaulted specs."""
    if spec == old_spec:
        return
    copies = {name: [dict(each) for each in old_spec[name]] for name in _CONTAINER_LISTS if name in old_spec}
    before = {**old_spec, **copies}
    default_pod(before)  # stored by a version that knew fewer defaults
    expected = before | {name: spec[name] for name in ("tolerations", "activeDeadlineSeconds") if name in spec}
    for name, olds in copies.items():
        news = spec.get(name, [])
        if name != "ephemeralContainers" and len(news) == len(olds):
            pairs = zip(olds, news, strict=True)
            expected[name] = [old | {"image": new.get("image")} for old, new in pairs]
    for name in sorted(expected.keys() | spec.keys()):
        if expected.get(name) != spec.get(name):
            yield forbidden(f"spec.{name}", f"pod updates may not change fields other than {_CHANGEABLE}")
    kept = [_without_seconds(toleration) for toleration in spec.get("tolerations", [])]
    if any(_without_seconds(toleration) not in kept for toleration in before.get("tolerations", [])):
        yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    deadline, old_deadline = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if old_deadline is not None and (deadline is None or deadline > old_deadline):
        yield invalid("spec.activeDeadlineSeconds", deadline, f"must be less than or equal to {old_deadline}")


def _without_seconds(toleration: Tree) -> Tree:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}
