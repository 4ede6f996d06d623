"""What callers read: one object, lists page by page, the history of an object, and watches; now or as it was.

It must not know what is written, nor how.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from api.errors import Expired, NotFound
from api.object import Object
from component.client import ObjectList
from controlplane.admission.request import Identity
from controlplane.apiserver import incoming, selecting
from controlplane.apiserver.fairness.gate import Gate
from controlplane.apiserver.fairness.lists import ListCosts, units_of
from controlplane.apiserver.fairness.watching import fairly
from controlplane.apiserver.first_events import FirstEvents
from controlplane.apiserver.freshness import LINEARIZABLE, Freshness, wait_fresh
from controlplane.apiserver.known_kinds import KnownKinds, presented, presented_all
from controlplane.apiserver.objects import key_of, object_of
from controlplane.apiserver.pages import Pages
from controlplane.apiserver.past import NOW, At, ObjectHistory, Past, check_point
from controlplane.apiserver.watches import Batch, watch
from controlplane.rbac.attributes import Attributes, on
from controlplane.replica import Replica


class Reads:
    """The verbs that read. They raise `api.errors` as `component.client.ApiClient` says.

    `asked` is what the caller needs to be allowed, where that is something else than the verb on the object.
    `authorize` raises Forbidden, and decides on a state that is not older than the call.
    """

    def __init__(
        self,
        replica: Replica,
        kinds: KnownKinds,
        authorize: Callable[[Identity, Attributes], Awaitable[None]],
        gate: Gate,
        costs: ListCosts,
        past: Past,
        pages: Pages,
    ) -> None:
        self.past = past
        self._replica = replica
        self._kinds = kinds
        self._authorize = authorize
        self._gate = gate
        self._costs = costs
        self._pages = pages
        self._first_events = FirstEvents()

    async def get(
        self,
        identity: Identity,
        resource: str,
        namespace: str,
        name: str,
        *,
        fresh: Freshness = LINEARIZABLE,
        at: At = NOW,
        asked: Attributes | None = None,
    ) -> Object:
        """Return one object, linearizably unless `fresh` says otherwise, or as it was."""
        kind = await self._kinds.of_resource(resource)
        check_point(fresh, at)
        if not at:
            await wait_fresh(self._replica, fresh)
        key = key_of(kind, incoming.namespace_of(kind, namespace), name)
        await self._authorize(identity, asked or on(kind, "get", key.namespace, name))
        state = await self.past.state(identity, resource, at, key) if at else self._replica.state
        stored = state.get(key)
        if stored is None:
            raise NotFound(f'{resource} "{name}" not found')
        return presented(kind, object_of(stored))

    async def list(
        self,
        identity: Identity,
        resource: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        limit_bytes: int = 0,
        continue_token: str = "",
        fresh: Freshness = LINEARIZABLE,
        at: At = NOW,
        asked: Attributes | None = None,
    ) -> ObjectList:
        """Return all matching objects at one revision, or at most `limit` and `limit_bytes` of them and a token.

        Further pages need no `at`: the token names the revision, and any replica whose history holds it goes on.
        """
        kind = await self._kinds.of_resource(resource)
        check_point(fresh, at)
        selection = selecting.parse(resource, namespace if kind.namespaced else "", label_selector, field_selector)
        await self._authorize(identity, asked or on(kind, "list", namespace, selection.name))
        if continue_token:
            at = At(self._pages.missing_revision(self._replica.state, resource, continue_token))
        if at:
            try:
                state = await self.past.state(identity, resource, at)
            except Expired as error:
                raise Expired(f"{error}; list again from the start") if continue_token else error from None
        else:
            await wait_fresh(self._replica, fresh)
            state = self._replica.state
        page = await self._pages.page(state, kind, selection, limit, limit_bytes, continue_token)
        self._gate.charge(identity, units_of(page.size_bytes))
        return ObjectList(await presented_all(kind, page.items), page.revision, page.continue_token)

    async def history(
        self, identity: Identity, resource: str, namespace: str, name: str, *, limit: int = 0
    ) -> ObjectHistory:
        """Return the latest changes of one object, as far as history goes back; it may be gone by now. NotFound."""
        kind = await self._kinds.of_resource(resource)
        key = key_of(kind, incoming.namespace_of(kind, namespace), name)
        await self._authorize(identity, on(kind, "get", key.namespace, name))
        return await self.past.history(identity, key, limit)

    async def watch(
        self,
        identity: Identity,
        resource: str,
        namespace: str = "",
        *,
        revision: int | None = None,
        label_selector: str = "",
        field_selector: str = "",
        asked: Attributes | None = None,
    ) -> AsyncGenerator[Batch]:
        """Yield batches of changes after `revision`; None: what there is first. See `controlplane.apiserver.watches`."""
        kind = await self._kinds.of_resource(resource)
        selection = selecting.parse(resource, namespace if kind.namespaced else "", label_selector, field_selector)
        await self._authorize(identity, asked or on(kind, "watch", namespace, selection.name))

        def begin(opened: Callable[[], None]) -> AsyncGenerator[Batch]:
            return watch(self._replica, kind, selection, revision, opened=opened, first_events=self._first_events)

        size = self._costs.size(resource, namespace) if revision is None else 0
        async with aclosing(fairly(self._gate, identity, begin, size)) as batches:
            async for batch in batches:
                yield batch
