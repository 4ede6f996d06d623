"""Asking for tokens and showing them, on a replica's state."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import structlog

from api.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from component import jwt
from component.signing import make_key, read_keys
from controlplane.admission.request import Identity, node_identity
from controlplane.apiserver.accounts.bearer import BearerAuthenticator
from controlplane.apiserver.accounts.claims import Claims, account_identity, issuer_of
from controlplane.apiserver.accounts.issuing import BoundObject, TokenDesk, TokenRequest
from controlplane.apiserver.accounts.static import StaticTokens, TokenFile, TokenFileProblem, read_tokens
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.authz import roles_of
from tests.api_server import ADMIN, node, pod

ISSUER = issuer_of("cluster.local")
KEYS = read_keys(make_key())
NODE = node_identity("n1")
TOKENS = [{"path": "vault", "audience": "vault"}, {"path": "api"}]
VOLUME = {"name": "t", "projected": {"sources": [{"serviceAccountToken": each} for each in TOKENS]}}


@pytest.fixture
async def desk(cluster):
    await cluster.local.create(account("robot"))
    core = cluster.core
    authenticator = Authenticator(core.authorizer)
    return TokenDesk(cluster.replica, core.authorize, core.consult, KEYS, ISSUER, authenticator, cluster.env)


@pytest.fixture
def bearer(cluster):
    static = read_tokens('0123456789abcdef,jane,u1,"dev,ops"\n', "tokens.csv")
    return BearerAuthenticator(cluster.replica, KEYS, static, ISSUER, cluster.env)


@pytest.fixture
async def web(api, desk):
    """A pod of the account on node n1."""
    await api.create(node("n1"))
    await api.create(pod("web", serviceAccountName="robot", nodeName="n1", volumes=[VOLUME]))
    return await api.get("pods", "default", "web")


def account(name):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}


def claims_of(token):
    return msgspec.json.decode(jwt.parts(token).payload, type=Claims)


def asked(name="robot", **fields):
    return TokenRequest("default", name, **fields)


async def test_a_token_is_for_the_api_and_an_hour_unless_asked_otherwise(desk, cluster):
    made = await desk.issue(ADMIN, asked())
    claims = claims_of(made.token)
    assert (claims.aud, claims.exp - claims.iat) == ((ISSUER,), 3600)
    other = claims_of((await desk.issue(ADMIN, asked(audiences=("vault", "x"), expiration_seconds=600))).token)
    assert (other.aud, other.exp - other.iat) == (("vault", "x"), 600)
    assert other.jti != claims.jti


async def test_who_shows_the_token_is_the_account(desk, bearer, api):
    made = await desk.issue(ADMIN, asked())
    found = await bearer.caller(made.token)
    assert (found.identity, found.audiences) == (account_identity("default", "robot"), (ISSUER,))
    assert found.uid == (await api.get("serviceaccounts", "default", "robot")).uid


async def test_deleting_the_account_ends_its_tokens_even_if_one_of_that_name_comes_back(desk, bearer, api):
    made = await desk.issue(ADMIN, asked())
    assert await bearer.caller(made.token)
    await api.delete("serviceaccounts", "default", "robot")
    with pytest.raises(Unauthenticated, match="service account was deleted"):
        await bearer.caller(made.token)
    await api.create(account("robot"))
    with pytest.raises(Unauthenticated, match="service account was deleted"):
        await bearer.caller(made.token)


async def test_deleting_the_pod_ends_the_token_that_is_bound_to_it(desk, bearer, api, web):
    made = await desk.issue(NODE, asked(audiences=("vault",), bound=BoundObject("Pod", "web", web.uid)))
    assert await bearer.caller(made.token, ("vault",))
    await api.delete("pods", "default", "web", grace_seconds=0)
    with pytest.raises(Unauthenticated, match="pod is gone"):
        await bearer.caller(made.token, ("vault",))


async def test_a_bound_token_names_the_pod_and_its_node(desk, web):
    made = await desk.issue(ADMIN, asked(bound=BoundObject("Pod", "web")))
    bound = claims_of(made.token).bound
    assert (bound.pod.name, bound.pod.uid) == ("web", web.uid)
    assert bound.node.name == "n1"
    assert bound.node.uid


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"name": "nobody"}, NotFound, '"nobody" not found'),
        ({"name": ""}, Invalid, "metadata.name: Required value"),
        ({"expiration_seconds": 599}, Invalid, "spec.expirationSeconds: Invalid value: 599: .* less than 10 minutes"),
        ({"expiration_seconds": -1}, Invalid, "spec.expirationSeconds: Invalid value: -1"),
        ({"expiration_seconds": (1 << 32) + 1}, Invalid, "larger than 2\\^32 seconds"),
        ({"audiences": ("a", "")}, Invalid, r"spec.audiences\[1\]"),
        ({"audiences": ("a",) * 33}, Invalid, "spec.audiences: Too many"),
        ({"bound": BoundObject("Secret", "s")}, Invalid, 'boundObjectRef.kind: Unsupported value: "Secret"'),
        ({"bound": BoundObject("Pod", "")}, Invalid, "boundObjectRef.name: Required value"),
        ({"bound": BoundObject("Pod", "gone")}, NotFound, 'pods "gone" not found'),
        ({"bound": BoundObject("Pod", "web", "other")}, Conflict, "the request says other"),
        ({"bound": BoundObject("Pod", "other")}, Invalid, 'runs as service account "default", not "robot"'),
    ],
)
async def test_what_cannot_be_had_is_refused_by_name(desk, api, web, fields, error, message):
    await api.create(pod("other"))
    with pytest.raises(error, match=message):
        await desk.issue(ADMIN, asked(**fields))


@pytest.mark.parametrize("who", [Identity("jane", ("dev",)), account_identity("default", "robot")])
async def test_whoever_may_not_make_tokens_gets_none(desk, who):
    with pytest.raises(Forbidden):
        await desk.issue(who, asked())


async def test_a_node_gets_what_the_volumes_of_its_own_pods_ask_for(desk, web):
    made = await desk.issue(NODE, asked(audiences=("vault",), bound=BoundObject("Pod", "web", web.uid)))
    assert claims_of(made.token).aud == ("vault",)
    api_token = await desk.issue(NODE, asked(bound=BoundObject("Pod", "web", web.uid)))
    assert claims_of(api_token.token).aud == (ISSUER,)


async def test_a_node_gets_nothing_else(desk, api, web):
    bound = BoundObject("Pod", "web", web.uid)
    for who, request in (
        (NODE, asked()),
        (NODE, asked(bound=BoundObject("Pod", "web"))),
        (NODE, asked(audiences=("bank",), bound=bound)),
        (NODE, asked(audiences=("vault", ISSUER), bound=bound)),
        (node_identity("n2"), asked(bound=bound)),
    ):
        with pytest.raises(Forbidden, match=r"may (only|not) ask"):
            await desk.issue(who, request)


async def test_a_pod_without_a_token_volume_gets_none_through_its_node(desk, api):
    await api.create(node("n1"))
    bare = await api.create(pod("bare", serviceAccountName="robot", nodeName="n1", automountServiceAccountToken=False))
    with pytest.raises(Forbidden, match="no volume of pod"):
        await desk.issue(NODE, asked(bound=BoundObject("Pod", "bare", bare.uid)))


async def test_a_token_for_others_is_none_for_the_api(desk, bearer):
    made = await desk.issue(ADMIN, asked(audiences=("vault",)))
    with pytest.raises(Unauthenticated, match="another audience"):
        await bearer.caller(made.token)
    assert (await bearer.caller(made.token, ("bank", "vault"))).audiences == ("vault",)


async def test_a_token_expires(desk, bearer, cluster):
    now = cluster.env.now()
    made = await desk.issue(ADMIN, asked())
    assert await bearer.caller(made.token)
    env = replace(cluster.env, now=lambda: now + 3601)
    later = BearerAuthenticator(cluster.replica, KEYS, StaticTokens({}), ISSUER, env)
    with pytest.raises(Unauthenticated, match="has expired"):
        await later.caller(made.token)

    return replace(env, now=lambda: now)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "0123456789abcdeg"])
async def test_what_nobody_has_is_refused_without_being_quoted(bearer, token):
    with pytest.raises(Unauthenticated) as refused:
        await bearer.caller(token)
    assert not token or token not in str(refused.value).split()


async def test_a_user_with_a_token_from_the_file_has_its_groups(bearer):
    found = await bearer.caller("0123456789abcdef")
    assert (found.identity, found.uid) == (Identity("jane", ("dev", "ops", "system:authenticated")), "u1")
    assert found.audiences == (ISSUER,)
    with pytest.raises(Unauthenticated, match="another audience"):
        await bearer.caller("0123456789abcdef", ("vault",))


def test_a_file_of_tokens_may_have_comments_and_users_without_groups():
    tokens = read_tokens("# team\n\n0123456789abcdef,jane,u1\nfedcba9876543210, joe ,u2,ops\n", "f")
    assert tokens.caller("0123456789abcdef").identity.groups == ("system:authenticated",)
    assert tokens.caller("fedcba9876543210").identity.groups == ("ops", "system:authenticated")
    assert tokens.caller("0123456789abcdeX") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0123456789abcdef,jane", "line 1: write token,user,uid"),
        ("0123456789abcdef,,u1", "line 1: write token,user,uid"),
        ("short,jane,u1", "line 1: the token must have 16"),
        ("0123456789abcdef,jane,u1\n0123456789abcdef,joe,u2", "line 2: the token stands in another line"),
    ],
)
def test_a_file_of_tokens_that_is_wrong_names_the_line_and_no_token(text, message):
    with pytest.raises(TokenFileProblem, match=message) as problem:
        read_tokens(text, "tokens.csv")
    assert "0123456789abcdef" not in str(problem.value)


async def test_a_service_account_may_read_nothing_until_it_is_given_rights(cluster):
    robot = account_identity("default", "robot")
    assert roles_of(robot) == {"user"}
    with pytest.raises(Forbidden, match='User "system:serviceaccount:default:robot" cannot get'):
        await cluster.core.reads.get(robot, "services", "default", "kubernetes")


async def test_webhooks_see_the_request_with_all_that_it_means_and_can_refuse_it(cluster, web):
    seen = []

    async def consult(attributes):
        seen.append(attributes)
        raise Forbidden("not today")

    core = cluster.core
    desk = TokenDesk(
        cluster.replica, core.authorize, consult, KEYS, ISSUER, Authenticator(core.authorizer), cluster.env
    )
    with pytest.raises(Forbidden, match="not today"):
        await desk.issue(NODE, asked(audiences=("vault",), bound=BoundObject("Pod", "web", web.uid)))
    with pytest.raises(NotFound):
        await desk.issue(ADMIN, asked("nobody"))  # which is no question for them
    (attributes,) = seen
    assert (attributes.operation, attributes.resource, attributes.subresource) == ("CREATE", "serviceaccounts", "token")
    assert (attributes.identity, attributes.namespace, attributes.name) == (NODE, "default", "robot")
    assert attributes.kind == ("authentication.k8s.io/v1", "TokenRequest")
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": web.uid}
    assert attributes.tree["spec"] == {"audiences": ["vault"], "expirationSeconds": 3600, "boundObjectRef": bound}


def test_a_file_of_tokens_is_read_again_when_asked_to_and_stays_as_it_was_when_it_is_wrong(tmp_path):
    path = tmp_path / "tokens.csv"
    path.write_text("0123456789abcdef,jane,u1\n")
    tokens = TokenFile(str(path))
    path.write_text("fedcba9876543210,joe,u2\n")
    assert tokens.caller("0123456789abcdef"), "not before it is asked to"
    tokens.reload()
    assert tokens.caller("0123456789abcdef") is None
    assert tokens.caller("fedcba9876543210").identity.user == "joe"
    for wrong in (b"short,joe,u2\n", b"\xff"):
        path.write_bytes(wrong)
        with structlog.testing.capture_logs() as logs:
            tokens.reload()
        assert [entry["event"] for entry in logs] == ["token_file_not_read"]
        assert tokens.caller("fedcba9876543210")
        with pytest.raises(OSError, match=r"tokens\.csv, line 1|utf-8"):
            TokenFile(str(path))
    path.unlink()
    tokens.reload()
    assert tokens.caller("fedcba9876543210")


def test_no_file_of_tokens_is_none():
    tokens = TokenFile("")
    tokens.reload()
    assert tokens.caller("") is None
