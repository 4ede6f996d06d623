"""Making tokens for service accounts (Kubernetes: TokenRequest): who may ask for which, and what they are bound to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import msgspec

from api.core import Pod
from api.errors import ApiError, Conflict, FieldError, Forbidden, Invalid, NotFound
from api.object import Tree
from api.scheme import by_resource
from api.v1 import apiserver_pb2 as pb
from api.validate_volume import LONGEST_TOKEN_SECONDS, SHORTEST_TOKEN_SECONDS
from api.volume import ServiceAccountTokenProjection
from component.env import Env, rfc3339
from component.rpc_server import Context
from component.signing import SigningKeys
from controlplane.admission.request import Identity
from controlplane.admission.webhooks.attributes import Attributes as Asked
from controlplane.admission.webhooks.attributes import posted
from controlplane.apiserver.accounts.claims import Bound, Named, claims_for
from controlplane.apiserver.authn import Authenticator
from controlplane.commands import Key, Stored
from controlplane.rbac.attributes import Attributes, on
from controlplane.store.state import State

DEFAULT_SECONDS = 3600
MOST_AUDIENCES = 32
LONGEST_AUDIENCE_CHARACTERS = 1024


class StateView(Protocol):
    """The replica's state."""

    @property
    def state(self) -> State:
        """The state as it is here, which may be a little behind."""

    async def read_barrier(self) -> None:
        """Return once the state holds everything that was acknowledged before the call."""


@dataclass(frozen=True, slots=True)
class BoundObject:
    """The object that a token shall not outlive. An empty `uid` means whichever has the name now."""

    kind: str
    name: str
    uid: str = ""
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked for. No audience means the API itself, no time an hour."""

    namespace: str
    account: str
    audiences: tuple[str, ...] = ()
    expiration_seconds: int | None = None
    bound: BoundObject | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token, and when it expires (RFC 3339)."""

    token: str = field(repr=False)
    expiration_time: str
    audiences: tuple[str, ...]
    expiration_seconds: int


