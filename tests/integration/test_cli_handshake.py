"""What a client is told when no connection to any replica comes about: who refused whom, and the remedy."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
import time

import pytest

from api import errors
from component import pki
from component.env import Env
from component.handshake import Handshake
from component.rpc import API_SERVER_NAME, Tls
from component.rpc_client import RpcClient
from tests.api_server import ADMIN, Pki, make_env, make_pki, running_cluster
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

DAY_SECONDS = 86_400


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A machine that stands still for a moment does not count as an address where nobody answers."""
    monkeypatch.setattr("component.handshake.PROBE_SECONDS", DEADLINE_SECONDS)


@pytest.fixture
def unknown_host(monkeypatch):
    """A name that no host has, told at once: whether and when a name server answers is the machine's matter."""
    ask, name = socket.getaddrinfo, "nobody.invalid"

    def getaddrinfo(host, *arguments, **options):
        if host == name:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return name


@pytest.fixture
async def cluster(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        yield cluster


async def refusal(cluster, tls, addresses=None, timeout_seconds=30.0):
    """The error of a call with these keys, and how long it took."""
    explain = Handshake(tls, "FILE", cluster.env).obstacle
    began = time.monotonic()
    async with RpcClient(
        addresses or cluster.addresses, tls, cluster.env, timeout_seconds=timeout_seconds, explain=explain
    ) as client:
        with pytest.raises(errors.ApiError) as caught:
            await client.get("namespaces", "", "default")
    assert "\n" not in str(caught.value)
    return caught.value, time.monotonic() - began


def keys(ca, user=ADMIN.user, now=None):
    return pki.issue(ca, user, time.time() if now is None else now, groups=ADMIN.groups)


def wrong(cluster):
    """Keys of every kind that cannot work, and what is said of each."""
    admin, ours, other = cluster.keys.admin, cluster.keys.ca, pki.make_ca("other", time.time())
    stranger, old = keys(other), keys(ours, now=time.time() - 400 * DAY_SECONDS)
    return {
        "another cluster's CA": (
            dataclasses.replace(admin, ca_pem=other.cert_pem),
            "is not signed by the CA in FILE (certificate-authority): it is another cluster's, or copy admin.conf",
        ),
        "a client of another CA": (
            Tls(ours.cert_pem, stranger.cert_pem, stranger.key_pem),
            "FILE: the client certificate is not signed by the cluster's CA: copy admin.conf",
        ),
        "an expired client": (
            Tls(ours.cert_pem, old.cert_pem, old.key_pem),
            "FILE: the client certificate has expired on ",
        ),
        "another's key": (
            dataclasses.replace(admin, key_pem=stranger.key_pem),
            "FILE: client-key does not belong to client-certificate: copy admin.conf",
        ),
        "no PEM": (
            Tls(b"ca", b"cert", b"key"),
            "FILE: certificate-authority, client-certificate or client-key is no PEM",
        ),
    }


@pytest.mark.parametrize(
    "case", ["another cluster's CA", "a client of another CA", "an expired client", "another's key", "no PEM"]
)
async def test_keys_that_cannot_work_are_named_at_once_with_the_remedy(cluster, case):
    tls, said = wrong(cluster)[case]
    error, seconds = await refusal(cluster, tls)
    assert isinstance(error, errors.Unauthenticated)
    assert said in str(error)
    if case == "an expired client":
        assert "make another one on a replica (`tim pki user`)" in str(error)
    assert seconds < 15  # half of the time-out


async def test_a_client_whose_clock_is_behind_is_told_to_set_it(cluster):
    behind = Env(cluster.env.monotonic, lambda: time.time() - DAY_SECONDS, cluster.env.rng, cluster.env.new_uid)
    obstacle = await Handshake(cluster.keys.admin, "FILE", behind).obstacle(cluster.addresses[0])
    assert (obstacle.lasting, "not valid yet: set this machine's clock" in obstacle.text) == (True, True)


async def test_a_client_of_either_ca_of_a_rotation_is_not_called_a_stranger(cluster):
    both = pki.make_ca("next", time.time()).cert_pem + cluster.keys.ca.cert_pem
    tls = dataclasses.replace(cluster.keys.admin, ca_pem=both)
    assert await Handshake(tls, "FILE", cluster.env).obstacle(cluster.addresses[0]) is None


async def test_addresses_without_an_api_server_are_named_with_what_is_in_the_way(cluster, unknown_host):
    error, _ = await refusal(cluster, cluster.keys.admin, ["127.0.0.1:1", f"{unknown_host}:7443"], timeout_seconds=0.5)
    assert isinstance(error, errors.Unavailable)
    assert str(error) == (
        "no API server can be reached (tried 127.0.0.1:1: connection refused, nobody.invalid:7443: no such host name)"
    )


@pytest.mark.parametrize(
    ("speak", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what listens there does not speak TLS as an API server does"),
        (b"", "it hangs up"),
    ],
)
async def test_a_server_that_is_none_of_ours_is_told_apart(speak, said):
    async def answer(reader, writer):
        writer.write(speak)
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        address = address_of(server)
        obstacle = await Handshake(make_pki().admin, "FILE", make_env()).obstacle(address)
        server.close()
    assert said in obstacle.text
    assert not obstacle.lasting


def address_of(server):
    return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def server_context(keys: Pki, now: float, folder, *names: str, alpn: str = "h2") -> ssl.SSLContext:
    """A TLS server of the cluster's CA, started at `now`."""
    pair = pki.issue(keys.ca, "server", now, dns_names=names)
    file = folder / "server.pem"
    file.write_bytes(pair.cert_pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.set_alpn_protocols([alpn])
    return context


@pytest.mark.parametrize(
    ("age_seconds", "name", "alpn", "said"),
    [
        (400 * DAY_SECONDS, API_SERVER_NAME, "h2", "has expired: renew it there, or set this machine's clock"),
        (-DAY_SECONDS, API_SERVER_NAME, "h2", "is not valid yet: renew it there, or set this machine's clock"),
        (0, "other.internal", "h2", "is no API server: its certificate is not for api.timonier.internal"),
        (0, API_SERVER_NAME, "http/1.1", "is no gRPC API: its port is 7443 unless it was configured"),
        (0, API_SERVER_NAME, "h2", "it hangs up after the TLS handshake"),
    ],
)
async def test_what_is_wrong_with_a_server_of_our_ca_is_told(tmp_path, age_seconds, name, alpn, said):
    trusted = make_pki()

    async def hang_up(_reader, writer):
        writer.close()

    context = server_context(trusted, time.time() - age_seconds, tmp_path, name, alpn=alpn)
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context) as server:
        address = address_of(server)
        obstacle = await Handshake(trusted.admin, "FILE", make_env()).obstacle(address)
        server.close()
    assert said in obstacle.text
