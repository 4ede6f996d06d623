import ssl
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from api.errors import AlreadyExists, Invalid, NotFound, Unauthenticated, Unavailable
from api.v1 import apiserver_pb2 as pb
from component import join as joining
from component import pki
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.health import Health
from controlplane.apiserver.https import HttpsServer
from controlplane.apiserver.join import JoinDesk
from controlplane.apiserver.pod_network import PodNetwork
from controlplane.apiserver.rest.access import Callers
from controlplane.apiserver.rest.api import RestApi
from tests.api_server import NoStreams, make_pki, running_core
from tests.rest_server import bearer_of, nowhere


class Desk:
    def __init__(self, cluster, keys, server, port):
        self.cluster, self.keys, self.server, self.address = cluster, keys, server, f"127.0.0.1:{port}"
        self.hash = pki.ca_hash(keys.ca.cert_pem)

    async def token(self, name="", seconds=60, role="node"):
        request = pb.CreateJoinTokenRequest(role=role, name=name, ttl_seconds=seconds)
        return (await self.desk.create_token(request)).token

    async def renew(self, token, key_pem, name="n1"):
        return await joining.renew([self.address], token, self.hash, name, key_pem, self.cluster.env)

    async def join(self, token, name="n1", ca_hash="", env=None):
        return await joining.join([self.address], token, ca_hash or self.hash, name, env or self.cluster.env)


@asynccontextmanager
async def serving(tmp_path, problems=dict):
    keys = make_pki()
    (tmp_path / "crt").write_bytes(keys.server.cert_pem)
    (tmp_path / "key").write_bytes(keys.server.key_pem)
    async with running_core(tmp_path / "snapshots") as cluster:
        desk = JoinDesk(cluster.core, cluster.local, keys.ca, lambda: {"r1": "127.0.0.1:7443"}, "c1", cluster.env)
        callers = Callers(Authenticator(cluster.core.authorizer), bearer_of(cluster))
        api = RestApi(cluster.core, NoStreams(), callers, cluster.env, PodNetwork(NoStreams(), nowhere))
        server = HttpsServer(desk, None, api, Health(problems), "1.2.3")
        port = await server.start("127.0.0.1", 0, tmp_path / "crt", tmp_path / "key")
        try:
            made = Desk(cluster, keys, server, port)
            made.desk = desk
            yield made
        finally:
            await server.close()


async def test_a_machine_with_a_token_becomes_a_node_with_a_pod_range(tmp_path):
    async with serving(tmp_path) as desk:
        joined = await desk.join(await desk.token("n1"))
        node = (await desk.cluster.local.get("nodes", "", "n1")).tree()
        subject = pki.read_subject(joined.files["pki/node.crt"])
    assert joined.endpoints == ("127.0.0.1:7443",)
    assert joined.cluster_uid == "c1"
    assert node["spec"]["podCIDR"].endswith("/24")
    assert (subject.common_name, subject.groups, subject.dns_names) == ("system:node:n1", ("system:nodes",), ())


async def test_a_token_works_once(tmp_path):
    async with serving(tmp_path) as desk:
        token = await desk.token()
        await desk.join(token, "n1")
        with pytest.raises(Unauthenticated, match="was used or has expired"):
            await desk.join(token, "n2")
        assert [item.name for item in (await desk.cluster.local.list("nodes")).items] == ["n1"]


async def test_a_node_gets_another_certificate_for_its_key_with_a_token_for_that_which_works_once(tmp_path):
    async with serving(tmp_path) as desk:
        joined = await desk.join(await desk.token("n1"))
        before = (await desk.cluster.local.get("nodes", "", "n1")).uid
        token, key_pem = await desk.token("n1", role="renewal"), joined.files["pki/node.key"]
        renewed = await desk.renew(token, key_pem)
        pki.check_key(renewed, key_pem)
        old, new = pki.read_subject(joined.files["pki/node.crt"]), pki.read_subject(renewed)
        assert (new.common_name, new.groups) == (old.common_name, old.groups)
        assert new.serial != old.serial
        assert (await desk.cluster.local.get("nodes", "", "n1")).uid == before
        with pytest.raises(Unauthenticated, match="was used or has expired"):
            await desk.renew(token, key_pem)


async def test_a_token_is_good_only_for_what_it_was_made_for(tmp_path):
    async with serving(tmp_path) as desk:
        key_pem = (await desk.join(await desk.token(), "n1")).files["pki/node.key"]
        for token, message in (
            (await desk.token("n1"), "for a node, not for a renewal"),
            (await desk.token("n2", role="renewal"), "for renewal 'n2', not 'n1'"),
        ):
            with pytest.raises(Unauthenticated, match=message):
                await desk.renew(token, key_pem)
        with pytest.raises(Unauthenticated, match="for a renewal, not for a node"):
            await desk.join(await desk.token("n3", role="renewal"), "n3")
        with pytest.raises(Invalid, match="for one node: name it"):
            await desk.token(role="renewal")
        with pytest.raises(Invalid, match="there are tokens for node, replica and renewal"):
            await desk.token(role="king")


