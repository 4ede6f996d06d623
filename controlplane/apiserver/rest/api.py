"""The outermost shell: from an HTTP request to whoever serves it, and from every error to a Status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from aiohttp import web
from msgspec import structs

from api.errors import ApiError, NotFound
from api.object import Tree
from api.selectors import parse_field_selector
from component.env import Env
from component.rpc_server import Ticket
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.pod_network import PodNetwork
from controlplane.apiserver.rest import answers, bodies, connects, negotiation, paths, queries
from controlplane.apiserver.rest.access import Callers
from controlplane.apiserver.rest.call import ASKED, MANAGER, REASON, SUBJECT, Call
from controlplane.apiserver.rest.described import DescribedKinds
from controlplane.apiserver.rest.discovery import AGGREGATED, AGGREGATED_GROUP, AGGREGATED_VERSIONS, PROXIED
from controlplane.apiserver.rest.exec import Commands
from controlplane.apiserver.rest.forward import Forwards
from controlplane.apiserver.rest.logs import Logs
from controlplane.apiserver.rest.paths import (
    ATTACH,
    EPHEMERAL,
    EXEC,
    MISSING,
    PORT_FORWARD,
    PROXY,
    SCALE,
    STATUS,
    GroupVersion,
    Target,
)
from controlplane.apiserver.rest.procedures import CREATED, Asked, Procedure, checked, of_pods, of_reviews
from controlplane.apiserver.rest.proxies import Proxies
from controlplane.apiserver.rest.reading import Reading
from controlplane.apiserver.rest.refusals import (
    RETRY_SECONDS,
    TOO_MANY,
    Refusal,
    internal_error,
    not_allowed,
    status_of,
)
from controlplane.apiserver.rest.scale import Scaling
from controlplane.apiserver.rest.streaming import SLOW_READER_SECONDS
from controlplane.apiserver.rest.watching import Watching
from controlplane.apiserver.rest.writing import Writing
from controlplane.apiserver.stream_calls import NodeStreams
from controlplane.rbac.attributes import Attributes, on, on_path

log = structlog.get_logger()

Verb = Callable[[Call], Awaitable[web.StreamResponse]]
Document = Callable[[web.Request], Awaitable[web.StreamResponse]]

_AGGREGATED: Final = tuple((AGGREGATED, version) for version in AGGREGATED_VERSIONS)
LISTS: Final = frozenset({"list", "deletecollection"})
STREAMS: Final = frozenset({"log", ATTACH, EXEC, PORT_FORWARD, PROXY})
"""What may stay open for hours."""

_VERBS: Final[Mapping[tuple[str, bool], str]] = {
    ("GET", False): "list",
    ("GET", True): "get",
    ("POST", False): "create",
    ("POST", True): "create",
    ("PUT", True): "update",
    ("PATCH", True): "patch",
    ("DELETE", False): "deletecollection",
    ("DELETE", True): "delete",
}
"""What a method means, in the words of authorization, for a collection and for what has a name."""


class RestApi:
    """Serves everything below /api and /apis, and further documents.

    `procedures` are posts that other parts of the API answer; binding and eviction are here. `documents` are further
    paths that everybody who is known may get. `resource` serves one request for resources, errors and all.
    """

    def __init__(
        self,
        core: ApiCore,
        streams: NodeStreams,
        callers: Callers,
        env: Env,
        pods: PodNetwork,
        procedures: Sequence[Procedure] = (),
        documents: Mapping[str, Document] | None = None,
        *,
        slow_reader_seconds: float = SLOW_READER_SECONDS,
    ) -> None:
        self._core = core
        self._slow_reader_seconds = slow_reader_seconds
        self._callers = callers
        procedures = (*of_pods(core), *of_reviews(core), *procedures)
        self._others = {
            (each.api_version, each.resource): each.namespaced for each in procedures if not each.subresource
        }
        self._procedures = {(each.api_version, each.resource, each.subresource): each for each in procedures}
        self._described_kinds = DescribedKinds(core.kinds, procedures)
        self._documents = {**self._described_kinds.schemas.routes(), **(documents or {})}
        self._watching = Watching(core.reads, env, slow_reader_seconds)
        reading, writing, scaling, logs = Reading(core.reads, env), Writing(core, env), Scaling(core), Logs(streams)
        commands = Commands(core.reads, streams)
        self._verbs: Mapping[tuple[str, str], Verb] = {
            ("get", ""): reading.get,
            ("list", ""): reading.list,
            ("watch", ""): self._watching.watch,
            ("create", ""): writing.create,
            ("update", ""): writing.update,
            ("patch", ""): writing.patch,
            ("delete", ""): writing.delete,
            ("deletecollection", ""): writing.delete_collection,
            ("get", STATUS): reading.get,
            ("update", STATUS): writing.update_status,
            ("patch", STATUS): writing.patch,
            ("get", EPHEMERAL): reading.get,
            ("update", EPHEMERAL): writing.update_ephemeral,
            ("patch", EPHEMERAL): writing.patch,
            ("get", SCALE): scaling.get,
            ("update", SCALE): scaling.update,
            ("patch", SCALE): scaling.patch,
            ("update", "finalize"): writing.update,
            ("get", "log"): logs.read,
            ("create", EXEC): commands.run,
            ("create", ATTACH): commands.attach,
            ("create", PORT_FORWARD): Forwards(core.reads, streams).run,
            **{(verb, PROXY): Proxies(core.reads, pods).run for verb in PROXIED},
        }
        self.resource: Document = self._answered(self._resource)

    def add_to(self, app: web.Application) -> None:
        """Add all routes."""
        for slash in ("", "/"):  # some clients write one behind
            app.router.add_get(f"/api{slash}", self._guarded(self._core_versions))
            app.router.add_get(f"/apis{slash}", self._guarded(self._groups))
        for path, document in self._documents.items():
            app.router.add_get(path, self._guarded(document))
        app.router.add_route("*", "/api/{rest:.+}", self.resource)
        app.router.add_route("*", "/apis/{rest:.+}", self.resource)

    @staticmethod
    def about_resource(request: web.BaseRequest) -> bool:
        """Whether `resource` serves this path, which needs no router."""
        path = request.rel_url.raw_path
        return path.startswith(("/api/", "/apis/")) and path not in {"/api/", "/apis/"}

    @property
    def most_connections(self) -> int:
        """How many may be open from one address."""
        return self._core.gate.limits.connections

    def end_watches(self) -> None:
        """Send all watchers away: the server is closing."""
        self._watching.end()

    def _guarded(self, document: Document) -> Document:
        async def serve(request: web.Request) -> web.StreamResponse:
            identity = await self._callers.identify(request)
            await self._core.authorize(identity, on_path(request.method.lower(), request.path))
            ticket = self._core.gate.enter(identity) or await self._core.gate.wait(identity)
            try:
                return await answers.sent(request, await document(request), self._slow_reader_seconds)
            finally:
                ticket.end()

        return self._answered(serve)

    @staticmethod
    def _answered(handler: Document) -> Document:
        """The handler, with its errors as answers."""

        async def serve(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except (ApiError, Refusal) as error:
                status = status_of(error, request.get(SUBJECT))
            except ConnectionError:
                return web.Response()  # the client has gone: nobody is left to be told
            except Exception:  # the outermost frame of a request
                log.exception("request_failed", method=request.method, path=request.path)
                status = internal_error()
            request[REASON] = status["reason"]
            response = await answers.tree(request, status, status["code"])
            if status["code"] == TOO_MANY:  # only then: clients send again what they find this header with
                response.headers["Retry-After"] = str(RETRY_SECONDS)
            return response

        return serve

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        identity = await self._callers.identify(request)
        path = request.rel_url.raw_path
        meant = await self._core.kinds.find(lambda kinds: paths.parse(path, self._others, kinds))
        if isinstance(meant, GroupVersion):
            await self._core.authorize(identity, on_path(request.method.lower(), request.path))
            return await self._described(request, meant)
        request[SUBJECT] = meant
        if meant.subresource != PROXY:  # there the query is the pod's
            queries.check_known(request.query)
        verb = _verb(request, meant)
        asked = _asked(verb, meant, request.query)
        request[ASKED] = asked
        await self._core.authorize(identity, asked)
        query = {} if meant.subresource == PROXY else request.query
        manager = queries.manager(query, request.headers.get("User-Agent", ""))
        request[MANAGER] = manager
        call = Call(request, structs.replace(identity, manager=manager), meant, asked)
        if meant.kind is not None and meant.kind.custom is not None and meant.kind.custom.warning:
            call.warnings.append(meant.kind.custom.warning)
        procedure = self._procedures.get((meant.api_version, meant.plural, meant.subresource))
        if procedure is not None and verb == "create":
            return await self._let_in(call, lambda call: _run(call, procedure))
        serve = self._verbs.get((verb, meant.subresource))
        if serve is None or not _has(meant):
            raise self._refusal(verb, meant)
        return await serve(call) if verb == "watch" else await self._let_in(call, serve)

    async def _let_in(self, call: Call, serve: Verb) -> web.StreamResponse:
        """Serve a call when it is its user's turn; watches are let in by the core, for both front ends."""
        gate, identity = self._core.gate, call.identity
        if call.target.subresource in STREAMS:
            ticket: Ticket = gate.hold(identity, "streams")
        else:
            size = bodies.expected_bytes(call.request)
            if call.asked.verb in LISTS:
                limit = queries.list_options(call.query).limit
                size += self._core.costs.size(call.resource, call.target.namespace, limit)
            ticket = gate.enter(identity, size) or await gate.wait(identity, size)
        try:
            await connects.check(self._core, call)
            return await answers.sent(call.request, await serve(call), self._slow_reader_seconds)
        finally:
            ticket.end()

    def _refusal(self, verb: str, meant: Target) -> NotFound | Refusal:
        known = meant.subresource in {each for _, each in self._verbs} and _has(meant)
        if known or (meant.api_version, meant.plural, meant.subresource) in self._procedures:
            return not_allowed(verb)
        return NotFound(MISSING)

    async def _described(self, request: web.Request, meant: GroupVersion) -> web.StreamResponse:
        document = await self._described_kinds.document(meant)
        if request.method not in {"GET", "HEAD"}:
            raise not_allowed(request.method)
        if document is None:
            raise NotFound(MISSING)
        return await answers.tree(request, document)

    async def _core_versions(self, request: web.Request) -> web.StreamResponse:
        return await self._aggregated(request, self._described_kinds.discovery.core_versions(request.host), core=True)

    async def _groups(self, request: web.Request) -> web.StreamResponse:
        return await self._aggregated(request, self._described_kinds.discovery.groups(), core=False)

    async def _aggregated(self, request: web.Request, classic: Tree, *, core: bool) -> web.StreamResponse:
        form = negotiation.accepted(request.headers.get("Accept", ""), _AGGREGATED)
        if not form.shape:
            return await answers.tree(request, classic, form=form)
        response = await answers.tree(request, self._described_kinds.discovery.aggregated(form.version, core=core))
        response.headers["Content-Type"] = f"{negotiation.JSON};g={AGGREGATED_GROUP};v={form.version};as={AGGREGATED}"
        return response


