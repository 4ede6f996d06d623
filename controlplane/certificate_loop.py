"""Keeps a replica's certificates young, and tells the servers and links of this process when there is a new one.

The Raft process looks at its files before each connection and needs no word.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog

from component import pki
from component.env import Env
from component.rpc import Tls
from controlplane.certificates import OWN, OwnCertificate, days_left, is_due, renew

log = structlog.get_logger()

LOOK_SECONDS = 600.0
REMINDER_SECONDS = 86_400.0
"""The same trouble is told once a day."""


class CertificateLoop:
    """`tls` is what to serve and to connect with now; OSError, CertificateProblem when the files are not what they should be.

    Certificates that are due are renewed before the constructor returns, expired ones too: a replica that was off for
    long starts as any other.
    """

    def __init__(self, folder: Path, env: Env) -> None:
        self._folder = folder
        self._env = env
        self._told: dict[tuple[str, str], float] = {}
        self._asked = asyncio.Event()
        self._renew_due()
        self._warn_of_expiry()
        ca_pem = (folder / "ca.crt").read_bytes()
        self.tls = Tls(ca_pem, self.cert_path.read_bytes(), self.key_path.read_bytes())
        self._subject = self._identity(self.tls.cert_pem)

    @property
    def cert_path(self) -> Path:
        """Where the certificate in `tls` is."""
        return self._folder / "api.crt"

    @property
    def key_path(self) -> Path:
        """Where the key in `tls` is."""
        return self._folder / "api.key"

    async def run(self, changed: Callable[[Tls], None]) -> None:
        """Look every ten minutes until cancelled; `changed` is told of a new `tls`, also of one that somebody else made."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            self._asked.clear()
            await self.look(changed)

    def look_now(self) -> None:
        """Let `run` look at once; safe in a signal handler of the loop."""
        self._asked.set()

    async def look(self, changed: Callable[[Tls], None]) -> None:
        """Renew what is due, and tell `changed` if there is another certificate than before."""
        await asyncio.to_thread(self._renew_due)
        self._warn_of_expiry()
        try:
            now = Tls(self.tls.ca_pem, self.cert_path.read_bytes(), self.key_path.read_bytes())
            if now == self.tls:
                return
            self._check(now)
            changed(now)
        except (OSError, pki.CertificateProblem) as error:
            if self._is_news("certificate_not_taken", str(error)):
                log.warning("certificate_not_taken", path=str(self.cert_path), error=str(error))
            return
        self.tls = now
        log.info("certificate_taken", path=str(self.cert_path))

    def _check(self, tls: Tls) -> None:
        """Raise CertificateProblem for files that would make this another replica, or none."""
        pki.check_signed_by(tls.cert_pem, tls.ca_pem)
        pki.check_key(tls.cert_pem, tls.key_pem)
        subject = self._identity(tls.cert_pem)
        if subject != self._subject:
            raise pki.CertificateProblem(f"it is for {subject[0]!r}, not {self._subject[0]!r}")

    def _identity(self, cert_pem: bytes) -> tuple[str, tuple[str, ...]]:
        try:
            subject = pki.read_subject(cert_pem)
        except pki.CertificateProblem as problem:
            raise pki.CertificateProblem(f"{self.cert_path}: {problem}") from problem
        return subject.common_name, subject.groups

    def _renew_due(self) -> None:
        for each in OWN:
            self._renew_if_due(each)

    def _renew_if_due(self, which: OwnCertificate) -> None:
        """Failures are logged: from two thirds of a certificate's life there is a third to mend them."""
        path, now = self._folder / f"{which.name}.crt", self._env.now()
        try:
            if not is_due(path.read_bytes(), now):
                return
            made = renew(self._folder, which, now)
        except (OSError, pki.CertificateProblem) as error:
            if self._is_news(which.name, str(error)):
                left = days_left(self._folder, now).get(path)
                days = {} if left is None else {"days_left": round(left, 1)}
                log.warning("certificate_not_renewed", path=str(path), error=str(error), **days)
            return
        log.info("certificate_renewed", path=str(path), days_left=round(pki.days_left(made, now), 1))

    def _warn_of_expiry(self) -> None:
        for path, days in days_left(self._folder, self._env.now()).items():
            if days < pki.WARNING_DAYS and self._is_news(path.name, "expires"):
                log.warning("certificate_expires", path=str(path), days_left=round(days, 1))

    def _is_news(self, what: str, trouble: str) -> bool:
        now = self._env.monotonic()
        told = self._told.get((what, trouble))
        if told is not None and now < told + REMINDER_SECONDS:
            return False
        self._told[what, trouble] = now
        return True
