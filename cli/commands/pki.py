"""`tim pki`: credentials for people, and this replica's own, on a machine that holds the certificate authorities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import yaml

from cli import options
from cli.output import align
from cli.own_certificates import certificate_rows, renew_all
from cli.people import Person, client_configuration, person_of
from cli.revoking import revoke_certificates, revoked_rows
from cli.verb import Verb, VerbGroup
from component import config
from component.env import system_env
from component.files import write_private
from component.pki import LEAF_DAYS, CertificateProblem, KeyPair
from controlplane.config import ServerConfig

LONGEST_DAYS = 3650


@click.group(
    cls=VerbGroup,
    examples=(
        "tim pki user jane --group developers -o jane.conf",
        "tim --kubeconfig jane.conf auth whoami",
        "tim pki show",
        "tim pki renew --offline",
        "tim pki revoke jane",
        "tim pki revoke --certificate lost.crt",
    ),
)
def pki() -> None:
    """Credentials signed by the cluster's certificate authority."""


def pki_dir_option(command: Callable[..., None]) -> Callable[..., None]:
    """`--pki-dir`."""
    return click.option(
        "--pki-dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        default=Path("/etc/timonier/pki"),
        show_default=True,
        help="Where the certificates and keys are.",
    )(command)


@pki.command(cls=Verb)
@pki_dir_option
def show(folder: Path) -> None:
    """List this machine's certificates: whose they are, and for how long they are good."""
    click.echo(align(certificate_rows(folder, system_env().now())))


@pki.command(cls=Verb)
@click.option("--offline", is_flag=True, help="Do it here, with the keys on this machine and without the cluster.")
@pki_dir_option
def renew(folder: Path, *, offline: bool) -> None:
    """Sign this replica's certificates anew, due or not. Names and keys stay.

    A replica does so by itself from two thirds of their life on: this is for one that could not. If it runs, it takes
    them within ten minutes, or at once after `systemctl reload timonier-api`.
    """
    if not offline:
        raise click.UsageError(
            "a running replica renews its certificates by itself; say --offline to do it here and now"
        )
    renew_all(folder, system_env().now())


@pki.command(cls=Verb)
@click.argument("name", default="")
@click.option("--serial", default="", metavar="HEX", help="Only the certificate with this serial number.")
@click.option(
    "--certificate",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="Only the certificate in this file (PEM).",
)
def revoke(name: str, serial: str, file: Path | None) -> None:
    """Let the certificates of NAME that were issued until now count no more, or only one.

    At once, at every replica, and for connections that are there. NAME is the CN: of a person as it is, of a node
    system:node:NAME. Certificates that are issued afterwards count.
    """
    if sum(map(bool, (name, serial, file))) != 1:
        raise click.UsageError("say NAME, --serial or --certificate, one of them")
    revoke_certificates(name, serial, file)


@pki.command(cls=Verb)
def revoked() -> None:
    """List what is revoked and has not expired yet."""
    click.echo(align(revoked_rows()))


@pki.command(cls=Verb)
@click.argument("name")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group that the user is in; may be repeated.")
@click.option(
    "--days",
    type=click.IntRange(1, LONGEST_DAYS),
    default=LEAF_DAYS,
    show_default=True,
    help="How long the certificate is good.",
)
@click.option(
    "--cluster", default="timonier", show_default=True, metavar="NAME", help="What the file calls the cluster."
)
@click.option(
    "-o", "--output", default="", metavar="FILE", help="Where the client configuration goes [default: NAME.conf]."
)
@options.directory("Where this replica's files are.")
def user(name: str, groups: tuple[str, ...], days: int, cluster: str, output: str, directory: Path) -> None:
    """Make the client configuration of user NAME: a key and a certificate that says who they are.

    What they may do is said by roles and bindings; without any they may do next to nothing.
    """
    target = Path(output or f"{name}.conf")
    if target.exists():
        raise click.ClickException(f"{target} exists already: remove it, or name another file with -o")
    try:
        settings = config.load(ServerConfig, directory / "server.yaml", {}, prefix="")
        folder = directory / "pki"
        if not (folder / "ca.key").exists():
            folder = Path(settings.pki_dir)
        ca = KeyPair((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
        person: Person = person_of(name, groups)
        tree = client_configuration(ca, settings, person, cluster, system_env().now(), days)
        write_private(target, yaml.safe_dump(tree, sort_keys=False).encode())
    except (ValueError, CertificateProblem, config.ConfigProblem) as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror}: run this on a replica, or say --dir") from error
    said = f" in {', '.join(groups)}" if groups else ""
    click.echo(f"user {name}{said}: {target}, good for {days} days; hand it over safely, it holds the key")
