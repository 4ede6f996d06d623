"""How a machine joins: it trusts nobody but the holder of the pinned CA key, and is trusted for one token.

First the CA certificate is fetched without trust and compared with the pin; everything after that is verified with
it. The private key is made here and never leaves; the replica signs the name that the token allows.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from api import errors
from component import pki
from component.env import Env
from component.rpc import API_SERVER_NAME

CA_PATH = "/timonier/v1/ca"
JOIN_PATH = "/timonier/v1/join"
JOIN_REPLICA_PATH = "/timonier/v1/join-replica"
RENEW_PATH = "/timonier/v1/renew-node"
ANSWER_SECONDS = 15.0
Answer = TypeVar("Answer")
TOKEN_PATTERN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")


@dataclass(frozen=True, slots=True)
class Joined:
    """What a node got: where the replicas are, and its files (relative path -> content)."""

    endpoints: tuple[str, ...]
    cluster_uid: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class JoinedReplica:
    """What a replica got: the cluster's part of its configuration, and its files (relative path -> content)."""

    settings: Mapping[str, Any]
    files: Mapping[str, bytes]


async def join(servers: Sequence[str], token: str, ca_hash: str, name: str, env: Env) -> Joined:
    """Join as node `name` through the first of `servers` (host:port of HTTPS) that answers.

    Raises Unauthenticated (wrong CA; wrong, used or expired token, or one for another name), AlreadyExists (the name is
    a node's), Invalid and Unavailable (nobody answers).
    """
    return await _join_first(servers, token, ca_hash, lambda server: _join_at(server, token, ca_hash, name, env))


async def join_replica(
    servers: Sequence[str], token: str, ca_hash: str, name: str, host: str, env: Env, *, level: int
) -> JoinedReplica:
    """Join as replica `name`, which the others reach at `host` and whose program knows cluster level `level`.

    Servers and errors as `join`; NotReady when the cluster is at a higher level.
    """
    return await _join_first(
        servers, token, ca_hash, lambda server: _join_replica_at(server, token, ca_hash, name, host, env, level)
    )


async def renew(servers: Sequence[str], token: str, ca_hash: str, name: str, key_pem: bytes, env: Env) -> bytes:
    """Have the certificate of node `name` signed anew for the key that it has; returns it.

    Servers and errors as `join`, but NotFound when there is no such Node; CertificateProblem for a key of no use.
    """
    request_pem = pki.request_for(key_pem, f"system:node:{name}")

    async def renew_at(server: str) -> bytes:
        body = {"token": token, "name": name, "request": request_pem.decode()}
        ca_pem, answer = await _present(server, ca_hash, RENEW_PATH, body)
        cert_pem: bytes = answer["certificate"].encode()
        pki.check_signed_by(cert_pem, ca_pem)
        _check_clock(cert_pem, env.now(), server)
        return cert_pem

    return await _join_first(servers, token, ca_hash, renew_at)


async def _join_first(
    servers: Sequence[str], token: str, ca_hash: str, join_at: Callable[[str], Awaitable[Answer]]
) -> Answer:
    if not TOKEN_PATTERN.fullmatch(token):
        raise errors.Invalid("the token must look like abcdef.0123456789abcdef: make one with `tim token create`")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", ca_hash):
        raise errors.Invalid("the CA hash must be sha256: and 64 hex digits, as `tim token create` prints it")
    problem: errors.ApiError = errors.Unavailable("no server was given")
    for server in servers:
        try:
            return await join_at(server)
        except errors.Unavailable as error:
            problem = error
    raise problem


async def _join_at(server: str, token: str, ca_hash: str, name: str, env: Env) -> Joined:
    request_pem, key_pem = pki.make_request(f"system:node:{name}")
    body = {"token": token, "name": name, "request": request_pem.decode()}
    ca_pem, answer = await _present(server, ca_hash, JOIN_PATH, body)
    cert_pem = answer["certificate"].encode()
    pki.check_signed_by(cert_pem, ca_pem)
    _check_clock(cert_pem, env.now(), server)
    files = {"pki/ca.crt": ca_pem, "pki/node.crt": cert_pem, "pki/node.key": key_pem}
    return Joined(tuple(answer["endpoints"]), answer["cluster_uid"], files)


