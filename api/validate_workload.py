"""Rules for ReplicaSets and Deployments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from api.apps import Deployment, DeploymentStrategy, ReplicaSet, RollingUpdateDeployment
from api.errors import FieldError
from api.faults import check_range, forbidden, immutable, invalid, required, unsupported
from api.meta import IntOrString, LabelSelector
from api.object import Tree
from api.pod import PodTemplateSpec
from api.selectors import label_selector_of
from api.validate_annotations import pod_annotation_faults
from api.validate_meta import selector_faults, template_metadata_faults
from api.validate_pod import pod_spec_faults

_PERCENTAGE = re.compile(r"([0-9]+)%")


def replica_set_faults(replica_set: ReplicaSet, tree: Tree, old: Tree | None) -> Iterator[FieldError]:
    """Yield what is wrong with a replica set."""
    spec = replica_set.spec
    yield from check_range("spec.replicas", spec.replicas, 0)
    yield from check_range("spec.minReadySeconds", spec.min_ready_seconds, 0)
    yield from _selector_faults(spec.selector, spec.template, tree, old)
    yield from _template_faults(spec.template)


def deployment_faults(deployment: Deployment, tree: Tree, old: Tree | None) -> Iterator[FieldError]:
    """Yield what is wrong with a deployment."""
    spec = deployment.spec
    yield from check_range("spec.replicas", spec.replicas, 0)
    yield from check_range("spec.minReadySeconds", spec.min_ready_seconds, 0)
    yield from check_range("spec.revisionHistoryLimit", spec.revision_history_limit, 0)
    yield from check_range("spec.progressDeadlineSeconds", spec.progress_deadline_seconds, 0)
    if spec.progress_deadline_seconds is not None and spec.progress_deadline_seconds <= (spec.min_ready_seconds or 0):
        why = "must be greater than minReadySeconds"
        yield invalid("spec.progressDeadlineSeconds", spec.progress_deadline_seconds, why)
    yield from _selector_faults(spec.selector, spec.template, tree, old)
    yield from _template_faults(spec.template)
    if spec.strategy:
        yield from _strategy_faults(spec.strategy)


def _selector_faults(
    selector: LabelSelector | None, template: PodTemplateSpec, tree: Tree, old: Tree | None
) -> Iterator[FieldError]:
    path = "spec.selector"
    if selector is None:
        yield required(path)
        return
    faults = list(selector_faults(selector, path))
    yield from faults
    shown = tree["spec"]["selector"]
    if not selector.match_labels and not selector.match_expressions:
        yield invalid(path, shown, "empty selector is invalid")
    elif not faults and not label_selector_of(selector).matches(template.metadata.labels):
        yield invalid(
            "spec.template.metadata.labels", template.metadata.labels, "`selector` does not match template `labels`"
        )
    if old is not None and old.get("spec", {}).get("selector") != shown:
        yield immutable(path, shown)


def _template_faults(template: PodTemplateSpec) -> Iterator[FieldError]:
    path = "spec.template"
    yield from template_metadata_faults(template.metadata, f"{path}.metadata")
    yield from pod_annotation_faults(template.metadata.annotations, f"{path}.metadata.annotations")
    yield from pod_spec_faults(template.spec, f"{path}.spec")
    if template.spec.ephemeral_containers:
        yield forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")
    if template.spec.restart_policy not in {None, "Always"}:
        yield unsupported(f"{path}.spec.restartPolicy", template.spec.restart_policy, ["Always"])
    if template.spec.active_deadline_seconds is not None:
        yield forbidden(f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in a template is not supported")


def _strategy_faults(strategy: DeploymentStrategy) -> Iterator[FieldError]:
    path = "spec.strategy"
    match strategy.type:
        case "Recreate":
            if strategy.rolling_update:
                why = "may not be specified when strategy `type` is 'Recreate'"
                yield forbidden(f"{path}.rollingUpdate", why)
        case "RollingUpdate":
            if strategy.rolling_update is None:
                yield required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")
            else:
                yield from _rolling_faults(strategy.rolling_update, f"{path}.rollingUpdate")
        case other:
            yield unsupported(f"{path}.type", other, ["Recreate", "RollingUpdate"])


def _rolling_faults(rolling: RollingUpdateDeployment, path: str) -> Iterator[FieldError]:
    yield from _share_faults(rolling.max_unavailable, f"{path}.maxUnavailable", at_most_all=True)
    yield from _share_faults(rolling.max_surge, f"{path}.maxSurge", at_most_all=False)
    if _is_zero(rolling.max_unavailable) and _is_zero(rolling.max_surge):
        yield invalid(f"{path}.maxUnavailable", rolling.max_unavailable, "may not be 0 when `maxSurge` is 0")


def _is_zero(share: IntOrString | None) -> bool:
    return share is None or not str(share).rstrip("%").strip("0")


def _share_faults(share: IntOrString | None, path: str, *, at_most_all: bool) -> Iterator[FieldError]:
    if isinstance(share, str):
        match = _PERCENTAGE.fullmatch(share)
        if match is None:
            yield invalid(path, share, "a valid percent string must be a numeric string followed by an ending '%'")
        elif at_most_all and int(match[1]) > 100:
            yield invalid(path, share, "must not be greater than 100%")
    else:
        yield from check_range(path, share, 0)
