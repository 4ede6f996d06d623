"""What is special about single kinds on their way through the API; every other kind has the rules in `base`."""

from __future__ import annotations

from collections.abc import Mapping

from api.scheme import DEFINITIONS
from component.env import Env
from controlplane.apiserver.kinds.base import KindRules
from controlplane.apiserver.kinds.definitions import DefinitionRules
from controlplane.apiserver.kinds.namespaces import NamespaceRules
from controlplane.apiserver.kinds.nodes import NodeRules
from controlplane.apiserver.kinds.pods import PodRules
from controlplane.apiserver.kinds.quotas import QuotaRules
from controlplane.apiserver.kinds.services import ServiceRules


def kind_rules(env: Env, pod_range: str, service_range: str) -> Mapping[str, KindRules]:
    """The rules by resource of the kinds that have their own. Ranges as "10.244.0.0/16"; ValueError for others."""
    return {
        DEFINITIONS: DefinitionRules(env),
        "namespaces": NamespaceRules(),
        "nodes": NodeRules(pod_range),
        "pods": PodRules(),
        "resourcequotas": QuotaRules(),
        "services": ServiceRules(service_range, env.rng),
    }
