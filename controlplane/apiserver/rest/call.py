"""One request on its way through: who asks for what, and what the answer has to warn of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from api.errors import NotFound
from api.scheme import Kind
from controlplane.admission.request import Identity
from controlplane.apiserver.rest import forms
from controlplane.apiserver.rest.paths import MISSING, Target
from controlplane.apiserver.rest.queries import Query
from controlplane.rbac.attributes import Attributes

SUBJECT: Final = web.RequestKey("subject", Target)
"""What the request is about, as far as it is known yet: what an error tells of."""

ASKED: Final = web.RequestKey("asked", Attributes)
"""What the caller needs to be allowed, once it is known."""

MANAGER: Final = web.RequestKey("manager", str)
"""As whose the changes count."""

DRY_RUN: Final = web.RequestKey("dry_run", bool)
"""Whether the body says, or the query, that nothing is to be stored; set where a body can say so."""

REASON: Final = web.RequestKey("reason", str)
"""Why the request was refused, in one word."""

SENT: Final = web.RequestKey("sent", bytes)
"""The body, once it was read."""

ANSWERED: Final = web.RequestKey("answered", bytes)
"""The JSON that was answered with."""


@dataclass
class Call:
    """A request for a resource; its caller may do what is `asked`, if only to a part of the object."""

    request: web.Request
    identity: Identity
    target: Target
    asked: Attributes
    warnings: list[str] = field(default_factory=list)

    @property
    def query(self) -> Query:
        """The parameters behind the path; of a repeated one the first."""
        return self.request.query

    @property
    def kind(self) -> Kind:
        """The kind of the objects that are meant. NotFound for what is not stored."""
        if self.target.kind is None:
            raise NotFound(MISSING)
        return self.target.kind

    @property
    def resource(self) -> str:
        """The resource that these objects are stored as."""
        return forms.stored_kind(self.kind).resource

    @property
    def field_selector(self) -> str:
        """The field selector, in the words of what is stored. Invalid."""
        return forms.field_selector(self.kind, self.query.get("fieldSelector", ""))

    @property
    def allowed(self) -> Attributes | None:
        """What the caller may do, where that bears another name than what is stored; else None: the core knows."""
        return self.asked if self.resource != self.kind.resource else None
