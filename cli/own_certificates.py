"""The certificates of the machine that `tim` runs on: what `tim pki show` and `tim pki renew` say and do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from component import pki
from controlplane.certificates import OWN, is_due, renew

HEADING = ["FILE", "SUBJECT", "EXPIRES", "LEFT", "RENEWAL"]


def certificate_rows(folder: Path, now: float) -> list[list[str]]:
    """A heading, and a row for every certificate. ClickException when there is none, or one cannot be read."""
    rows = [_row(path, now) for path in sorted(folder.glob("*.crt"))]
    if not rows:
        raise click.ClickException(f"{folder} holds no certificates: say where they are with --pki-dir")
    return [HEADING, *rows]


def renew_all(folder: Path, now: float) -> None:
    """Renew each of a replica's certificates and say so. ClickException with every reason why one was not."""
    if not (folder / "api.crt").is_file():
        raise click.ClickException(f"{folder} has no api.crt: run this on a replica, or say --pki-dir")
    problems = []
    for each in OWN:
        try:
            made = renew(folder, each, now)
        except pki.CertificateProblem as problem:
            problems.append(str(problem))
        except OSError as error:
            problems.append(f"{error.filename or folder}: {error.strerror}")
        else:
            click.echo(f"{folder / each.name}.crt: renewed, good until {_day(pki.read_subject(made).not_after)}")
    if problems:
        raise click.ClickException("; ".join(problems))


def _row(path: Path, now: float) -> list[str]:
    try:
        cert_pem = path.read_bytes()
        subject, days = pki.read_subject(cert_pem), pki.days_left(cert_pem, now)
        due = is_due(cert_pem, now)
    except pki.CertificateProblem as problem:
        raise click.ClickException(f"{path}: {problem}") from problem
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    left = f"{days:.0f}d" if days > 0 else f"expired {-days:.0f}d ago"
    renewal = "due" if due else _day(pki.renewal_time(cert_pem))
    authority = path.stem.endswith("ca")
    return [path.name, subject.common_name, _day(subject.not_after), left, "-" if authority else renewal]


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")
