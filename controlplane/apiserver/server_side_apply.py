"""Server-side apply as a pure decision: a configuration laid over the stored object, by who owns which fields.

The fields' algebra is `api.managed_fields`; here it meets preconditions, defaults, admission and the status.
"""

from __future__ import annotations

from dataclasses import dataclass

from api import defaults, managed_fields
from api.errors import Conflict, FieldError, Invalid, NotFound
from api.managed_fields import MANAGER_MAX_CHARACTERS, Managed, Owner
from api.object import Tree
from api.scheme import BUILT_IN, Kind, Scheme
from api.structured_merge import ambiguous
from api.wellknown import LAST_APPLIED_ANNOTATION
from controlplane.admission.request import Identity
from controlplane.apiserver import incoming, ownership
from controlplane.apiserver.apply import last_applied, manifest_of, recorded
from controlplane.apiserver.decision import Decision, Snapshot
from controlplane.apiserver.incoming import Incoming
from controlplane.apiserver.objects import key_of, tree_of
from controlplane.apiserver.writes import Writing, check_preconditions

CLIENTS = frozenset({"tim", "kubectl"})
"""Programs that also apply by themselves, with an annotation; what they applied so is theirs on the server, too."""

STATUS = "status"


@dataclass(frozen=True, slots=True)
class Application:
    """A configuration on its way in. `subresource` is "" or "status"; with `force` fields of others are taken over.

    `new_uid` is the object's if there is none yet.
    """

    given: Incoming
    configuration: Tree
    subresource: str
    force: bool
    new_uid: str

    @property
    def kind(self) -> Kind:
        """Of the object."""
        return self.given.kind

    @property
    def namespace(self) -> str:
        """Of the object."""
        return self.given.namespace

    @property
    def name(self) -> str:
        """Of the object."""
        return self.given.name


def read(
    kind: Kind, namespace: str, name: str, tree: Tree, subresource: str, new_uid: str, *, force: bool
) -> Application:
    """Check the form of a configuration for the object that the request names. Raises Invalid naming every wrong field."""
    if subresource not in {"", STATUS}:
        raise Invalid(f'{kind.resource} have no subresource "{subresource}" that can be applied; there is: {STATUS}')
    if subresource and not kind.has_status:
        raise Invalid(f"{kind.resource} have no status")
    kinds = BUILT_IN if kind.custom is None else Scheme((kind,))
    given = incoming.read(_addressed(kind, namespace, name, tree), kinds, with_defaults=False)
    faults = [
        FieldError(path, f'Invalid value: the request is for "{wanted}"')
        for path, wanted, found in (
            ("kind", kind.kind, given.kind.kind),
            ("metadata.name", name, given.name),
            ("metadata.namespace", namespace, given.namespace),
        )
        if wanted != found
    ]
    if given.tree["metadata"].get(ownership.FIELD):
        faults.append(FieldError("metadata.managedFields", "Forbidden: what is applied must not say who owns it"))
    incoming.refuse(given, [*faults, *given.faults, *ambiguous(kind, given.tree)])
    configuration = manifest_of(kind, given.tree)
    if kind.resource == "secrets":
        configuration = defaults.with_encoded_data(configuration)
    if subresource:
        configuration = {name: value for name, value in given.tree.items() if name == STATUS}
    return Application(given, configuration, subresource, force, new_uid)


def decide(writing: Writing, identity: Identity, application: Application, snapshot: Snapshot) -> Decision:
    """Return how to make the stored object what is applied. Conflict when others own what would change."""
    given, configuration = application.given, application.configuration
    kind, time = given.kind, writing.env.timestamp()
    owner = Owner(_manager(identity), "Apply", kind.api_version, application.subresource)
    stored = snapshot.state.get(key_of(kind, given.namespace, given.name))
    if stored is None:
        if application.subresource:
            raise NotFound(f'{kind.resource} "{given.name}" not found')
        if given.uid:
            raise Conflict(
                f"{given.title} is not there, with uid {given.uid} or another: to make it, leave out the uid"
            )
        managed = managed_fields.created(kind, owner, configuration, time)
        return writing.create(identity, incoming.read_as(kind, configuration), application.new_uid, snapshot, managed)
    check_preconditions(given.title, stored, given.uid, given.revision)
    live = tree_of(stored.body)
    managed = managed_fields.stored(live["metadata"].get(ownership.FIELD)) or _first(kind, owner, live, time)
    applied = managed_fields.apply(kind, managed, owner, live, configuration, time, force=application.force)
    tree = _annotated(owner, applied.tree, configuration)
    if application.subresource:
        return writing.update_status(
            identity, incoming.read_as(kind, tree, with_defaults=False), snapshot, applied.managed
        )
    return writing.update(identity, incoming.read_as(kind, tree), snapshot, applied.managed)


def _addressed(kind: Kind, namespace: str, name: str, tree: Tree) -> Tree:
    """The configuration with name and namespace as the request says where it does not say them itself."""
    metadata = tree.get("metadata")
    if type(metadata) is not dict:
        metadata = {}
    named = {"name": name, **({"namespace": namespace} if kind.namespaced else {})}
    return {**tree, "metadata": {**named, **{key: value for key, value in metadata.items() if value is not None}}}


def _manager(identity: Identity) -> str:
    """As whose the fields are applied, which somebody who applies has to say."""
    name = identity.manager
    if not name:
        fault = FieldError("fieldManager", "Required value: who applies says as whose")
    elif len(name) > MANAGER_MAX_CHARACTERS or not name.isprintable():
        fault = FieldError("fieldManager", f"Invalid value: up to {MANAGER_MAX_CHARACTERS} printable characters")
    else:
        return name
    raise Invalid("the apply is invalid", [fault])


def _first(kind: Kind, owner: Owner, live: Tree, time: str) -> Managed:
    """Who owns what of an object that is applied on the server for the first time."""
    before = last_applied(live) if owner.manager in CLIENTS else {}
    return managed_fields.first_owners(kind, owner, live, before, time)


def _annotated(owner: Owner, tree: Tree, configuration: Tree) -> Tree:
    """The object whose annotation of the last apply, if it has one, says what its client applied now.

    So whoever goes back to applying on the client removes what the manifest does not name any more, and only that.
    """
    annotations = tree["metadata"].get("annotations", {})
    if owner.manager not in CLIENTS or owner.subresource or LAST_APPLIED_ANNOTATION not in annotations:
        return tree
    latest = recorded(configuration)["metadata"]["annotations"][LAST_APPLIED_ANNOTATION]
    annotations = {**annotations, LAST_APPLIED_ANNOTATION: latest}
    return {**tree, "metadata": {**tree["metadata"], "annotations": annotations}}
