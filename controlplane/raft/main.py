"""The Raft process: builds log, transport, node and link, runs them in one thread, and ends cleanly or at once.

Ends at once, with one line, when the disk or the history cannot be trusted any more: a replica that is gone can be
replaced, one that forgets what it promised cannot.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec
import structlog

from component.env import Env, system_env
from component.log import configure
from controlplane.raft.append_rules import ConflictBelowCommit
from controlplane.raft.config import NodeSettings, RaftConfig, first_membership, resolve
from controlplane.raft.door import Superseded
from controlplane.raft.log import LogFailure, SafetyViolation
from controlplane.raft.node import RaftNode
from controlplane.raft.poller import Poller
from controlplane.raft.recovery import Storage, open_storage
from controlplane.raft.serve import LinkServer
from controlplane.raft.sync_times import SyncTimes
from controlplane.raft.tls import TlsContexts, TlsFiles
from controlplane.raft.transport import TlsTransport

log = structlog.get_logger()

EXIT_FAILED = 70
_TURN_SECONDS = 0.05
_DIAL_RETRY_SECONDS = 0.1
_PEER_TIMEOUT_SECONDS = 5.0
_API_SILENCE_SECONDS = 0.75


class RaftProcess:
    """Everything one Raft process consists of; `run` returns after `stop`, when leadership has moved."""

    def __init__(self, config: RaftConfig, storage: Storage, listener: socket.socket, env: Env) -> None:
        self._storage = storage
        self._stopping = False
        self._env = env
        self._sync_times = SyncTimes()
        self._poller = Poller()
        first = first_membership(config)
        tls = TlsContexts(TlsFiles(Path(config.cert), Path(config.key), Path(config.ca))) if config.cert else None
        self._transport = TlsTransport(
            config.replica_id,
            config.cluster_uid,
            first,
            listener,
            tls,
            self._poller,
            env,
            retry_seconds=_DIAL_RETRY_SECONDS * config.time_factor,
            timeout_seconds=_PEER_TIMEOUT_SECONDS * config.time_factor,
        )
        settings = NodeSettings(
            config.replica_id,
            first,
            config.election_min_seconds * config.time_factor,
            config.election_max_seconds * config.time_factor,
            api_silence_seconds=_API_SILENCE_SECONDS * config.time_factor,
        )
        self._node = RaftNode(settings, storage.log, storage.snapshots, self._transport, self._poller, env)
        self._link = LinkServer(
            Path(config.socket_path),
            config.replica_id,
            self._node,
            storage.log,
            storage.snapshots,
            self._poller,
            self._sync_times.percentiles,
        )
        self._poller.before_sleep = self._before_sleep
        self._leader = ""

    def stop(self) -> None:
        """Hand leadership over, then let `run` return; safe in a signal handler."""
        self._stopping = True
        self._poller.wake()

    def run(self) -> None:
        """Take part until `stop`."""
        while True:
            if self._stopping:
                self._node.hand_over("shutting down")
                if not self._node.leads():
                    return
            self._transport.tick()
            self._node.step(_TURN_SECONDS)

    def close(self) -> None:
        """Leave no socket, file or lock behind."""
        self._storage.log.sync()
        self._transport.flush()
        self._link.close()
        self._transport.close()
        self._node.close()
        self._poller.close()
        self._storage.close()

    def _before_sleep(self) -> None:
        """One sync per turn. Appends may leave before it, so that leader and followers sync at the same time."""
        self._transport.flush(appends_only=True)
        begun = self._env.monotonic()
        if self._storage.log.sync():
            self._sync_times.record(self._env.monotonic() - begun)
        self._transport.flush()
        self._link.pump()
        _, term, leader, _ = self._node.standing()
        if leader != self._leader:
            self._leader = leader
            log.info("leader_changed", leader=leader, term=term)


def run(config: RaftConfig, env: Env | None = None) -> int:
    """Run the Raft process until SIGTERM or SIGINT; returns the exit code."""
    env = env or system_env()
    try:
        storage = open_storage(Path(config.data_dir))
        if storage.log.torn_bytes_dropped:
            log.warning("torn_write_dropped", last_index=storage.log.last_index)
        process = RaftProcess(config, storage, _listen(config.listen), env)
    except (LogFailure, OSError, ValueError) as error:
        log.critical("raft_not_started", reason=str(error))
        return EXIT_FAILED
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: process.stop())
    log.info("raft_started", listen=config.listen, last_index=storage.log.last_index, term=storage.log.term)
    try:
        process.run()
        process.close()
    except (LogFailure, SafetyViolation, ConflictBelowCommit, Superseded) as error:
        # No clean-up: nothing more may be written, sent or promised.
        log.critical("raft_failed", reason=str(error))
        sys.stderr.flush()
        os._exit(EXIT_FAILED)
    log.info("raft_stopped")
    return 0


def _listen(address: str) -> socket.socket:
    host, port = resolve(address)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise LogFailure(f"cannot listen on {address}: {error.strerror or error}") from error
    return listener


def main() -> int:
    """`python -m controlplane.raft.main --config FILE`."""
    parser = argparse.ArgumentParser(description="The Raft process of one Timonier replica.")
    parser.add_argument("--config", type=Path, required=True, help="JSON file with the fields of RaftConfig")
    path: Path = parser.parse_args().config
    try:
        config = msgspec.json.decode(path.read_bytes(), type=RaftConfig)
    except (OSError, msgspec.DecodeError) as error:
        sys.stderr.write(f"cannot read {path}: {error}\n")
        return EXIT_FAILED
    configure("raft")
    structlog.contextvars.bind_contextvars(replica=config.replica_id)
    return run(config)


if __name__ == "__main__":
    sys.exit(main())
