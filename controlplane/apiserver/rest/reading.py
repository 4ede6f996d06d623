"""Get and list."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from api.errors import Expired
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.rest import answers, encoding, negotiation, queries
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.negotiation import Form
from controlplane.apiserver.rest.refusals import Refusal

METADATA_SHAPES = (("PartialObjectMetadata", "v1"), ("PartialObjectMetadataList", "v1"))
TOO_LARGE_CAUSE = "ResourceVersionTooLarge"


class Reading:
    """Answers reads out of the core, the stored JSON as it is."""

    def __init__(self, core: ApiCore) -> None:
        self._core = core

    async def get(self, call: Call) -> web.StreamResponse:
        """One object."""
        form = form_of(call)
        target = call.target
        try:
            found = await self._core.get(
                call.identity,
                call.kind.resource,
                target.namespace,
                target.name,
                fresh=queries.freshness(call.query),
            )
        except Expired as error:
            raise too_new(error) from error
        return await answers.body(call.request, shown(form)(found.json, found.revision), form=form)

    async def list(self, call: Call) -> web.StreamResponse:
        """All objects that are selected, or a page of them."""
        form = form_of(call)
        options = queries.list_options(call.query)
        try:
            found = await self._core.list(
                call.identity,
                call.kind.resource,
                call.target.namespace,
                label_selector=options.label_selector,
                field_selector=options.field_selector,
                limit=options.limit,
                continue_token=options.continue_token,
                fresh=options.fresh,
                at=options.at,
            )
        except Expired as error:
            if options.fresh:
                raise too_new(error) from error
            raise
        api_version, kind = (
            ("meta.k8s.io/v1", "PartialObjectMetadataList")
            if form.shape
            else (call.kind.api_version, f"{call.kind.kind}List")
        )
        pieces: Iterator[bytes] = encoding.list_pieces(
            api_version, kind, found.items, found.revision, found.continue_token, shown(form)
        )
        return await answers.pieces(call.request, pieces, form)


def form_of(call: Call) -> Form:
    """The form in which objects are wanted. Refusal."""
    return negotiation.accepted(call.request.headers.get("Accept", ""), METADATA_SHAPES)


def shown(form: Form) -> encoding.Shown:
    """How objects look in a form."""
    return encoding.only_metadata if form.shape else encoding.whole


def too_new(error: Expired) -> Refusal:
    """A version that has not come here yet; clients know it by its cause and read the newest instead."""
    return Refusal(504, "Timeout", f"Too large resource version: {error}", TOO_LARGE_CAUSE)
