"""What clients are told of the kinds there are, made anew when a definition changes what these are."""

from __future__ import annotations

from collections.abc import Sequence

from api.errors import NotFound
from api.object import Tree
from api.scheme import BUILT_IN, Scheme
from controlplane.apiserver.known_kinds import KnownKinds
from controlplane.apiserver.rest.discovery import Discovery
from controlplane.apiserver.rest.paths import GroupVersion
from controlplane.apiserver.rest.procedures import Procedure
from controlplane.apiserver.rest.schemas import Schemas


class DescribedKinds:
    """Discovery and schemas of the kinds that are known at the moment."""

    def __init__(self, kinds: KnownKinds, procedures: Sequence[Procedure]) -> None:
        self._kinds = kinds
        self._procedures = procedures
        self._made_of: Scheme = BUILT_IN
        self._discovery = Discovery(procedures)
        self.schemas = Schemas(lambda: (self.discovery.rows(), self._made_of.custom))

    @property
    def discovery(self) -> Discovery:
        """The documents about all kinds."""
        kinds = self._kinds.now()
        if kinds is not self._made_of:
            self._discovery, self._made_of = Discovery(self._procedures, kinds), kinds
        return self._discovery

    async def document(self, meant: GroupVersion) -> Tree | None:
        """The document of a group or a version; None if there is none on a state that is not older than the call."""
        try:
            return await self._kinds.find(lambda _: self._found(meant))
        except NotFound:
            return None

    def _found(self, meant: GroupVersion) -> Tree:
        discovery = self.discovery
        found = discovery.resources(meant.group, meant.version) if meant.version else discovery.group(meant.group)
        if found is None:
            raise NotFound("nothing is served there")
        return found
