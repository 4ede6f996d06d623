"""A replica's own certificates: which there are, when they are due, and having them signed with the keys it holds.

The API process does so in time, `tim pki renew` without a cluster. Knows nothing of connections. The private keys stay
the same, so that one file changes at a time and a crash at any moment leaves a pair that fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from component import pki
from component.files import write_private


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """NAME.crt and NAME.key in the folder of keys, signed by AUTHORITY.crt and AUTHORITY.key beside them."""

    name: str
    authority: str


OWN: Final = (OwnCertificate("api", "ca"), OwnCertificate("raft", "raft-ca"))


def is_due(cert_pem: bytes, now: float) -> bool:
    """Whether two thirds of its life are over, or it is of a time to come: signed while the clock was wrong.

    Raises CertificateProblem.
    """
    return now >= pki.renewal_time(cert_pem) or now < pki.read_subject(cert_pem).not_before


def renew(folder: Path, which: OwnCertificate, now: float) -> bytes:
    """Sign the certificate anew, check it, and only then replace the old one on disk, for good; returns it.

    Raises CertificateProblem, which names the file and what to do, and OSError; the old certificate is still there then.
    """
    key_path = folder / f"{which.authority}.key"
    if not key_path.is_file():
        raise pki.CertificateProblem(
            f"{key_path} is missing: copy it from another replica, then run `tim pki renew --offline`; "
            "if none has it, `tim backup save` and restore the backup, which makes new keys"
        )
    authority = pki.KeyPair((folder / f"{which.authority}.crt").read_bytes(), key_path.read_bytes())
    path = folder / f"{which.name}.crt"
    old, key = path.read_bytes(), (folder / f"{which.name}.key").read_bytes()
    try:
        made = pki.reissue(authority, old, key, now)
        pki.check_key(made, key)
        pki.check_signed_by(made, authority.cert_pem)
    except pki.CertificateProblem as problem:
        raise pki.CertificateProblem(f"{path}: {problem}") from problem
    write_private(path, made, durable=True)
    return made


def days_left(folder: Path, now: float) -> Mapping[Path, float]:
    """Of each certificate that a replica has, its authorities' included; one that cannot be read is left out."""
    found = {}
    for name in [name for each in OWN for name in (each.authority, each.name)]:
        path = folder / f"{name}.crt"
        try:
            found[path] = pki.days_left(path.read_bytes(), now)
        except (OSError, pki.CertificateProblem):
            continue
    return found