class TokenDesk:
    """Signs tokens; any replica can, each holds the key. `issuer` is also the audience that the API is.

    `consult` asks the webhooks that have a say in it.
    """

    def __init__(
        self,
        view: StateView,
        authorize: Callable[[Identity, Attributes], Awaitable[None]],
        consult: Callable[[Asked], Awaitable[object]],
        keys: SigningKeys,
        issuer: str,
        authenticator: Authenticator,
        env: Env,
    ) -> None:
        self._view = view
        self._keys = keys
        self._issuer = issuer
        self._authorize = authorize
        self._consult = consult
        self._authenticator = authenticator
        self._env = env

    async def issue(self, identity: Identity, request: TokenRequest) -> IssuedToken:
        """Make a token. Invalid, NotFound, Conflict (another uid), Forbidden; what a webhook has against it.

        What this replica's state refuses is looked at again once it has caught up.
        """
        check_request(request)
        asked = on(_ACCOUNTS, "create", request.namespace, request.account, "token")
        if not identity.node:
            await self._authorize(identity, asked)
        try:
            bound = decide(identity, request, self._view.state)
        except ApiError:
            await self._view.read_barrier()
            bound = decide(identity, request, self._view.state)
        audiences = request.audiences or (self._issuer,)
        seconds = request.expiration_seconds or DEFAULT_SECONDS
        await self._consult(posted(identity, "CREATE", asked, posted_tree(request, audiences, seconds)))
        now = self._env.now()
        claims = claims_for(bound, audiences, seconds, issuer=self._issuer, now=now, token_id=self._env.new_uid())
        return IssuedToken(self._keys.sign(msgspec.json.encode(claims)), rfc3339(claims.exp), audiences, seconds)

    async def create_token(self, request: pb.CreateTokenRequest, context: Context) -> pb.CreateTokenResponse:
        """CreateToken."""
        sent = request.bound
        bound = BoundObject(sent.kind, sent.name, sent.uid, sent.api_version) if request.HasField("bound") else None
        wanted = TokenRequest(
            request.namespace,
            request.service_account,
            tuple(request.audiences),
            request.expiration_seconds or None,
            bound,
        )
        made = await self.issue(self._authenticator.identify(context), wanted)
        return pb.CreateTokenResponse(token=made.token, expiration_time=made.expiration_time)

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of the RPC."""
        return grpc.unary_unary_rpc_method_handler(
            self.create_token, pb.CreateTokenRequest.FromString, pb.CreateTokenResponse.SerializeToString
        )


def posted_tree(request: TokenRequest, audiences: Sequence[str], seconds: int) -> Tree:
    """The request as webhooks see it, with what it means where it says nothing."""
    spec: Tree = {"audiences": list(audiences), "expirationSeconds": seconds}
    if (bound := request.bound) is not None:
        named = {"kind": bound.kind, "apiVersion": "v1", "name": bound.name, "uid": bound.uid}
        spec["boundObjectRef"] = {name: value for name, value in named.items() if value}
    metadata = {"name": request.account, "namespace": request.namespace}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": metadata, "spec": spec}


def check_request(request: TokenRequest) -> None:
    """Invalid, naming every field that cannot be as it is, wherever the request came from."""
    faults: list[FieldError] = []
    if not request.account:
        faults.append(FieldError("metadata.name", "Required value"))
    seconds = request.expiration_seconds
    if seconds is not None and seconds < SHORTEST_TOKEN_SECONDS:
        faults.append(_invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    if seconds is not None and seconds > LONGEST_TOKEN_SECONDS:
        faults.append(
            _invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
        )
    faults += _audience_faults(request.audiences)
    bound = request.bound
    if bound is not None:
        if (bound.kind, bound.api_version) not in {("Pod", "v1"), ("Pod", "")}:
            kind = f"{bound.api_version}/{bound.kind}" if bound.api_version else bound.kind
            message = f'Unsupported value: "{kind}": supported values: "Pod" of apiVersion "v1"'
            faults.append(FieldError("spec.boundObjectRef.kind", message))
        if not bound.name:
            faults.append(FieldError("spec.boundObjectRef.name", "Required value"))
    if faults:
        raise Invalid(f'token for service account "{request.account}" is invalid', faults)


def _audience_faults(audiences: Sequence[str]) -> list[FieldError]:
    if len(audiences) > MOST_AUDIENCES:
        return [FieldError("spec.audiences", f"Too many: {len(audiences)}: must have at most {MOST_AUDIENCES} items")]
    return [
        FieldError(f"spec.audiences[{index}]", f"must have 1 to {LONGEST_AUDIENCE_CHARACTERS} characters")
        for index, audience in enumerate(audiences)
        if not 0 < len(audience) <= LONGEST_AUDIENCE_CHARACTERS
    ]


def _invalid(path: str, value: int, why: str) -> FieldError:
    return FieldError(path, f"Invalid value: {value}: {why}")


def decide(identity: Identity, request: TokenRequest, state: State) -> Bound:
    """What the token will be bound to. Forbidden for a node that may not have it; NotFound, Conflict, Invalid."""
    namespace, name = request.namespace, request.account
    pod = _pod_of(request, state)
    if identity.node:
        _check_node(identity, request, pod)
    account = state.get(Key("serviceaccounts", namespace, name))
    if account is None:
        raise NotFound(f'serviceaccounts "{name}" not found')
    if account.envelope.deletion_time:
        raise Forbidden(f'service account "{namespace}/{name}" is being deleted')
    if pod is None:
        return Bound(namespace=namespace, serviceaccount=Named(name, account.envelope.uid))
    envelope = pod.envelope
    return Bound(
        namespace=namespace,
        serviceaccount=Named(name, account.envelope.uid),
        pod=Named(envelope.key.name, envelope.uid),
        node=_node_of(envelope.node, state),
    )


def _pod_of(request: TokenRequest, state: State) -> Stored | None:
    """The pod to bind to, if any; it must run as the account."""
    bound = request.bound
    if bound is None:
        return None
    pod = state.get(Key("pods", request.namespace, bound.name))
    if pod is None:
        raise NotFound(f'pods "{bound.name}" not found')
    if bound.uid and bound.uid != pod.envelope.uid:
        raise Conflict(f'the uid of pod "{bound.name}" is {pod.envelope.uid}, the request says {bound.uid}')
    runs_as = _decode_pod(pod.body).spec.service_account_name or "default"
    if runs_as != request.account:
        message = f'pod "{bound.name}" runs as service account "{runs_as}", not "{request.account}"'
        raise Invalid(message, [FieldError("spec.boundObjectRef", "must be a pod of the service account")])
    return pod


def _check_node(identity: Identity, request: TokenRequest, pod: Stored | None) -> None:
    """A node may have what the volumes of its own pods ask for, and nothing else (Kubernetes: NodeRestriction)."""
    if pod is None or pod.envelope.node != identity.node or not (request.bound and request.bound.uid):
        raise Forbidden(f'node "{identity.node}" may only ask for tokens bound to pods that are on it, by their uid')
    wanted = {(each.audience or "",) for each in projections(_decode_pod(pod.body))}
    if (request.audiences or ("",)) not in wanted:
        name = pod.envelope.key.name
        raise Forbidden(f'node "{identity.node}" may not ask for this audience: no volume of pod "{name}" has it')


def projections(pod: Pod) -> list[ServiceAccountTokenProjection]:
    """All tokens that the volumes of a pod hold."""
    return [
        source.service_account_token
        for volume in pod.spec.volumes
        if volume.projected is not None
        for source in volume.projected.sources
        if source.service_account_token is not None
    ]


def _node_of(name: str, state: State) -> Named | None:
    node = state.get(Key("nodes", "", name)) if name else None
    return Named(name, node.envelope.uid) if node is not None else None


_ACCOUNTS = by_resource("serviceaccounts")
_decode_pod = msgspec.json.Decoder(Pod).decode
