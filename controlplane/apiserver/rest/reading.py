"""Get and list."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.errors import Expired
from component.env import Env
from controlplane.apiserver.reads import Reads
from controlplane.apiserver.rest import answers, queries
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.refusals import Refusal
from controlplane.apiserver.rest.views import list_pieces, view_of

TOO_LARGE_CAUSE: Final = "ResourceVersionTooLarge"


class Reading:
    """Answers reads, each object and list."""

    def __init__(self, reads: Reads, env: Env) -> None:
        self._reads = reads
        self._env = env

    async def get(self, call: Call) -> web.StreamResponse:
        """One object."""
        view = view_of(call, self._env.now())
        target = call.target
        try:
            found = await self._reads.get(
                call.identity,
                call.resource,
                target.namespace,
                target.name,
                asked=call.asked if target.subresource else call.allowed,
                fresh=queries.freshness(call.query),
            )
        except Expired as error:
            raise too_new(error) from error
        return await answers.body(call.request, view.alone(found), form=view.form)

    async def list(self, call: Call) -> web.StreamResponse:
        """All objects that are selected, or a page of them."""
        view = view_of(call, self._env.now())
        options = queries.list_options(call.query)
        try:
            found = await self._reads.list(
                call.identity,
                call.resource,
                call.target.namespace,
                asked=call.allowed,
                label_selector=options.label_selector,
                field_selector=call.field_selector,
                limit=options.limit,
                continue_token=options.continue_token,
                fresh=options.fresh,
                at=options.at,
            )
        except Expired as error:
            if options.fresh:
                raise too_new(error) from error
            raise
        return await answers.pieces(call.request, list_pieces(view, found), view.form)


def too_new(error: Expired) -> Refusal:
    """A version that has not come here yet; clients know it by its cause and read the newest instead."""
    return Refusal(504, "Timeout", f"Too large resource version: {error}", TOO_LARGE_CAUSE)