async def test_a_node_that_was_removed_gets_no_certificate_and_the_token_stays(tmp_path):
    async with serving(tmp_path) as desk:
        _, key_pem = pki.make_request("system:node:n1")
        token = await desk.token("n1", role="renewal")
        with pytest.raises(NotFound, match="node 'n1' was removed from the cluster"):
            await desk.renew(token, key_pem)
        await desk.join(await desk.token("n1"))
        assert await desk.renew(token, key_pem)


async def test_a_refused_join_does_not_use_the_token_up(tmp_path):
    async with serving(tmp_path) as desk:
        await desk.join(await desk.token(), "n1")
        token = await desk.token()
        with pytest.raises(AlreadyExists, match="node 'n1' exists: delete it first"):
            await desk.join(token, "n1")
        with pytest.raises(Invalid, match=r"metadata\.name"):
            await desk.join(token, "Not A Name")
        await desk.join(token, "n2")


async def test_an_expired_token_is_refused(tmp_path):
    async with serving(tmp_path) as desk:
        token = await desk.token(seconds=1)
        later = replace(desk.cluster.env, now=lambda: desk.cluster.env.now() + 5)
        desk.desk._env = later
        with pytest.raises(Unauthenticated, match="expired at"):
            await desk.join(token)


async def test_expired_tokens_go_when_the_next_one_is_made(tmp_path):
    async with serving(tmp_path) as desk:
        await desk.token(seconds=1)
        lasting = await desk.token(seconds=600)
        desk.desk._env = replace(desk.cluster.env, now=lambda: desk.cluster.env.now() + 5)
        newest = await desk.token(seconds=600)
        kept = {item.name for item in (await desk.cluster.local.list("secrets", "kube-system")).items}
    assert kept == {f"bootstrap-token-{token[:6]}" for token in (lasting, newest)}


async def test_a_token_of_one_name_is_not_good_for_another(tmp_path):
    async with serving(tmp_path) as desk:
        with pytest.raises(Unauthenticated, match="for node 'n1', not 'n2'"):
            await desk.join(await desk.token("n1"), "n2")


async def test_a_server_with_another_ca_is_not_trusted(tmp_path):
    async with serving(tmp_path) as desk:
        token = await desk.token()
        with pytest.raises(Unauthenticated, match="not the pinned one: wrong cluster"):
            await desk.join(token, ca_hash="sha256:" + "0" * 64)
        await desk.join(token)


async def test_a_clock_that_is_behind_is_named_as_such(tmp_path):
    async with serving(tmp_path) as desk:
        behind = replace(desk.cluster.env, now=lambda: desk.cluster.env.now() - 3600)
        with pytest.raises(Unauthenticated, match=r"clock is about 3[56]\d\d s behind"):
            await desk.join(await desk.token(), env=behind)


async def test_nobody_answering_is_unavailable_and_names_the_server(tmp_path):
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached: connection refused"):
        await joining.join(["127.0.0.1:1"], "abcdef.0123456789abcdef", "sha256:" + "0" * 64, "n1", None)


@pytest.mark.parametrize(("token", "ca_hash"), [("nonsense", "sha256:" + "0" * 64), ("abcdef.0123456789abcdef", "x")])
async def test_what_cannot_be_a_token_or_hash_is_refused_before_anybody_is_asked(token, ca_hash):
    with pytest.raises(Invalid):
        await joining.join(["127.0.0.1:1"], token, ca_hash, "n1", None)


async def test_health_follows_readiness_and_nonsense_gets_an_error_as_json(tmp_path):
    problems = {"leader": "no leader is known"}
    async with serving(tmp_path, lambda: problems) as desk:
        context = ssl.create_default_context(cadata=desk.keys.ca.cert_pem.decode())
        async with aiohttp.ClientSession() as session:

            async def ask(path, method="GET", **options):
                async with session.request(
                    method,
                    f"https://{desk.address}{path}",
                    ssl=context,
                    server_hostname="api.timonier.internal",
                    **options,
                ) as response:
                    return response.status, await response.text()

            assert (await ask("/livez"))[0] == 200
            assert await ask("/readyz") == (
                503,
                "[+]ping ok\n[-]leader failed: no leader is known\nreadyz check failed\n",
            )
            assert (await ask("/readyz?exclude=leader"))[0] == 200
            assert (await ask("/readyz/leader"))[0] == 503
            assert await ask("/readyz/ping") == (200, "ok")
            status, text = await ask("/readyz/moon")
            assert (status, "there is no check moon; there is: ping, leader" in text) == (404, True)
            problems["leader"] = ""
            assert await ask("/livez?verbose") == (200, "[+]ping ok\nlivez check passed\n")
            assert await ask("/readyz") == (200, "ok")
            assert "timonier.1.2.3" in (await ask("/version"))[1]
            status, text = await ask(joining.JOIN_PATH, "POST", data=b"nonsense")
            assert status == 422
            assert "the body must be JSON" in text
            assert (await ask("/nowhere"))[0] == 404
            assert (await ask(joining.JOIN_PATH, "POST", data=b"x" * 100_000))[0] in {413, 422}