async def _run(call: Call, procedure: Procedure) -> web.StreamResponse:
    tree = checked(procedure, await bodies.value(call.request))
    answer = await procedure.answer(Asked(call.identity, call.target, tree, call.query, call.asked))
    return await answers.tree(call.request, answer, CREATED, call.warnings)


def _verb(request: web.Request, target: Target) -> str:
    """What is asked, in the words of authorization. Refusal."""
    method = "GET" if request.method == "HEAD" and target.subresource == PROXY else request.method
    verb = _VERBS.get((method, bool(target.name)))
    if verb is None or (verb == "create" and target.name and not target.subresource):
        raise not_allowed(f"{request.method} of {request.path}")
    if verb == "get" and target.subresource in {EXEC, ATTACH, PORT_FORWARD}:
        return "create"  # a WebSocket is opened by a get, but who may only read must run nothing and reach nothing
    wants_watch = target.watching or queries.boolean(request.query, "watch", default=False)
    return "watch" if verb in {"get", "list"} and wants_watch and not target.subresource else verb


def _asked(verb: str, target: Target, query: queries.Query) -> Attributes:
    """What the caller needs to be allowed. A selector of one name asks for that object only. Invalid."""
    name = target.name
    if not name and verb in {"list", "watch"}:
        name = parse_field_selector(query.get("fieldSelector", "")).exact("metadata.name") or ""
    if target.kind is not None:
        return on(target.kind, verb, target.namespace, name, target.subresource)
    return Attributes(verb, target.group, target.plural, target.subresource, target.namespace, name)


def _has(target: Target) -> bool:
    return target.kind is not None and paths.offers(target.kind, target.subresource)
