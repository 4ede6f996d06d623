"""What `tim pki revoke` and `tim pki revoked` ask the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.connect import call
from component.env import rfc3339

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import ListRevokedResponse
    from component.rpc_client import RpcClient

HEADING = ["NAME", "SERIAL", "REVOKED", "BY", "KEPT UNTIL"]


def revoke_certificates(name: str, serial: str, file: Path | None) -> None:
    """Revoke, and say what. ClickException for a file that holds no certificate."""
    expires_time = 0.0
    if file is not None:
        from component import pki  # noqa: PLC0415 - cryptography takes long to load

        try:
            subject = pki.read_subject(file.read_bytes())
        except pki.CertificateProblem as problem:
            raise click.ClickException(f"{file}: {problem}") from problem
        except OSError as error:
            raise click.ClickException(f"{file}: {error.strerror}") from error
        serial, expires_time = subject.serial, subject.not_after

    async def work(client: RpcClient, _namespace: str) -> None:
        await client.revoke_certificate(name=name, serial=serial, expires_time=expires_time)

    call(work)
    click.echo(f"revoked: every certificate issued for {name} until now" if name else f"revoked: certificate {serial}")


def revoked_rows() -> list[list[str]]:
    """A heading, and a row for everything that is revoked."""

    async def work(client: RpcClient, _namespace: str) -> ListRevokedResponse:
        return await client.revoked_certificates()

    rows = [
        [each.name or "-", each.serial or "-", rfc3339(each.time), each.by, rfc3339(each.expires_time)]
        for each in call(work).revoked
    ]
    return [HEADING, *rows]
