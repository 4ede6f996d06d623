"""`tim backup`: the whole state in one file, and a cluster made from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options
from cli.connect import call
from cli.verb import VerbGroup

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

key_option = click.option(
    "--secrets-key",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The keys of its Secrets: a copy of pki/secrets.key of a replica [default: this machine's, if there is one].",
)


@click.group(
    cls=VerbGroup,
    examples=(
        "tim backup save cluster.backup",
        "tim backup verify cluster.backup",
        "tim backup restore cluster.backup --replica r1=10.0.0.1",
    ),
)
def backup() -> None:
    """Save, verify and restore the state of the cluster. A backup holds the cluster's keys, but not those of Secrets."""


@backup.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def save(file: Path) -> None:
    """Write the whole state to FILE while the cluster runs; everything acknowledged before is in it."""
    from cli.backups import describe, verified  # noqa: PLC0415 - needs the control plane's code

    if file.exists():
        raise click.ClickException(f"{file} exists: choose another name")
    fresh = file.with_name(f".{file.name}.{os.getpid()}")

    async def work(client: RpcClient, _namespace: str) -> None:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            async for piece in client.backup():
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())

    try:
        call(work)
        manifest, _ = verified(fresh, needs_keys=False)
        fresh.rename(file)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)
    click.echo(f"saved and verified {file}: {describe(manifest)}")
    click.echo("keep it as safe as the cluster: it holds the keys of its certificate authorities and tokens", err=True)
    if manifest.secrets_key_id:
        click.echo(
            f"its Secrets need key {manifest.secrets_key_id}, which is not in it: keep a copy of /etc/timonier/pki/secrets.key "
            "of a replica somewhere else",
            err=True,
        )


@backup.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@key_option
def verify(file: Path, secrets_key: Path | None) -> None:
    """Check FILE whole: checksums, that everything decodes, and that the key of its Secrets is at hand."""
    from cli.backups import describe, keys_of, verified  # noqa: PLC0415 - needs the control plane's code

    manifest, _ = verified(file, keys_of(secrets_key, Path("/etc/timonier")))
    click.echo(f"{file} is good: {describe(manifest)}")
    secrets = f"encrypted, key {manifest.secrets_key_id} is at hand" if manifest.secrets_key_id else "not encrypted"
    click.echo(f"Secrets: {secrets}")


@backup.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replica", required=True, metavar="ID=ADDRESS", help="The first replica of the new cluster.")
@options.directory("Where its configuration and certificates go.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("/var/lib/timonier"),
    show_default=True,
    help="Where its data goes; must hold no replica.",
)
@key_option
def restore(file: Path, replica: str, directory: Path, data_dir: Path, secrets_key: Path | None) -> None:
    """Make this machine the first replica of a cluster with the state of FILE; more join by `tim replica add`.

    It is the same cluster (CA and uid) in a new incarnation: its nodes register again when their agents reach the new
    address. The replicas of before must never run again.
    """
    from cli.backups import restored  # noqa: PLC0415 - needs the control plane's code

    name, separator, address = replica.partition("=")
    if not (separator and name and address):
        raise click.ClickException(f"--replica {replica}: write it as ID=ADDRESS, for example r1=10.0.0.1")
    for line in restored(file, secrets_key, name, address, directory, data_dir):
        click.echo(line)
