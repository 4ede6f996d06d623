"""Backup files: the whole state at one revision with what a new cluster needs to be the same one.

A file is a magic number, a JSON manifest after its length and SHA-256, and a snapshot. The manifest names the snapshot's size and
SHA-256, and carries the cluster CA with its key, so that nodes trust the restored cluster, and the keys of service
accounts' tokens: the file is as secret as the cluster itself. Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from component.env import Env, rfc3339
from controlplane.commands import Stored
from controlplane.incarnation import starting_entry
from controlplane.level import TooNew, check_known
from controlplane.membership_loop import PREFIX
from controlplane.raft.protocol import Entry
from controlplane.raft.snapshots import publish
from controlplane.sealing import NotSealedFor, key_id, keys_needed, open_sealed, sealed_with
from controlplane.store import snapshot as snapshots
from controlplane.store.state import State

PIECE_BYTES: Final = 1 << 20
_MAGIC: Final = b"TIMBACKUP1\n"
_MANIFEST_LIMIT_BYTES: Final = 1 << 20
_DIGEST_BYTES: Final = 32


class BackupProblem(Exception):
    """The file cannot be used; the message says why and what to do."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. `raft_incarnation` is of the replicas, the state's own stands in the snapshot."""

    cluster_uid: str
    version: str
    time: str
    index: int
    revision: int
    level: int
    objects: int
    raft_incarnation: int
    pod_range: str
    service_range: str
    cluster_domain: str
    secrets_key_id: str
    size_bytes: int
    sha256: str
    ca_cert: str
    ca_key: str
    account_keys: str = ""  # backups of before there were tokens have none


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a manifest that does not come from the state."""

    cluster_uid: str
    version: str
    raft_incarnation: int
    pod_range: str
    service_range: str
    cluster_domain: str
    ca_cert: str
    ca_key: str
    account_keys: str


def pieces(state: State, facts: Facts, folder: Path, env: Env) -> Generator[bytes]:
    """Write a backup of a state that nobody changes (a clone) and yield it in pieces. OSError, CorruptSnapshot."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="backup-") as scratch:
        written = snapshots.write(state, Path(scratch)).path
        manifest = Manifest(
            **msgspec.structs.asdict(facts),
            time=rfc3339(env.now()),
            index=state.applied_index,
            revision=state.revision,
            level=state.level,
            objects=sum(state.count(resource) for resource in state.resources()),
            secrets_key_id=",".join(sorted(keys_needed(state))),
            size_bytes=written.stat().st_size,
            sha256=_sha256(written),
        )
        encoded = msgspec.json.encode(manifest)
        yield _MAGIC + len(encoded).to_bytes(4, "big") + hashlib.sha256(encoded).digest() + encoded
        with written.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


def verify(path: Path, keys: Sequence[bytes] = (), *, needs_keys: bool = True) -> tuple[Manifest, State]:
    """Check everything: sums, that all of it decodes, and (`needs_keys`) that `keys` open all Secrets.

    BackupProblem says what is wrong.
    """
    with _unpacked(path) as (manifest, snapshot):
        if (snapshot.stat().st_size, _sha256(snapshot)) != (manifest.size_bytes, manifest.sha256):
            raise BackupProblem(f"{path} is damaged: size or SHA-256 differ from what was saved; use another backup")
        try:
            state = snapshots.load(snapshot)
            check_known(state.level)
        except snapshots.CorruptSnapshot as error:
            raise BackupProblem(f"{path} does not decode ({error}); use another backup") from error
        except TooNew as error:
            raise BackupProblem(f"{path} was saved by version {manifest.version}: {error}") from error
    if (state.applied_index, state.revision) != (manifest.index, manifest.revision):
        raise BackupProblem(f"{path}: manifest and state are of different revisions; use another backup")
    missing = sorted(keys_needed(state).difference(map(key_id, keys)))
    if needs_keys and missing:
        raise BackupProblem(
            f"{path}: its Secrets are encrypted with key {', '.join(missing)}, which was not given: "
            "--secrets-key FILE, a copy of pki/secrets.key of a replica from then or later"
        )
    ring = {key_id(key): key for key in keys}
    for resource in state.resources():
        for stored in state.each(resource):
            _check_body(path, stored, ring)
    return manifest, state


def install(state: State, data_dir: Path, env: Env) -> snapshots.SnapshotFile:
    """Lay the state down for a new cluster's first replica, one incarnation later. OSError.

    Newcomers that were waiting to be let in are forgotten: they belonged to the replicas that are gone.
    """
    for name in [name for name in state.settings if name.startswith(PREFIX)]:
        del state.settings[name]
    state.apply(Entry(state.applied_index + 1, state.applied_term + 1, starting_entry(env)))
    written = snapshots.write(state, data_dir / "snapshots")
    raft_folder = data_dir / "raft" / "snapshot"
    raft_folder.mkdir(parents=True, exist_ok=True)
    copy = raft_folder / "restored.partial"
    copy.write_bytes(written.path.read_bytes())
    publish(copy, raft_folder, written.index, written.term, b"")
    return written


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[Manifest, Path]]:
    """The manifest, and the snapshot as a file of its own for as long as the context lasts."""
    try:
        with path.open("rb") as file, tempfile.TemporaryDirectory(prefix="timonier-backup-") as scratch:
            manifest = _read_manifest(file, path)
            snapshot = Path(scratch) / "snapshot"
            with snapshot.open("wb") as copy:
                while piece := file.read(PIECE_BYTES):
                    copy.write(piece)
            yield manifest, snapshot
    except OSError as error:
        raise BackupProblem(f"{path}: {error.strerror or error}") from error


def _read_manifest(file: BinaryIO, path: Path) -> Manifest:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise BackupProblem(f"{path} is no backup made by `tim backup save`")
    length = int.from_bytes(file.read(4), "big")
    if length > _MANIFEST_LIMIT_BYTES:
        raise BackupProblem(f"{path} is damaged: its manifest cannot be so long; use another backup")
    digest, encoded = file.read(_DIGEST_BYTES), file.read(length)
    if hashlib.sha256(encoded).digest() != digest:
        raise BackupProblem(f"{path} is damaged: the sum of its manifest is wrong; use another backup")
    try:
        return msgspec.json.decode(encoded, type=Manifest)
    except msgspec.DecodeError as error:
        raise BackupProblem(f"{path} is damaged: its manifest does not decode ({error}); use another backup") from error


def _check_body(path: Path, stored: Stored, keys: Mapping[str, bytes]) -> None:
    """Without its key a sealed body counts as good."""
    key = keys.get(sealed_with(stored.body))
    if key is None and sealed_with(stored.body):
        return
    try:
        msgspec.json.decode(open_sealed(key, stored.envelope, stored.body) if key else stored.body)
    except (msgspec.DecodeError, NotSealedFor) as error:
        raise BackupProblem(f"{path}: {stored.envelope.key} does not decode ({error}); use another backup") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
