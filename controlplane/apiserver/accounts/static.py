"""Tokens of users that stand in a file, as Kubernetes' `--token-auth-file` has them: never expiring, so for few.

One line for each: `token,user,uid,"group1,group2"`; the groups may be missing. Read when the replica starts, and when it is
asked to reload.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import structlog

from controlplane.admission.request import AUTHENTICATED_GROUP, Identity
from controlplane.apiserver.accounts.claims import Caller

log = structlog.get_logger()

SHORTEST_CHARACTERS = 16
"""Of a token: shorter ones could be found by trying."""


class TokenFileProblem(ValueError):
    """The file cannot be used; the message names the line."""


class StaticTokens:
    """Who has which token. Only hashes are kept, and what is looked up is a hash, which tells nothing by its timing."""

    def __init__(self, callers: Mapping[bytes, Caller]) -> None:
        self._callers = callers

    def caller(self, token: str) -> Caller | None:
        """Who has this token; None: nobody."""
        return self._callers.get(_digest(token))


class TokenFile(StaticTokens):
    """The tokens that stand in a file, "" for none. OSError, also when what stands there cannot be used."""

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__(_callers_in(path))

    def reload(self) -> None:
        """Read the file again; what counted before goes on counting when that fails, which is logged."""
        try:
            self._callers = _callers_in(self._path)
        except OSError as error:
            log.warning("token_file_not_read", path=self._path, error=str(error))
        else:
            if self._path:
                log.info("token_file_read", path=self._path, tokens=len(self._callers))


def _callers_in(path: str) -> Mapping[bytes, Caller]:
    try:
        return callers_of(Path(path).read_text(encoding="utf-8"), path) if path else {}
    except (TokenFileProblem, UnicodeDecodeError) as problem:
        raise OSError(str(problem)) from problem


def read_tokens(text: str, path: str) -> StaticTokens:
    """Read the text of a file of tokens. TokenFileProblem, which never quotes a token."""
    return StaticTokens(callers_of(text, path))


def callers_of(text: str, path: str) -> Mapping[bytes, Caller]:
    """As `read_tokens`: hash of a token -> whose it is."""
    callers: dict[bytes, Caller] = {}
    for number, row in enumerate(csv.reader(io.StringIO(text), skipinitialspace=True), 1):
        if not row or row[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        if len(row) not in {3, 4} or not row[1]:
            raise TokenFileProblem(f'{where}: write token,user,uid or token,user,uid,"group1,group2"')
        token, user, uid = row[:3]
        if len(token) < SHORTEST_CHARACTERS:
            raise TokenFileProblem(f"{where}: the token must have {SHORTEST_CHARACTERS} characters or more")
        if _digest(token) in callers:
            raise TokenFileProblem(f"{where}: the token stands in another line, too")
        groups = [group for each in row[3:] for group in each.split(",") if group]
        identity = Identity(user, (*groups, AUTHENTICATED_GROUP))
        callers[_digest(token)] = Caller(identity, uid)
    return callers


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="backslashreplace")).digest()
