"""A replica's certificates are renewed under it, and everything that it serves shows the new ones."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import time

import grpc.aio
import pytest
from cryptography import x509

from api.v1 import raft_pb2, raft_pb2_grpc
from component import pki
from component.env import system_env
from component.files import write_private
from component.rpc import API_SERVER_NAME, Tls
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.replica_link import Peers
from controlplane.apiserver.server import ApiServer
from controlplane.bootstrap import api_names, raft_dns_name
from tests.api_server import NoStreams, Status, Tokens, make_pki, running_core
from tests.integration.server_processes import ServerProcesses, eventually
from tests.waiting import DEADLINE_SECONDS
from tests.waiting import eventually as eventually_true

pytestmark = pytest.mark.slow
DAY = 86_400.0


def serial_of(cert_pem: bytes) -> int:
    return x509.load_pem_x509_certificate(cert_pem).serial_number


class OneReplica:
    """Both processes of a replica r1, and its certificates seen from without."""

    def __init__(self, folder) -> None:
        self.cluster = ServerProcesses(folder, 1)
        self.pki = self.cluster.home("r1") / "pki"
        host, _, port = self.cluster.addresses["r1"].rpartition(":")
        settings = self.cluster.config("r1").read_text()
        ports = dict(line.split(": ") for line in settings.splitlines() if "_port" in line)
        self.host, self.ports = host, {"grpc": int(port), **{name[:-5]: int(at) for name, at in ports.items()}}

    def age(self, name: str, days: float) -> int:
        """Put a certificate for the same key there that was made so long ago; its serial number."""
        api = name == "api"
        authority = "ca" if api else "raft-ca"
        ca = pki.KeyPair(*((self.pki / f"{authority}.{end}").read_bytes() for end in ("crt", "key")))
        user = "system:replica:r1" if api else "raft:r1"
        request = pki.request_for((self.pki / f"{name}.key").read_bytes(), user)
        made = pki.sign_request(
            ca,
            request,
            user,
            time.time() - days * DAY,
            groups=["system:replicas"] if api else [],
            dns_names=api_names("r1", "cluster.local") if api else [raft_dns_name("r1")],
        )
        write_private(self.pki / f"{name}.crt", made)
        return serial_of(made)

    def on_disk(self, name: str) -> int:
        return serial_of((self.pki / f"{name}.crt").read_bytes())

    def connect(self, service: str) -> ssl.SSLSocket:
        """A handshake with one of the three ports, as another replica makes it."""
        name, authority = ("raft", "raft-ca") if service == "raft" else ("api", "ca")
        context = ssl.create_default_context(cafile=str(self.pki / f"{authority}.crt"))
        context.load_cert_chain(self.pki / f"{name}.crt", self.pki / f"{name}.key")
        if service == "grpc":
            context.set_alpn_protocols(["h2"])
        connection = socket.create_connection((self.host, self.ports[service]), timeout=DEADLINE_SECONDS)
        return context.wrap_socket(
            connection, server_hostname=raft_dns_name("r1") if name == "raft" else API_SERVER_NAME
        )

    def shown(self) -> dict[str, int]:
        """The serial numbers of what the three ports show."""
        found = {}
        for service in ("grpc", "https", "raft"):
            with self.connect(service) as connection:
                found[service] = x509.load_der_x509_certificate(connection.getpeercert(True)).serial_number
        return found

    def expected(self) -> dict[str, int]:
        return {"grpc": self.on_disk("api"), "https": self.on_disk("api"), "raft": self.on_disk("raft")}


def alive(connection: ssl.SSLSocket) -> bool:
    """Whether an HTTPS connection that was made before answers one more request."""
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    while not received.endswith(b"\r\n\r\nok"):
        piece = connection.recv(4096)
        if not piece:
            return False
        received += piece
    return received.startswith(b"HTTP/1.1 200")


@pytest.fixture
def replica(tmp_path):
    one = OneReplica(tmp_path)
    yield one
    one.cluster.close()


async def test_a_replica_renews_at_its_start_and_while_it_runs_and_nothing_is_interrupted(replica):
    expired = {name: replica.age(name, days) for name, days in (("api", 400), ("raft", 250))}
    replica.cluster.start()
    async with replica.cluster.client() as client:

        async def namespaces():
            return [each.name for each in (await client.list("namespaces")).items]

        await eventually(namespaces, "the replica answers")
        first = await asyncio.to_thread(replica.shown)
        assert first == replica.expected()
        assert not set(first.values()) & set(expired.values())
        with await asyncio.to_thread(replica.connect, "https") as before:
            assert await asyncio.to_thread(alive, before)
            aged = {name: replica.age(name, 250) for name in ("api", "raft")}
            replica.cluster.send_signal("r1", "api", signal.SIGHUP)

            async def taken():
                return replica.cluster.logged("r1", "api", "certificate_taken")

            await eventually(taken, "the renewed certificate is taken")
            second = await asyncio.to_thread(replica.shown)
            assert second == replica.expected()
            assert not set(second.values()) & {*first.values(), *aged.values()}
            assert await asyncio.to_thread(alive, before)
        assert "default" in await namespaces()
    assert len(replica.cluster.logged("r1", "api", "certificate_renewed")) == 4
    assert len(replica.cluster.logged("r1", "api", "api_started")) == 1


class Leader(raft_pb2_grpc.ReplicaLinkServicer):
    """Takes everything in; remembers which certificate each stream of proposals came with."""

    def __init__(self) -> None:
        self.serials: list[int] = []

    async def Propose(self, request_iterator, context):  # noqa: N802 - the method of the contract
        self.serials.append(serial_of(context.auth_context()["x509_pem_cert"][0]))
        async for batch in request_iterator:
            yield raft_pb2.ProposeReply(id=batch.id)


async def test_a_link_goes_on_with_its_stream_and_makes_the_next_one_with_the_new_certificate(tmp_path):
    keys, leader = make_pki(), Leader()
    made = [keys.client("system:replica:r2", "system:replicas") for _ in range(3)]
    first, second, third = (serial_of(each.cert_pem) for each in made)
    async with running_core(tmp_path) as cluster, asyncio.timeout(DEADLINE_SECONDS):
        server = ApiServer(
            cluster.core, NoStreams(), Tokens(), Status(), Authenticator(cluster.core.authorizer), keys.server
        )
        raft_pb2_grpc.add_ReplicaLinkServicer_to_server(leader, server.server)
        address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        peers = Peers({"r1": address}, made[0])
        try:
            await peers.propose("r1", 1, [b"x"])
            stream = peers._proposals["r1"]
            peers.renew(made[1])
            await peers.propose("r1", 1, [b"x"])
            assert leader.serials == [first], "the stream was not begun anew"
            await stream.close()
            await peers.propose("r1", 1, [b"x"])
            assert leader.serials == [first, second]
            stream = peers._proposals["r1"]
            peers.renew(made[2])
            await peers.propose("r1", 1, [b"x"])
            assert leader.serials == [first, second]
            peers.renew(made[2])
            await eventually_true(lambda: stream.broken)
            await peers.propose("r1", 1, [b"x"])
            assert leader.serials == [first, second, third], "a connection is kept for one renewal"
        finally:
            await peers.close()
            await server.close()


async def test_a_server_shows_the_new_certificate_and_still_refuses_strangers(tmp_path):
    keys = make_pki()
    async with running_core(tmp_path) as cluster:
        cluster.keys = keys
        address = await cluster.serve()
        server = cluster.servers[0]
        try:
            async with cluster.client() as client:
                assert await client.get("namespaces", "", "default")
                renewed = pki.reissue(keys.ca, keys.server.cert_pem, keys.server.key_pem, system_env().now())
                server.renew(Tls(keys.ca.cert_pem, renewed, keys.server.key_pem))
                assert await client.get("namespaces", "", "default")
            found = await asyncio.to_thread(shown_by, address, keys, tmp_path)
            assert found == serial_of(renewed) != serial_of(keys.server.cert_pem)
            stranger = pki.issue(pki.make_ca("other", time.time()), "kubernetes-admin", time.time())
            credentials = grpc.ssl_channel_credentials(keys.ca.cert_pem, stranger.key_pem, stranger.cert_pem)
            options = [("grpc.ssl_target_name_override", API_SERVER_NAME)]
            async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=DEADLINE_SECONDS)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        finally:
            await server.close()


def shown_by(address, keys, folder) -> int:
    """The serial number of a gRPC server's certificate."""
    admin = keys.admin
    (folder / "crt").write_bytes(admin.cert_pem)
    (folder / "key").write_bytes(admin.key_pem)
    context = ssl.create_default_context(cadata=keys.ca.cert_pem.decode())
    context.load_cert_chain(folder / "crt", folder / "key")
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=API_SERVER_NAME) as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(True)).serial_number
