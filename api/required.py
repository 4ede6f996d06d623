"""Which fields an object cannot do without, for those who describe types. Pure; `api.validation` is who refuses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec

from api.meta import Required, Resource

_LISTS_AND_OBJECTS: Mapping[str, str] = {
    "CephFSVolumeSource": "monitors",
    "ClusterRoleBinding": "roleRef",
    "CustomResourceDefinition": "spec",
    "CustomResourceDefinitionSpec": "names versions",
    "Deployment": "spec",
    "DeploymentSpec": "selector template",
    "Endpoint": "addresses",
    "Event": "involvedObject metadata",
    "LocalSubjectAccessReview": "spec",
    "LimitRangeSpec": "limits",
    "MutatingWebhook": "admissionReviewVersions clientConfig",
    "NodeSelector": "nodeSelectorTerms",
    "NonResourceRule": "verbs",
    "PersistentVolumeClaimTemplate": "spec",
    "PodExtendedResourceClaimStatus": "requestMappings",
    "PodSpec": "containers",
    "PolicyRule": "verbs",
    "PreferredSchedulingTerm": "preference",
    "RBDVolumeSource": "monitors",
    "ReplicaSet": "spec",
    "ReplicaSetSpec": "selector",
    "ResourceRule": "verbs",
    "RoleBinding": "roleRef",
    "ScaleIOVolumeSource": "secretRef",
    "SelfSubjectAccessReview": "spec",
    "SelfSubjectRulesReview": "spec",
    "SubjectAccessReview": "spec",
    "SubjectRulesReviewStatus": "resourceRules nonResourceRules",
    "ValidatingWebhook": "admissionReviewVersions clientConfig",
    "WeightedPodAffinityTerm": "podAffinityTerm",
}
"""By type, the lists and objects without which Kubernetes refuses it. Required scalars are known from the types."""


@cache
def required_fields(struct: type[Resource]) -> tuple[str, ...]:
    """The JSON names of these fields, in the order of their definition.

    `apiVersion` and `kind` of whole objects are not among them: clients know them from the path.
    """
    more = _LISTS_AND_OBJECTS.get(struct.__name__, "").split()
    known = {"apiVersion", "kind"} if "metadata" in struct.__struct_encode_fields__ else set()
    return tuple(
        field.encode_name
        for field in msgspec.structs.fields(struct)
        if field.encode_name in more or (isinstance(field.default_factory, Required) and field.encode_name not in known)
    )
