"""What every kind shares: the base type, object metadata, references, label selectors, conditions.

Types only. Nothing here knows defaults, rules or where objects are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, dataclass_transform

import msgspec

IntOrString = int | str
"""A number, or a name or percentage as text."""

Quantity = str | int | float
"""An amount as written: `250m`, `64Mi`, `2`. `api.quantity` gives it a meaning."""

Number = int | float

Scalar = TypeVar("Scalar", bound=str | int)


class Required(Generic[Scalar]):
    """The default of a field that Kubernetes requires; its own class, so that walkers can tell such fields."""

    def __init__(self, value: Scalar) -> None:
        self.value: Scalar = value

    def __call__(self) -> Scalar:
        """The value that an absent field reads as."""
        return self.value


def required(value: Scalar, name: str | None = None) -> Scalar:
    """Declare a field that Kubernetes requires: read as `value` when absent, and always written."""
    return msgspec.field(default_factory=Required(value), name=name)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Resource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """Base of every type: a frozen read view of a JSON tree, camelCase outside.

    Absent scalars and structs are None, absent lists `()`, absent maps `{}`. Fields that Kubernetes requires are never
    None: a tree that lacks them reads as "", 0 or False. `gc=False` is safe because views hold no cycles.
    """


def resource_types(base: type[Resource] = Resource) -> Iterator[type[Resource]]:
    """Every type of the modules that are loaded, whatever it is derived from."""
    for each in base.__subclasses__():
        yield each
        yield from resource_types(each)


class OwnerReference(Resource):
    """The object that this one belongs to; it is collected once no owner is left.

    At most one owner is the `controller`, which alone creates and deletes its dependents. With `block_owner_deletion` a foreground
    deletion of the owner waits for this object.
    """

    api_version: str = required("")
    kind: str = required("")
    name: str = required("")
    block_owner_deletion: bool | None = None
    controller: bool | None = None
    uid: str = required("")


class ObjectMeta(Resource):
    """Name, identity and bookkeeping of an object.

    `generation` counts changes of the desired state, `resource_version` is opaque. Times are RFC 3339 text. An object with a
    `deletion_timestamp` goes once its `finalizers` are gone. `managed_fields` is kept as it came.
    """

    name: str = ""
    namespace: str = ""
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    generate_name: str | None = None
    generation: int | None = None
    labels: dict[str, str] = {}
    managed_fields: tuple[Any, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()
    resource_version: str | None = None
    self_link: str | None = None
    uid: str = ""


class LabelSelectorRequirement(Resource):
    """One condition on a label: In, NotIn (with values), Exists, DoesNotExist (without)."""

    key: str = required("")
    operator: str = required("")
    values: tuple[str, ...] = ()


class LabelSelector(Resource):
    """All of its conditions must hold; an empty one selects everything, an absent one nothing."""

    match_expressions: tuple[LabelSelectorRequirement, ...] = ()
    match_labels: dict[str, str] = {}


class Condition(Resource):
    """One observed aspect of an object; `status` is True, False or Unknown.

    `last_transition_time` is when `status` changed last, `reason` a CamelCase word for programs, `message` for people.
    """

    status: str = required("")
    type: str = required("")
    last_transition_time: str = required("")
    message: str = required("")
    observed_generation: int | None = None
    reason: str = required("")


class ObjectReference(Resource):
    """Any object, named as exactly as the writer knew it."""

    api_version: str | None = None
    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    field_path: str | None = None
    resource_version: str | None = None
    uid: str | None = None


class LocalObjectReference(Resource):
    """An object of a kind known from context, in the same namespace."""

    name: str | None = None


class TypedLocalObjectReference(Resource):
    """An object of a named kind in the same namespace; no `api_group` means the core group."""

    kind: str = required("")
    name: str = required("")
    api_group: str | None = None


class TypedObjectReference(Resource):
    """An object of a named kind, possibly in another namespace."""

    kind: str = required("")
    name: str = required("")
    namespace: str | None = None
    api_group: str | None = None
