"""Revoked certificates: refused at once, and calls that came with one end."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager

import pytest

from api import errors
from api.v1 import apiserver_pb2 as pb
from component import pki
from component.rpc import Tls
from component.rpc_client import RpcClient
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.open_calls import OpenCalls, RevocationLoop
from controlplane.apiserver.revocation_desk import RevocationDesk
from controlplane.apiserver.server import ApiServer
from controlplane.revocations import Revocation, Revocations, expired, of_name, of_serial, recorded, revoking
from tests.api_server import ADMIN, NoStreams, Status, Tokens, config_map, make_pki, running_core
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow


class FromAdmin:
    """An authenticator that takes every caller for the administrator."""

    def identify(self, _context):
        return ADMIN


@asynccontextmanager
async def served(folder):
    """A replica whose server looks for revoked certificates."""
    async with running_core(folder) as cluster:
        revocations = Revocations(lambda: cluster.replica.state)
        calls = OpenCalls(revocations)
        cluster.keys = make_pki()
        authenticator = Authenticator(cluster.core.authorizer, revocations, calls)
        server = ApiServer(cluster.core, NoStreams(), Tokens(), Status(), authenticator, cluster.keys.server)
        cluster.addresses.append(f"127.0.0.1:{await server.start('127.0.0.1:0')}")
        cluster.desk = RevocationDesk(cluster.replica, FromAdmin(), cluster.env)
        loop = asyncio.ensure_future(RevocationLoop(cluster.replica, revocations, calls, cluster.env).run())
        try:
            yield cluster
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            await server.server.stop(0)


def certificate(cluster, user="jane", issued=0.0):
    """Jane's, of an administrator, issued a minute ago or so many seconds from now."""
    pair = pki.issue(cluster.keys.ca, user, time.time() + (issued or -60.0), groups=["system:masters"])
    return Tls(cluster.keys.ca.cert_pem, pair.cert_pem, pair.key_pem)


def client_of(cluster, tls):
    return RpcClient(cluster.addresses, tls, cluster.env, timeout_seconds=DEADLINE_SECONDS)


async def revoke(cluster, **what):
    await cluster.desk.revoke(pb.RevokeCertificateRequest(**what), None)


async def test_a_name_is_refused_from_then_on_until_it_has_a_new_certificate(tmp_path):
    async with served(tmp_path) as cluster:
        async with client_of(cluster, certificate(cluster)) as client:
            await client.get("namespaces", "", "default")
            await revoke(cluster, name="jane")
            with pytest.raises(errors.Unauthenticated, match='this certificate of "jane" was revoked at'):
                await client.get("namespaces", "", "default")
        async with client_of(cluster, certificate(cluster, issued=60.0)) as client:
            assert await client.get("namespaces", "", "default")
        async with client_of(cluster, certificate(cluster, "joe")) as client:
            assert await client.get("namespaces", "", "default")


async def test_a_serial_number_is_about_one_certificate(tmp_path):
    async with served(tmp_path) as cluster:
        lost, other = certificate(cluster), certificate(cluster)
        subject = pki.read_subject(lost.cert_pem)
        await revoke(cluster, serial=subject.serial.upper(), expires_time=subject.not_after)
        async with client_of(cluster, lost) as client:
            with pytest.raises(errors.Unauthenticated):
                await client.get("namespaces", "", "default")
        async with client_of(cluster, other) as client:
            assert await client.get("namespaces", "", "default")
        (listed,) = (await cluster.desk.listed(None, None)).revoked
        assert (listed.serial, listed.by, listed.expires_time) == (subject.serial, ADMIN.user, subject.not_after)


async def drained(watched):
    """Read a watch until it ends."""
    async for _ in watched:
        pass


async def test_a_watch_that_is_open_ends_and_says_why(tmp_path):
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        served(tmp_path) as cluster,
        client_of(cluster, certificate(cluster)) as client,
        aclosing(client.watch("configmaps")) as watched,
    ):
        await cluster.local.create(config_map("seen", namespace="default"))
        assert await anext(watched)
        await revoke(cluster, name="jane")
        with pytest.raises(errors.Unauthenticated, match="was revoked"):
            await drained(watched)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({}, "one of both"),
        ({"name": "a", "serial": "1"}, "one of both"),
        ({"serial": "xyz"}, "no hexadecimal number"),
        ({"name": "n" * 257}, "256 characters"),
    ],
)
async def test_what_names_no_certificate_is_refused(tmp_path, what, told):
    async with running_core(tmp_path) as cluster:
        cluster.desk = RevocationDesk(cluster.replica, FromAdmin(), cluster.env)
        with pytest.raises(errors.Invalid, match=told):
            await revoke(cluster, **what)


async def test_revocations_are_forgotten_when_the_certificates_have_expired(tmp_path):
    async with running_core(tmp_path) as cluster:
        for value, expires_time in ((of_name("a"), 100.0), (of_serial("00:AB"), 200.0)):
            await cluster.replica.commit(revoking(value, Revocation("me", 50.0, expires_time)))
        await cluster.replica.commit(revoking(of_name("a"), Revocation("you", 60.0, 120.0)))
        assert recorded(cluster.replica.state)[of_name("a")].by == "you", "the later one counts"
        await cluster.replica.commit(expired(cluster.replica.state, 150.0))
        assert list(recorded(cluster.replica.state)) == ["serial/ab"]


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), float("-inf")])
async def test_a_moment_that_cannot_be_written_down_is_refused_and_nobody_is_shut_out(tmp_path, moment):
    async with served(tmp_path) as cluster, client_of(cluster, certificate(cluster)) as client:
        with pytest.raises(errors.Invalid, match="expires_time"):
            await revoke(cluster, name="somebody", expires_time=moment)
        await client.get("namespaces", "", "default")
