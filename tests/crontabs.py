"""The definition that Kubernetes' documentation teaches custom kinds with, and objects of the kind."""

from __future__ import annotations

import copy

GROUP = "stable.example.com"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
RESOURCE = f"crontabs.{GROUP}"
API_VERSION = f"{GROUP}/v1"

SPEC_SCHEMA = {
    "type": "object",
    "required": ["cronSpec"],
    "properties": {
        "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "description": "When."},
        "image": {"type": "string"},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "port": {"x-kubernetes-int-or-string": True}},
            },
        },
    },
}
SCHEMA = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": SPEC_SCHEMA,
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}},
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
}
VERSION = {
    "name": "v1",
    "served": True,
    "storage": True,
    "schema": {"openAPIV3Schema": SCHEMA},
    "subresources": {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.labelSelector",
        },
    },
    "additionalPrinterColumns": [
        {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
}
NAMES = {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"]}


def definition(versions=None, names=None, **spec):
    """The definition, with other versions, some other names or other fields of the spec."""
    names = NAMES | (names or {})
    return copy.deepcopy(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{names['plural']}.{spec.get('group', GROUP)}"},
            "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": versions or [VERSION], **spec},
        }
    )


def crontab(name="a", api_version=API_VERSION, **spec):
    """A CronTab with these fields in its spec."""
    return {
        "apiVersion": api_version,
        "kind": "CronTab",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"cronSpec": "* * * * */5", **spec},
    }


def compiled_kind(**changes):
    """The kind that the definition makes once it is established, without a cluster."""
    from api.custom_kind import kinds_of  # noqa: PLC0415 - tests of the whole API do without

    tree = definition(**changes)
    tree["status"] = {"acceptedNames": tree["spec"]["names"]}
    return kinds_of(tree)[0]