async def _join_replica_at(
    server: str, token: str, ca_hash: str, name: str, host: str, env: Env, level: int
) -> JoinedReplica:
    request_pem, key_pem = pki.make_request(f"system:replica:{name}")
    raft_request_pem, raft_key_pem = pki.make_request(f"raft:{name}")
    body: dict[str, str | int] = {
        "token": token,
        "name": name,
        "host": host,
        "request": request_pem.decode(),
        "raft_request": raft_request_pem.decode(),
        "level": level,
    }
    ca_pem, answer = await _present(server, ca_hash, JOIN_REPLICA_PATH, body)
    cert_pem, raft_cert_pem, raft_ca_pem = (
        answer[field].encode() for field in ("certificate", "raft_certificate", "raft_ca")
    )
    pki.check_signed_by(cert_pem, ca_pem)
    pki.check_signed_by(raft_cert_pem, raft_ca_pem)
    _check_clock(cert_pem, env.now(), server)
    files = {
        "pki/ca.crt": ca_pem,
        "pki/ca.key": answer["ca_key"].encode(),
        "pki/api.crt": cert_pem,
        "pki/api.key": key_pem,
        "pki/sa.key": answer["account_keys"].encode(),
        "pki/secrets.key": answer.get("secrets_keys", "").encode(),
        "pki/raft-ca.crt": raft_ca_pem,
        "pki/raft-ca.key": answer["raft_ca_key"].encode(),
        "pki/raft.crt": raft_cert_pem,
        "pki/raft.key": raft_key_pem,
    }
    return JoinedReplica(answer["server"], files)


async def _present(
    server: str, ca_hash: str, path: str, body: Mapping[str, str | int]
) -> tuple[bytes, Mapping[str, Any]]:
    """Compare the server's CA with the pin, then show the token; returns (CA, answer)."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)) as session:
        ca_pem: bytes = (await _ask(session, server, "GET", CA_PATH, ssl_context=_untrusting()))["ca"].encode()
        found = pki.ca_hash(ca_pem)
        if found != ca_hash:
            raise errors.Unauthenticated(f"the CA of {server} has hash {found}, not the pinned one: wrong cluster?")
        context = ssl.create_default_context(cadata=ca_pem.decode())
        return ca_pem, await _ask(session, server, "POST", path, ssl_context=context, body=body)


def _untrusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only the CA is fetched with it, and that is compared with the pin
    return context


async def _ask(
    session: aiohttp.ClientSession,
    server: str,
    method: str,
    path: str,
    *,
    ssl_context: ssl.SSLContext,
    body: Mapping[str, str | int] | None = None,
) -> Mapping[str, Any]:
    try:
        async with session.request(
            method, f"https://{server}{path}", json=body, ssl=ssl_context, server_hostname=API_SERVER_NAME
        ) as response:
            answer: Mapping[str, Any] = await response.json(content_type=None)
            if response.status == 200:
                return answer
            error = errors.ERRORS.get(str(answer.get("reason")), errors.Unavailable)
            raise error(str(answer.get("message")))
    except aiohttp.ClientConnectorCertificateError as error:
        reason = getattr(error.certificate_error, "verify_message", str(error))
        hint = ": compare the clocks of both machines" if "not yet valid" in reason or "expired" in reason else ""
        raise errors.Unauthenticated(f"the certificate of {server} is not accepted: {reason}{hint}") from error
    except aiohttp.ClientConnectorError as error:
        number = error.errno or 0  # negative for names that are not found
        reason = (os.strerror(number) if number > 0 else error.strerror or "no answer").lower()
        raise errors.Unavailable(f"{server} cannot be reached: {reason}") from error
    except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        raise errors.Unavailable(f"{server} does not answer: {str(error) or type(error).__name__}") from error


def _check_clock(cert_pem: bytes, now: float, server: str) -> None:
    subject = pki.read_subject(cert_pem)
    if now < subject.not_before:
        behind = subject.not_before + pki.BACKDATE_SECONDS - now
        raise errors.Unauthenticated(
            f"this machine's clock is about {behind:.0f} s behind {server}: set the clocks, then join again"
        )
