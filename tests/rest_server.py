"""The Kubernetes-compatible API for tests: a core without peers behind one real HTTPS port, and callers of it."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from api.errors import NotFound
from component import kubeconfig
from component.rpc import API_SERVER_NAME, Tls
from component.signing import make_key, read_keys
from controlplane.apiserver.accounts.bearer import BearerAuthenticator
from controlplane.apiserver.accounts.claims import issuer_of
from controlplane.apiserver.accounts.issuing import TokenDesk
from controlplane.apiserver.accounts.static import read_tokens
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.fairness.doors import HANDSHAKE_SECONDS, IDLE_SECONDS
from controlplane.apiserver.fairness.limits import DEFAULTS
from controlplane.apiserver.health import Health
from controlplane.apiserver.https import HttpsServer
from controlplane.apiserver.join import JoinDesk
from controlplane.apiserver.pod_network import PodNetwork
from controlplane.apiserver.rest.access import Callers
from controlplane.apiserver.rest.api import RestApi
from controlplane.apiserver.rest.bodies import BODY_SECONDS
from controlplane.apiserver.rest.tokens import TokenProcedures, key_documents
from tests.api_server import Cluster, NoStreams, Pki, make_pki, running_core

ACCOUNT_KEYS = read_keys(make_key())
ISSUER = issuer_of("cluster.local")
USER_TOKEN = "0123456789abcdef"


def bearer_of(cluster: Cluster) -> BearerAuthenticator:
    """Knows service accounts, and jane by a token of her own."""
    users = read_tokens(f'{USER_TOKEN},jane,u1,"dev,ops"\n', "tokens.csv")
    return BearerAuthenticator(cluster.replica, ACCOUNT_KEYS, users, ISSUER, cluster.env)


@dataclass
class Answer:
    """What came back, read whole."""

    status: int
    headers: dict
    text: str

    @property
    def tree(self) -> dict:
        return json.loads(self.text)


class Rest:
    """One HTTPS server, and requests to it as the administrator unless another certificate is given."""

    def __init__(self, cluster: Cluster, keys: Pki, server: HttpsServer, port: int, folder: Path) -> None:
        self.cluster, self.keys, self.server, self.port, self.folder = cluster, keys, server, port, folder
        self.url = f"https://127.0.0.1:{port}"
        self._sessions: list[aiohttp.ClientSession] = []
        self._contexts = 0
        self.admin = self.session(keys.admin)

    def tls(self, tls: Tls | None) -> ssl.SSLContext:
        """How a client trusts the server and shows a certificate, if it has one."""
        context = ssl.create_default_context(cadata=self.keys.ca.cert_pem.decode())
        context.check_hostname = False
        if tls is not None:
            self._contexts += 1
            cert, key = (self.folder / f"client{self._contexts}.{end}" for end in ("crt", "key"))
            cert.write_bytes(tls.cert_pem)
            key.write_bytes(tls.key_pem)
            context.load_cert_chain(cert, key)
        return context

    def session(self, tls: Tls | None) -> aiohttp.ClientSession:
        """A client with a certificate; without `tls` an anonymous one."""
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.tls(tls)))
        self._sessions.append(session)
        return session

    async def ask(self, method: str, path: str, body=None, *, session=None, **options) -> Answer:
        """One request; its body goes as JSON unless the headers say otherwise."""
        if body is not None:
            text = body if isinstance(body, str | bytes) else json.dumps(body)
            body = io.BytesIO(text.encode() if isinstance(text, str) else text)
            options["headers"] = {"Content-Type": "application/json"} | options.get("headers", {})
        ask = (session or self.admin).request
        async with ask(method, self.url + path, data=body, **options) as response:
            return Answer(response.status, response.headers, await response.text())

    def kubeconfig(self) -> Path:
        """A file with which kubectl and the Python client reach this server."""
        admin = self.keys.admin
        tree = kubeconfig.build(
            "test", self.url, ["127.0.0.1:1"], self.keys.ca.cert_pem, "admin", admin.cert_pem, admin.key_pem
        )
        assert tree["clusters"][0]["cluster"]["tls-server-name"] == API_SERVER_NAME
        path = self.folder / "kubeconfig"
        kubeconfig.write(tree, path)
        return path

    @property
    def watches(self) -> set:
        """Those that are open."""
        return self.server._api._watching._open

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()


def nowhere(_namespace, service, _port):
    raise NotFound(f'services "{service}" not found')


@asynccontextmanager
async def serving_rest(
    folder: Path,
    streams=None,
    audit=None,
    limits=DEFAULTS,
    webhooks=None,
    pods=None,
    idle_seconds=IDLE_SECONDS,
    body_seconds=BODY_SECONDS,
    handshake_seconds=HANDSHAKE_SECONDS,
    **options,
) -> AsyncIterator[Rest]:
    """A running server over its own core."""
    keys = make_pki()
    (folder / "crt").write_bytes(keys.server.cert_pem)
    (folder / "key").write_bytes(keys.server.key_pem)
    async with running_core(folder / "snapshots", limits=limits, webhooks=webhooks) as cluster:
        desk = JoinDesk(cluster.core, cluster.local, keys.ca, dict, "c1", cluster.env)
        authenticator, bearer = Authenticator(cluster.core.authorizer), bearer_of(cluster)
        tokens = TokenDesk(
            cluster.replica,
            cluster.core.authorize,
            cluster.core.consult,
            ACCOUNT_KEYS,
            ISSUER,
            authenticator,
            cluster.env,
        )
        api = RestApi(
            cluster.core,
            streams or NoStreams(),
            Callers(authenticator, bearer),
            cluster.env,
            pods or PodNetwork(streams or NoStreams(), nowhere),
            TokenProcedures(tokens, bearer).all(),
            key_documents(ACCOUNT_KEYS, ISSUER),
            **options,
        )
        server = HttpsServer(
            desk,
            None,
            api,
            Health(dict),
            "1.2.3",
            audit,
            idle_seconds=idle_seconds,
            body_seconds=body_seconds,
            handshake_seconds=handshake_seconds,
        )
        port = await server.start("127.0.0.1", 0, folder / "crt", folder / "key")
        rest = Rest(cluster, keys, server, port, folder)
        try:
            yield rest
        finally:
            await rest.close()
            await server.close()
