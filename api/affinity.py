"""Where pods may and should run: node selectors, affinity, spreading, tolerations."""

from __future__ import annotations

from api.meta import LabelSelector, Resource, required


class NodeSelectorRequirement(Resource):
    """One condition on a node label or field: In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    key: str = required("")
    operator: str = required("")
    values: tuple[str, ...] = ()


class NodeSelectorTerm(Resource):
    """All conditions must hold; a term without any matches no node."""

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSelector(Resource):
    """Matches a node that satisfies at least one of the terms."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredSchedulingTerm(Resource):
    """Nodes that match gain `weight` (1 to 100) when scores are added up."""

    preference: NodeSelectorTerm | None = None
    weight: int = required(0)


class NodeAffinity(Resource):
    """Rules about nodes: required ones filter, preferred ones score."""

    preferred_during_scheduling_ignored_during_execution: tuple[PreferredSchedulingTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class PodAffinityTerm(Resource):
    """Pods, by labels and namespaces, and the node label that says what counts as the same place."""

    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    topology_key: str = required("")


class WeightedPodAffinityTerm(Resource):
    """A preference for places with such pods; `weight` is 1 to 100."""

    pod_affinity_term: PodAffinityTerm | None = None
    weight: int = required(0)


class PodAffinity(Resource):
    """Wish to run near other pods."""

    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()


class PodAntiAffinity(Resource):
    """Wish to run away from other pods."""

    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = ()
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = ()


class Affinity(Resource):
    """All placement rules of a pod besides its node selector."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None


class Toleration(Resource):
    """Lets a pod onto nodes with matching taints.

    An empty key with operator Exists tolerates everything; an empty effect means all effects. `toleration_seconds` bounds how long a
    NoExecute taint is endured; absent means for ever.
    """

    key: str | None = None
    operator: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None
    value: str | None = None


class TopologySpreadConstraint(Resource):
    """Spreads matching pods evenly over the values of a node label.

    `max_skew` is the largest allowed difference in pod count between places.
    """

    label_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    max_skew: int = required(0)
    min_domains: int | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    topology_key: str = required("")
    when_unsatisfiable: str = required("")
