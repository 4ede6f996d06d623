"""The composition root of a replica's API process: builds every part, and runs the leader's work while it leads.

The only module that sees all of the control plane.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path

import grpc
import grpc.aio
import structlog

from api.v1 import node_pb2_grpc, raft_pb2_grpc
from component import pki
from component.env import Env
from component.rpc import Tls
from component.signing import KeyProblem, SigningKeys, read_keys
from component.tasks import run_together, run_until_one_ends
from controlplane.admission.chain import default_chain
from controlplane.admission.request import MASTERS_GROUP, Identity, node_identity
from controlplane.apiserver.accounts.bearer import BearerAuthenticator
from controlplane.apiserver.accounts.claims import issuer_of
from controlplane.apiserver.accounts.issuing import TokenDesk
from controlplane.apiserver.accounts.static import TokenFile
from controlplane.apiserver.admin_socket import AdminSocket
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.backends import Backend, choose
from controlplane.apiserver.backup_desk import BackupDesk
from controlplane.apiserver.bootstrap import bootstrap
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.directory import SessionDirectory
from controlplane.apiserver.handlers import SERVICE_NAME
from controlplane.apiserver.health import Health
from controlplane.apiserver.https import HttpsServer
from controlplane.apiserver.join import JoinDesk
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.open_calls import OpenCalls, RevocationLoop
from controlplane.apiserver.pod_network import PodNetwork
from controlplane.apiserver.renewal import RenewalDesk
from controlplane.apiserver.replica_desk import ReplicaDesk
from controlplane.apiserver.replica_join import ReplicaJoinDesk, raft_ca_of
from controlplane.apiserver.replica_link import Peers, ReplicaLinkService
from controlplane.apiserver.rest.access import Callers
from controlplane.apiserver.rest.api import RestApi
from controlplane.apiserver.rest.tokens import TokenProcedures, key_documents
from controlplane.apiserver.revocation_desk import RevocationDesk
from controlplane.apiserver.secret_keys import KeyDesk, SecretsDesk
from controlplane.apiserver.server import ApiServer
from controlplane.apiserver.sessions import ClusterFacts, NodeSessions
from controlplane.apiserver.status import StatusSource
from controlplane.apiserver.streams import NodeStreams
from controlplane.apiserver.webhook_calls import WebhookCalls
from controlplane.audit.file import RotatingFile
from controlplane.audit.log import AuditLog
from controlplane.audit.policy import AuditPolicy, PolicyProblem, policy_of, read_policy
from controlplane.audit.writer import AuditWriter
from controlplane.backup import Facts
from controlplane.certificate_loop import CertificateLoop
from controlplane.collection import Collection
from controlplane.config import ServerConfig, join_host_port
from controlplane.confirm_loop import ConfirmLoop
from controlplane.controllers.default_priorities import keep_default_priorities
from controlplane.controllers.default_roles import keep_default_roles
from controlplane.controllers.run import run_all
from controlplane.key_ring import RING_FILE, KeyRing, KeyRingProblem, encode, open_ring
from controlplane.leader_work import LeaderWork
from controlplane.level import KNOWN_LEVEL
from controlplane.level_loop import LevelLoop
from controlplane.members import Members
from controlplane.membership_loop import MembershipLoop
from controlplane.quota import settle_quota
from controlplane.quota_loop import QuotaLoop
from controlplane.raft.link import SocketLog
from controlplane.raft.membership import ChangeRefused
from controlplane.replica import Replica
from controlplane.revocations import Revocations
from controlplane.sealing import Sealing
from controlplane.sealing_loop import SealingLoop

log = structlog.get_logger()

HAND_OVER_SECONDS = 1.0
AUDIT_CLOSE_SECONDS = 2.0
HAND_OVER_POLLS = 100
SWITCH_INTERVAL_SECONDS = 0.0005  # a busy helper thread must not hold the loop for the default 5 ms
PKI_FILES = ("ca.crt", "ca.key", "api.crt", "api.key", "sa.key")  # read at the start; certificates change later


class Server:
    """One replica's API process. `run` returns when `stop` is called, or raises what makes going on impossible.

    Raises OSError when its certificates and keys are not where the configuration says.
    """

    def __init__(self, config: ServerConfig, env: Env, version: str) -> None:
        self._config = config
        self._env = env
        self._version = version
        self._files = _pki_files(Path(config.pki_dir))
        self._certificates = CertificateLoop(Path(config.pki_dir), env)
        tls = self._certificates.tls
        self._members = Members(config)
        self._peers = Peers(self._members.peers, tls)
        self._raft = SocketLog(config.raft_socket, config.replica, time_factor=config.time_factor)
        self._keys = _key_ring(Path(config.pki_dir))
        sealing = Sealing(config.replica, self._keys, env.rng.randbytes)
        self._replica = self._make_replica(sealing)
        self._sealing_loop = SealingLoop(
            self._replica, self._keys, sealing, self._peers, lambda: self._members.peers, env
        )
        self._webhooks = WebhookCalls(lambda: self._pods)
        self._core = self._api_core()
        self._directory = SessionDirectory(config.replica, env)
        self._system = self._client(0)
        self._streams = NodeStreams(self._system, self._directory, self._peers, env)
        self._pods = PodNetwork(self._streams, self._backend)
        self._status = StatusSource(
            self._replica, self._members, self._raft, self._peers, config.cluster_uid, version, KNOWN_LEVEL
        )
        ca = pki.KeyPair(self._files["ca.crt"], self._files["ca.key"])
        self._desk = JoinDesk(self._core, self._system, ca, lambda: self._members.endpoints, config.cluster_uid, env)
        revocations = Revocations(lambda: self._replica.state)
        calls = OpenCalls(revocations)
        self._revocation_loop = RevocationLoop(self._replica, revocations, calls, env)
        self._authenticator = Authenticator(self._core.authorizer, revocations, calls)
        self._renewals = RenewalDesk(self._system, ca, self._authenticator, env)
        self._users = TokenFile(config.token_auth_file)
        self._signing = _signing_keys(Path(config.pki_dir) / "sa.key", self._files["sa.key"])
        self._issuer = issuer_of(config.cluster_domain)
        self._audit_file = AuditWriter(
            RotatingFile(config.audit_path, config.audit_log_mebibytes << 20, config.audit_log_kept)
        )
        audit = AuditLog(_audit_policy(config), self._audit_file.put, env)
        self._grpc = ApiServer(self._core, self._streams, self._desk, self._status, self._authenticator, tls, audit)
        self._tokens = self._token_desk()
        self._https = HttpsServer(
            self._desk, self._replica_join_desk(ca), self._rest_api(), Health(self._replica.problems), version, audit
        )
        self._replica_desk = ReplicaDesk(config.replica, self._replica, self._raft, self._peers)
        self._membership_loop = MembershipLoop(self._replica, self._raft, self._members)
        self._collection = Collection(env, lambda: self._replica.state.transaction_count)
        self._admin = AdminSocket(Path(config.run_dir))
        self._stop = asyncio.Event()
        self._work = LeaderWork(self._lead)

    async def run(self) -> None:
        """Serve until `stop`."""
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self._add_services(self._grpc.server)
        self._replica.on_leadership(self._work.leadership_changed)
        self._replica.on_status(self._members.status_changed)
        self._members.listen(lambda: self._peers.set_endpoints(self._members.peers))
        self._audit_file.start()
        await self._replica.start()
        self._collection.start()
        config, own = self._config, self._certificates
        try:
            self._admin.prepare()
            self._grpc.listen_locally(self._admin.inner)
            await self._grpc.start(join_host_port(config.listen, config.grpc_port))
            await self._admin.start()
            await self._https.start(config.listen, config.https_port, own.cert_path, own.key_path)
            log.info("api_started", grpc_port=config.grpc_port, https_port=config.https_port)
            await self._until_stopped()
        finally:
            await self._close()
        log.info("api_stopped")

    def stop(self) -> None:
        """Let `run` return; safe in a signal handler of the loop."""
        self._stop.set()

    def reload(self) -> None:
        """Renew certificates that are due, take what changed on disk, and read users' tokens again; safe as `stop`."""
        self._certificates.look_now()
        self._users.reload()

    def _show(self, tls: Tls) -> None:
        """Serve and connect with this certificate from now on. OSError when its files cannot be loaded."""
        self._https.renew(self._certificates.cert_path, self._certificates.key_path)
        self._grpc.renew(tls)
        self._peers.renew(tls)

    async def _until_stopped(self) -> None:
        """Return after `stop`; raise when the replica failed. The reports to the peers and health run meanwhile."""
        assert self._raft.run is not None, "connected by start"
        await run_until_one_ends(
            self._stop.wait(),
            self._replica.wait_failed(),
            self._peers.report_sessions(self._directory),
            self._membership_loop.run(),
            ConfirmLoop(self._replica).run(),
            self._collection.run(),
            self._sealing_loop.run(),
            self._revocation_loop.run(),
            self._certificates.run(self._show),
            LevelLoop(self._replica, self._status.gathered).run(),
            self._grpc.follow_readiness(lambda: self._replica.ready),
            asyncio.shield(self._raft.run),  # it has to hand the lead over before it is ended
        )

    async def _hand_over(self) -> None:
        """Let another replica lead before anything stops here: calls under way take up to two seconds to end."""
        if self._replica.status.role != "leader" or self._members.voters == {self._config.replica}:
            return
        with contextlib.suppress(ChangeRefused, TimeoutError):
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self._raft.hand_over("")
            for _ in range(HAND_OVER_POLLS):
                if self._replica.status.role != "leader":
                    return
                await asyncio.sleep(HAND_OVER_SECONDS / HAND_OVER_POLLS)

    async def _close(self) -> None:
        await self._hand_over()
        await self._work.close()
        await self._https.close()
        await self._admin.close()
        await self._grpc.close()
        await self._webhooks.close()
        await self._pods.close()
        await self._replica.close()
        await self._peers.close()
        self._collection.close()
        await asyncio.to_thread(self._audit_file.close, AUDIT_CLOSE_SECONDS)

    def _add_services(self, server: grpc.aio.Server) -> None:
        config = self._config
        facts = ClusterFacts(
            config.cluster_uid,
            config.replica,
            lambda: self._members.endpoints,
            config.pod_range,
            config.service_range,
            config.cluster_domain,
        )
        sessions = NodeSessions(
            self._replica,
            facts,
            self._directory,
            self._streams,
            lambda node: LocalClient(self._core, node_identity(node)),
            self._authenticator,
            self._env,
        )
        self._members.listen(sessions.endpoints_changed)
        keys = KeyDesk(self._keys, self._replica, [Path(config.data_dir, name) for name in ("raft", "snapshots")])
        secrets = SecretsDesk(
            self._replica,
            keys,
            self._peers,
            lambda: self._members.peers,
            self._sealing_loop.use,
            self._env.rng.randbytes,
        )
        link = ReplicaLinkService(self._replica, self._directory, self._streams, self._status, self._raft, keys)
        backups = BackupDesk(self._replica, self._backup_facts, Path(config.data_dir) / "backups", self._env)
        handlers = {
            **self._replica_desk.handlers(),
            "Backup": backups.handler(),
            "CreateToken": self._tokens.handler(),
            "RenewCertificate": self._renewals.handler(),
            **secrets.handlers(),
            **RevocationDesk(self._replica, self._authenticator, self._env).handlers(),
        }
        desk = grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)
        server.add_generic_rpc_handlers((desk,))
        node_pb2_grpc.add_NodeServiceServicer_to_server(sessions, server)  # type: ignore[no-untyped-call] # generated
        raft_pb2_grpc.add_ReplicaLinkServicer_to_server(link, server)  # type: ignore[no-untyped-call] # generated

    async def _lead(self, epoch: int) -> None:
        client = self._client(epoch)
        await settle_quota(self._replica, self._config.state_quota_mebibytes, epoch)
        await bootstrap(client, self._config.service_range, self._config.https_port)
        ca_pem = self._files["ca.crt"].decode()
        await run_together(
            keep_default_roles(client),
            keep_default_priorities(client),
            QuotaLoop(self._replica, self._env, epoch).run(),
            run_all(client, self._env, self._directory, lambda: self._members.https_addresses, ca_pem),
        )

    def _backup_facts(self) -> Facts:
        config, membership = self._config, self._replica.status.membership
        return Facts(
            cluster_uid=config.cluster_uid,
            version=self._version,
            raft_incarnation=membership.incarnation if membership is not None else config.incarnation,
            pod_range=config.pod_range,
            service_range=config.service_range,
            cluster_domain=config.cluster_domain,
            ca_cert=self._files["ca.crt"].decode(),
            ca_key=self._files["ca.key"].decode(),
            account_keys=self._files["sa.key"].decode(),
        )

    def _make_replica(self, sealing: Sealing) -> Replica:
        config = self._config
        return Replica(
            config.replica,
            self._raft,
            self._peers,
            Path(config.data_dir) / "snapshots",
            self._env,
            history_seconds=config.history_hours * 3600,
            history_bytes=config.history_mebibytes << 20,
            sealing=sealing,
        )

    def _api_core(self) -> ApiCore:
        config = self._config
        return ApiCore(
            self._replica,
            default_chain(config.disabled_admission_plugins),
            self._env,
            pod_range=config.pod_range,
            service_range=config.service_range,
            limits=config.limits,
            webhooks=self._webhooks,
        )

    def _token_desk(self) -> TokenDesk:
        return TokenDesk(
            self._replica,
            self._core.authorize,
            self._core.consult,
            self._signing,
            self._issuer,
            self._authenticator,
            self._env,
        )

    def _replica_join_desk(self, ca: pki.KeyPair) -> ReplicaJoinDesk | None:
        raft_ca = raft_ca_of(Path(self._config.pki_dir))
        if raft_ca is None:
            return None
        return ReplicaJoinDesk(
            self._replica,
            self._config,
            lambda: self._members.hosts,
            ca,
            raft_ca,
            self._files["sa.key"],
            lambda: encode(self._keys.all()),
            self._env,
        )

    def _rest_api(self) -> RestApi:
        bearer = BearerAuthenticator(self._replica, self._signing, self._users, self._issuer, self._env)
        callers = Callers(self._authenticator, bearer)
        procedures = TokenProcedures(self._tokens, bearer).all()
        documents = key_documents(self._signing, self._issuer)
        return RestApi(self._core, self._streams, callers, self._env, self._pods, procedures, documents)

    def _backend(self, namespace: str, service: str, port: str) -> Backend:
        return choose(self._replica.state, namespace, service, port, self._env.rng)

    def _client(self, epoch: int) -> LocalClient:
        return LocalClient(self._core, Identity("system:control-plane", (MASTERS_GROUP,)), epoch)


def _signing_keys(path: Path, pem: bytes) -> SigningKeys:
    try:
        return read_keys(pem)
    except KeyProblem as problem:
        raise OSError(f"{path}: {problem}") from problem


def _key_ring(folder: Path) -> KeyRing:
    try:
        return open_ring(folder / RING_FILE)
    except KeyRingProblem as problem:
        raise OSError(str(problem)) from problem


def _audit_policy(config: ServerConfig) -> AuditPolicy:
    path = config.audit_policy_file
    try:
        return read_policy(Path(path).read_text(encoding="utf-8"), path) if path else policy_of(config.audit_level)
    except (PolicyProblem, UnicodeDecodeError) as problem:
        raise OSError(str(problem)) from problem


def _pki_files(folder: Path) -> Mapping[str, bytes]:
    missing = [name for name in PKI_FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no {', '.join(missing)}: copy this replica's bundle there from where `tim init` ran"
        )
    return {name: (folder / name).read_bytes() for name in PKI_FILES}
