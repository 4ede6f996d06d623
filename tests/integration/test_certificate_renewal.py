"""A node has its certificate signed anew: over real gRPC and TLS, on real files."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import structlog

from agent.own_certificate import CertificateRenewal, OwnCertificate
from agent.session_calls import SessionCalls
from api.errors import Forbidden, Invalid
from component import pki
from component.env import Env, system_env
from component.rpc import channel
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.handlers import SERVICE_NAME
from controlplane.apiserver.renewal import RenewalDesk
from controlplane.apiserver.server import ApiServer
from tests.api_server import NoStreams, Status, Tokens, make_pki, node, running_core

DAY = 86_400.0
NODE = "system:node:n1"


@dataclass
class Rig:
    cluster: object
    keys: object
    desk: RenewalDesk
    address: str
    folder: Path

    def own(self, age_days: float, user: str = NODE, groups=("system:nodes",)) -> OwnCertificate:
        """The files of a node whose certificate is so old."""
        made = pki.issue(self.keys.ca, user, time.time() - age_days * DAY, groups=groups)
        files = {"ca.crt": self.keys.ca.cert_pem, "node.crt": made.cert_pem, "node.key": made.key_pem}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        return OwnCertificate(*(str(self.folder / name) for name in files))

    @asynccontextmanager
    async def renewal(self, own: OwnCertificate, env: Env | None = None):
        async with channel(self.address, own.tls) as connected:
            yield CertificateRenewal(own, SessionCalls(lambda: connected), env or system_env())


@pytest.fixture
async def rig(tmp_path):
    keys = make_pki()
    async with running_core(tmp_path / "core") as cluster:
        await cluster.local.create(node("n1"))
        authenticator = Authenticator(cluster.core.authorizer)
        desk = RenewalDesk(cluster.local, keys.ca, authenticator, system_env())
        server = ApiServer(cluster.core, NoStreams(), Tokens(), Status(), authenticator, keys.server)
        handlers = grpc.method_handlers_generic_handler(SERVICE_NAME, {"RenewCertificate": desk.handler()})
        server.server.add_generic_rpc_handlers((handlers,))
        port = await server.start("127.0.0.1:0")
        try:
            yield Rig(cluster, keys, desk, f"127.0.0.1:{port}", tmp_path)
        finally:
            await server.server.stop(0)


async def test_an_old_certificate_is_replaced_by_one_of_the_same_name_and_key(rig):
    own = rig.own(age_days=250)
    before = own.tls
    async with rig.renewal(own) as renewal:
        assert await renewal.renew_if_due()
        assert not await renewal.renew_if_due(), "the new one is not due"
    assert (rig.folder / "node.crt").read_bytes() == own.tls.cert_pem != before.cert_pem
    assert own.tls.key_pem == before.key_pem
    subject = pki.read_subject(own.tls.cert_pem)
    assert (subject.common_name, subject.groups) == (NODE, ("system:nodes",))
    assert pki.days_left(own.tls.cert_pem, time.time()) > 364
    again = OwnCertificate(*(str(rig.folder / name) for name in ("ca.crt", "node.crt", "node.key")))
    async with rig.renewal(again, env_in(days=250)) as renewal:
        assert await renewal.renew_if_due(), "the replica takes the new one, and renews that"


def env_in(days: float) -> Env:
    real = system_env()
    return Env(real.monotonic, lambda: time.time() + days * DAY, real.rng, real.new_uid)


async def test_a_young_certificate_is_left_alone(rig):
    own = rig.own(age_days=230)
    async with rig.renewal(own) as renewal:
        assert not await renewal.renew_if_due()


async def test_without_a_session_it_is_tried_later(rig):
    renewal = CertificateRenewal(rig.own(age_days=300), SessionCalls(lambda: None), system_env())
    with structlog.testing.capture_logs() as logs:
        assert not await renewal.renew_if_due()
    assert logs[0]["error"] == "there is no session with the control plane"


async def test_a_node_that_was_deleted_keeps_its_old_certificate_and_says_why(rig):
    await rig.cluster.local.delete("nodes", "", "n1")
    own = rig.own(age_days=300)
    before = own.tls.cert_pem
    async with rig.renewal(own) as renewal:
        with structlog.testing.capture_logs() as logs:
            assert not await renewal.renew_if_due()
    told = next(entry for entry in logs if entry["event"] == "certificate_not_renewed")
    assert told["error"] == "node 'n1' was removed from the cluster: its certificate is not renewed"
    assert 60 < told["days_left"] < 66
    assert own.tls.cert_pem == before == (rig.folder / "node.crt").read_bytes()


async def test_only_nodes_get_a_certificate_so(rig):
    own = rig.own(age_days=300, user="admin", groups=("system:masters",))
    async with rig.renewal(own) as renewal:
        with structlog.testing.capture_logs() as logs:
            assert not await renewal.renew_if_due()
    assert any(entry.get("error") == "only nodes renew their certificates so" for entry in logs)


@pytest.mark.parametrize("request_pem", ["", "nonsense", "x" * 10_000])
async def test_what_is_no_request_is_refused(rig, request_pem):
    with pytest.raises(Invalid):
        await rig.desk.renew("n1", request_pem)


async def test_the_name_is_the_callers_whatever_the_request_says(rig):
    request_pem, _ = pki.make_request("system:node:n2")
    signed = await rig.desk.renew("n1", request_pem.decode())
    assert pki.read_subject(signed).common_name == NODE
    with pytest.raises(Forbidden):
        await rig.desk.renew("n2", request_pem.decode())


async def test_a_certificate_that_does_not_fit_is_not_taken(rig):
    own = rig.own(age_days=1)
    before = own.tls.cert_pem
    request_pem = pki.request_for(own.tls.key_pem, NODE)
    other_ca = pki.make_ca("other", time.time())
    for cert_pem, message in (
        (pki.issue(rig.keys.ca, NODE, time.time(), groups=["system:nodes"]).cert_pem, "another key"),
        (pki.sign_request(other_ca, request_pem, NODE, time.time(), groups=["system:nodes"]), "not signed by"),
        (pki.sign_request(rig.keys.ca, request_pem, "system:node:n2", time.time(), groups=["system:nodes"]), "n2"),
        (b"nonsense", "not a certificate"),
    ):
        with pytest.raises(pki.CertificateProblem, match=message):
            own.replace(cert_pem)
    assert own.tls.cert_pem == before == (rig.folder / "node.crt").read_bytes()


async def test_a_certificate_that_somebody_put_there_is_taken_if_it_fits_and_else_told_of_once(rig):
    own = rig.own(age_days=400)
    expired, path = own.tls.cert_pem, rig.folder / "node.crt"
    other = pki.sign_request(rig.keys.ca, pki.request_for(own.tls.key_pem, NODE), "system:node:n2", time.time())
    renewed = pki.sign_request(
        rig.keys.ca, pki.request_for(own.tls.key_pem, NODE), NODE, time.time(), groups=["system:nodes"]
    )
    with structlog.testing.capture_logs() as logs:
        own.look()
        assert not logs
        for content in (other, b"half"):
            path.write_bytes(content)
            own.look()
            own.look()
            assert own.tls.cert_pem == expired
        path.write_bytes(renewed)
        own.look()
        assert own.tls.cert_pem == renewed
        path.unlink()
        own.look()
    assert own.tls.cert_pem == renewed
    told = ["certificate_not_taken", "certificate_not_taken", "certificate_taken", "certificate_not_taken"]
    assert [entry["event"] for entry in logs] == told


def test_a_request_of_no_key_is_a_problem():
    with pytest.raises(pki.CertificateProblem, match="not a private key"):
        pki.request_for(b"nonsense", NODE)
