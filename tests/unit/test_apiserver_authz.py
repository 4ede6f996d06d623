"""Who may do what: the table of RPCs, and what nodes may read and write."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api import errors
from api.core import Pod
from api.v1 import apiserver_pb2, node_pb2, raft_pb2
from component import pki
from component.client import Binding
from controlplane.admission.request import Identity, node_identity
from controlplane.apiserver import authn
from controlplane.apiserver.authn import identity_of
from controlplane.apiserver.authorizer import Authorizer
from controlplane.apiserver.authz import ROLES, check_call, roles_of
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.references import named_by
from controlplane.store.state import State
from tests.api_server import ADMIN, config_map, node, pod

SERVICES = {
    "ApiServer": apiserver_pb2.DESCRIPTOR.services_by_name["ApiServer"],
    "NodeService": node_pb2.DESCRIPTOR.services_by_name["NodeService"],
    "ReplicaLink": raft_pb2.DESCRIPTOR.services_by_name["ReplicaLink"],
}
RPCS = {f"/{service.full_name}/{method.name}" for service in SERVICES.values() for method in service.methods}
NODE = node_identity("n1")
REPLICA = Identity("system:replica:r1", ("system:replicas",))
JANE = Identity("jane", ("developers",))


@pytest.fixture
def agent(cluster):
    return LocalClient(cluster.core, NODE)


def test_the_table_names_every_rpc_of_every_service():
    assert {method for method in ROLES if method.startswith("/api.v1.")} == RPCS


@pytest.mark.parametrize("method", sorted(RPCS))
def test_administrators_may_call_everything(method):
    check_call(ADMIN, method)


@pytest.mark.parametrize(
    ("identity", "allowed"),
    [
        (NODE, {"Get", "ClusterStatus", "Session", "Dial", "CreateToken", "RenewCertificate"}),
        (
            REPLICA,
            {
                "Propose",
                "ReadIndex",
                "ReportSessions",
                "OpenNodeStream",
                "Status",
                "ClusterStatus",
                "ChangeMembership",
                "ShareKeys",
                "KeyUses",
                "ForgetKeys",
            },
        ),
        (JANE, {method.name for method in SERVICES["ApiServer"].methods} - {"RenewCertificate"}),
    ],
)
def test_everybody_else_may_call_only_what_is_theirs(identity, allowed):
    for method in RPCS:
        if method.rpartition("/")[2] in allowed:
            check_call(identity, method)
        else:
            with pytest.raises(errors.Forbidden):
                check_call(identity, method)


def test_what_is_not_in_the_table_nobody_may_call():
    with pytest.raises(errors.Forbidden):
        check_call(ADMIN, "/api.v1.ApiServer/Invented")


def test_a_node_needs_both_the_group_and_the_name():
    assert roles_of(Identity("system:node:n1")) == {"user"}
    assert roles_of(Identity("n1", ("system:nodes",))) == {"user"}


async def test_a_node_reads_what_its_pods_name_and_nothing_else(api, agent):
    await api.create(node("n1"))
    for name in ("named", "other"):
        await api.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}})
        await api.create(config_map(name))
        await api.create(config_map(name, namespace="kube-system"))
    tree = pod("a")
    tree["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "named"}}]
    tree["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "named"}}]
    with pytest.raises(errors.Forbidden):
        await agent.get("secrets", "default", "named")
    stored = await api.create(tree)
    with pytest.raises(errors.Forbidden):
        await agent.get("pods", "default", "a")
    await api.bind([Binding("default", "a", stored.uid, "n1")])
    assert (await agent.get("pods", "default", "a")).uid == stored.uid
    assert (await agent.get("secrets", "default", "named")).name == "named"
    assert (await agent.get("configmaps", "default", "named")).name == "named"
    for resource, namespace, name in (
        ("secrets", "default", "other"),
        ("configmaps", "default", "other"),
        ("configmaps", "kube-system", "named"),
        ("pods", "default", "none"),
        ("services", "default", "kubernetes"),
    ):
        with pytest.raises(errors.Forbidden):
            await agent.get(resource, namespace, name)


def test_a_pod_needs_whatever_it_names():
    tree = pod("a", serviceAccountName="robot", imagePullSecrets=[{"name": "pull"}])
    tree["spec"]["volumes"] = [
        {"name": "v", "configMap": {"name": "mounted"}},
        {"name": "w", "secret": {"secretName": "mounted"}},
        {"name": "x", "emptyDir": {}},
        {
            "name": "p",
            "projected": {"sources": [{"configMap": {"name": "projected"}}, {"secret": {"name": "projected"}}]},
        },
    ]
    tree["spec"]["containers"][0] |= {
        "env": [
            {"name": "A", "value": "plain"},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "key", "key": "k"}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "all"}}, {"secretRef": {"name": "all"}}],
    }
    tree["spec"]["initContainers"] = [{"name": "i", "envFrom": [{"secretRef": {"name": "first"}}]}]
    needed = {f"{resource}/{name}" for resource, name in named_by(msgspec.convert(tree, Pod))}
    assert needed == {
        *("configmaps/mounted", "configmaps/projected", "configmaps/key", "configmaps/all"),
        *("secrets/mounted", "secrets/projected", "secrets/key", "secrets/all", "secrets/first", "secrets/pull"),
        "serviceaccounts/robot",
    }


async def test_a_node_reads_the_events_it_wrote(api, agent):
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"},
        "source": {"component": "kubelet", "host": "n1"},
    }
    await agent.create(event)
    assert (await agent.get("events", "default", "e")).name == "e"
    await api.create({**event, "metadata": {"name": "f", "namespace": "default"}, "source": {"host": "n2"}})
    with pytest.raises(errors.Forbidden):
        await agent.get("events", "default", "f")


async def test_a_node_writes_itself_and_no_other_and_not_its_spec(api, agent):
    await agent.create(node("n1"))
    await api.create(node("n2"))
    tree = (await agent.get("nodes", "", "n1")).tree()
    await agent.update({**tree, "metadata": {**tree["metadata"], "labels": {"a": "b"}}})
    await agent.update_status({**node("n1"), "status": {"phase": "Running"}})
    tree = (await agent.get("nodes", "", "n1")).tree()
    for write in (
        agent.update({**tree, "spec": {**tree["spec"], "unschedulable": True}}),
        agent.update_status(node("n2")),
        agent.create(node("n3")),
        agent.delete("nodes", "", "n1"),
    ):
        with pytest.raises(errors.Forbidden):
            await write


async def test_a_node_reports_and_ends_its_own_pods_only(api, agent):
    await api.create(node("n1"))
    for name, to in (("mine", "n1"), ("theirs", "n2")):
        await api.create(pod(name, nodeName=to))
    await agent.update_status({**pod("mine"), "status": {"phase": "Running"}})
    with pytest.raises(errors.Forbidden, match="pods bound to it"):
        await agent.update_status({**pod("theirs"), "status": {"phase": "Running"}})
    with pytest.raises(errors.Forbidden):
        await agent.delete("pods", "default", "theirs", grace_seconds=0)
    with pytest.raises(errors.Forbidden):
        await agent.update(pod("mine", metadata={"labels": {"a": "b"}}))
    with pytest.raises(errors.Forbidden):
        await agent.create(pod("new", nodeName="n1"))
    with pytest.raises(errors.Forbidden):
        await agent.create(config_map("a"))
    await agent.delete("pods", "default", "mine", grace_seconds=0)


def test_the_identity_is_the_certificates_name_and_organisations():
    ca = pki.make_ca("ca", 1_700_000_000.0)
    pair = pki.issue(ca, "jane", 1_700_000_000.0, groups=["system:masters", "ops, eu"])
    assert identity_of(pair.cert_pem)[0] == Identity("jane", ("system:masters", "ops, eu"))


def test_a_certificate_without_a_name_is_nobodys():
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = (
        builder.serial_number(1)
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2035, 1, 1, tzinfo=UTC))
    )
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(errors.Unauthenticated, match="names no user"):
        identity_of(pem)


class Peer:
    def __init__(self, pem):
        self.pem = pem

    def auth_context(self):
        return {"x509_pem_cert": [self.pem]}

    def invocation_metadata(self):
        return ()


def test_the_memory_of_certificates_is_bounded(monkeypatch):
    monkeypatch.setattr(authn, "CACHED_CERTIFICATES", 2)
    ca = pki.make_ca("ca", 1_700_000_000.0)
    pems = [pki.issue(ca, name, 1_700_000_000.0).cert_pem for name in ("a", "b", "c", "a")]
    authenticator = authn.Authenticator(Authorizer(State))
    assert [authenticator.identify(Peer(pem)).user for pem in pems] == ["a", "b", "c", "a"]
    assert len(authenticator._known) == 2


@pytest.mark.parametrize("pem", [b"", b"rubbish"])
def test_without_a_readable_certificate_nobody_is_anybody(pem):
    with pytest.raises(errors.Unauthenticated):
        identity_of(pem)
