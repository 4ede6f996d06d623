"""Bearer tokens over HTTPS: who they make somebody, how they are asked for and looked into."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from component import jwt
from component.signing import make_key, read_keys
from tests.api_server import pod
from tests.rest_server import ACCOUNT_KEYS, ISSUER, USER_TOKEN, serving_rest

ROBOT = "system:serviceaccount:default:robot"
TOKEN_PATH = "/api/v1/namespaces/default/serviceaccounts/robot/token"
REVIEW_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
MAPS_PATH = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def rest(tmp_path: Path):
    async with serving_rest(tmp_path) as rest:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
        await rest.cluster.local.create(account)
        yield rest


async def issued(rest, **spec):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return await rest.ask("POST", TOKEN_PATH, body)


async def token_of(rest, **spec):
    return (await issued(rest, **spec)).tree["status"]["token"]


async def shown(rest, token, path=MAPS_PATH, scheme="Bearer"):
    """A request without a certificate."""
    return await rest.ask("GET", path, session=rest.session(None), headers={"Authorization": f"{scheme} {token}"})


async def review(rest, token, **spec):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, **spec}}
    return (await rest.ask("POST", REVIEW_PATH, body)).tree["status"]


async def test_a_token_makes_somebody_the_service_account(rest):
    token = await token_of(rest)
    refused = await shown(rest, token)
    assert (refused.status, refused.tree["reason"]) == (403, "Forbidden")
    assert f'User "{ROBOT}" cannot list resource "configmaps"' in refused.tree["message"]


async def test_what_the_account_was_given_it_may_do(rest):
    token = await token_of(rest)
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    rbac = "rbac.authorization.k8s.io"
    await rest.cluster.local.create(
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "lister"}, "rules": rules}
    )
    await rest.cluster.local.create(
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "robot"},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "lister"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}],
        }
    )
    answer = await shown(rest, token)
    assert (answer.status, answer.tree["kind"]) == (200, "ConfigMapList")


@pytest.mark.parametrize("scheme", ["Basic", "Token"])
async def test_another_scheme_is_no_identity(rest, scheme):
    answer = await shown(rest, USER_TOKEN, scheme=scheme)
    assert (answer.status, answer.tree["reason"]) == (401, "Unauthorized")
    assert answer.tree["message"] == "a client certificate or a bearer token is needed"


async def test_a_forged_or_foreign_token_is_refused_and_not_repeated(rest):
    claims = jwt.parts(await token_of(rest)).payload
    for token in ("x", "a.b.c", read_keys(make_key()).sign(claims)):
        answer = await shown(rest, token)
        assert (answer.status, answer.tree["reason"]) == (401, "Unauthorized")
        assert f" {token}" not in answer.text


async def test_a_token_for_somebody_else_is_none_for_the_api(rest):
    answer = await shown(rest, await token_of(rest, audiences=["vault"]))
    assert (answer.status, answer.tree["message"]) == (401, "the token is for another audience")


async def test_a_certificate_counts_before_a_token(rest):
    answer = await rest.ask("GET", MAPS_PATH, headers={"Authorization": "Bearer nonsense"})
    assert answer.status == 200


async def test_the_token_of_a_deleted_account_is_refused_at_once(rest):
    token = await token_of(rest)
    await rest.cluster.local.delete("serviceaccounts", "default", "robot")
    answer = await shown(rest, token)
    assert (answer.status, answer.tree["message"]) == (401, "the token's service account was deleted")


async def test_a_token_request_is_answered_with_what_was_made_of_it(rest):
    await rest.cluster.local.create(pod("web", serviceAccountName="robot"))
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "web"}
    answer = await issued(rest, audiences=["vault"], expirationSeconds=900, boundObjectRef=reference)
    assert answer.status == 201
    tree = answer.tree
    assert tree["metadata"] == {"name": "robot", "namespace": "default"}
    assert tree["spec"] == {"audiences": ["vault"], "expirationSeconds": 900, "boundObjectRef": reference}
    assert tree["status"].keys() == {"token", "expirationTimestamp"}
    plain = (await issued(rest)).tree["spec"]
    assert plain == {"audiences": [ISSUER], "expirationSeconds": 3600}


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"expirationSeconds": 0}, 422, "spec.expirationSeconds: Invalid value: 0"),
        ({"expirationSeconds": 5}, 422, "less than 10 minutes"),
        ({"expirationSeconds": "1h"}, 400, "expirationSeconds"),
        ({"colour": "red"}, 400, "colour"),
        ({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s"}}, 422, "spec.boundObjectRef.kind"),
        ({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "gone"}}, 404, 'pods "gone" not found'),
    ],
)
async def test_a_token_request_that_cannot_be_is_refused_by_name(rest, spec, code, message):
    answer = await issued(rest, **spec)
    assert answer.status == code
    assert message in answer.tree["message"]


async def test_a_token_request_needs_the_right_to_make_tokens(rest):
    token = await token_of(rest)
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    answer = await rest.ask(
        "POST", TOKEN_PATH, body, session=rest.session(None), headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status == 403
    assert 'cannot create resource "serviceaccounts/token"' in answer.tree["message"]


async def test_a_review_tells_whose_a_token_is(rest):
    status = await review(rest, await token_of(rest))
    assert status["authenticated"] is True
    assert status["audiences"] == [ISSUER]
    user = status["user"]
    assert (user["username"], user["groups"]) == (
        ROBOT,
        ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
    )
    assert user["uid"] == (await rest.cluster.local.get("serviceaccounts", "default", "robot")).uid
    assert user["extra"].keys() == {"authentication.kubernetes.io/credential-id"}


async def test_a_review_asks_for_an_audience(rest):
    token = await token_of(rest, audiences=["vault", "bank"])
    assert (await review(rest, token, audiences=["vault", "x"]))["audiences"] == ["vault"]
    refused = await review(rest, token)
    assert refused == {"authenticated": False, "user": {}, "error": "the token is for another audience"}


async def test_a_review_of_nonsense_is_an_answer(rest):
    assert (await review(rest, "nonsense"))["authenticated"] is False
    assert (await rest.ask("POST", REVIEW_PATH, {"kind": "TokenReview"})).status == 400


async def test_a_user_with_a_token_of_the_file_is_known_by_it(rest):
    status = await review(rest, USER_TOKEN)
    assert status["user"] == {"username": "jane", "groups": ["dev", "ops", "system:authenticated"], "uid": "u1"}
    answer = await shown(rest, USER_TOKEN)
    assert 'User "jane" cannot list resource "configmaps"' in answer.tree["message"]


async def test_others_find_the_keys_by_openid_discovery(rest):
    configuration = (await rest.ask("GET", "/.well-known/openid-configuration")).tree
    assert configuration["issuer"] == ISSUER
    assert configuration["jwks_uri"] == f"{ISSUER}/openid/v1/jwks"
    keys = (await rest.ask("GET", "/openid/v1/jwks")).tree
    assert keys == json.loads(json.dumps(ACCOUNT_KEYS.jwks()))


async def test_both_are_found_by_discovery(rest):
    core = (await rest.ask("GET", "/api/v1")).tree["resources"]
    row = next(each for each in core if each["name"] == "serviceaccounts/token")
    assert (row["kind"], row["group"], row["version"], row["verbs"]) == (
        *("TokenRequest", "authentication.k8s.io", "v1"),
        ["create"],
    )
    reviews = (await rest.ask("GET", "/apis/authentication.k8s.io/v1")).tree["resources"]
    assert any(each["name"] == "tokenreviews" for each in reviews)
