"""Running the commands of a transcript: one namespace, one kubectl, a home and a folder of files of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from tests.clients.transcript import LAST, Entry, Transcript, generalised, parse
from tests.waiting import DEADLINE_SECONDS, wait_until

HERE = Path(__file__).parent
FILES = HERE / "files"
CHECKOUT = HERE.parents[1]
UNPACKED = CHECKOUT / ".venv" / "debian" / "usr" / "bin"
"""Where deploy/setup.sh unpacks clients of Debian's that tests use."""
COMMAND_SECONDS = 150.0
TRIED = ((1, 20), (1, 32))
"""The versions whose output the expectations hold."""
UNKNOWN = "unknown (?:flag|command|shorthand)|unrecognized condition"
"""What an old client says of what came after it."""


@dataclass(frozen=True, slots=True)
class Client:
    """A kubectl that is installed."""

    path: Path
    version: tuple[int, ...]

    @property
    def name(self) -> str:
        return "kubectl-" + ".".join(map(str, self.version))


def installed() -> list[Client]:
    """Debian's kubectl and the one of this machine, as far as they are there and of a version that was tried."""
    paths = [UNPACKED / "kubectl", *(Path(path) for path in [shutil.which("kubectl")] if path)]
    clients = {client.version: client for path in reversed(paths) if path.exists() for client in [client_at(path)]}
    return [clients[version] for version in TRIED if version in clients]


def client_at(path: Path) -> Client:
    """The kubectl at a path, which says its version."""
    said = subprocess.run([path, "version", "--client", "-o", "json"], capture_output=True, check=True)
    version = json.loads(said.stdout)["clientVersion"]
    return Client(path.resolve(), (int(version["major"]), int(re.match(r"\d+", version["minor"])[0])))


def transcripts() -> list[Transcript]:
    """All of kubectl's that are checked in, in the order of their names."""
    return [parse(path.stem, path.read_text(encoding="utf-8")) for path in sorted((HERE / "kubectl").glob("*.txt"))]


class Session:
    """Runs commands for one client in one namespace; what they change of files and configuration stays in `folder`.

    `cache` is for what kubectl finds out about the API, which sessions of the same version may share.
    """

    def __init__(self, client: Client, kubeconfig: Path, namespace: str, folder: Path, cache: Path) -> None:
        self.namespace = namespace
        self.version = client.version
        self.folder = folder / "work"
        shutil.copytree(FILES, self.folder)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "kubectl").symlink_to(client.path)
        (folder / ".kube").mkdir()
        (folder / ".kube" / "cache").symlink_to(cache)
        tree = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        tree["contexts"][0]["context"]["namespace"] = namespace
        (folder / "kubeconfig").write_text(yaml.safe_dump(tree), encoding="utf-8")
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder),  # where `kubectl edit` leaves what it could not save
            "KUBECONFIG": str(folder / "kubeconfig"),
            "NS": namespace,
            "TZ": "UTC",
            "SERVER": tree["clusters"][0]["cluster"]["server"],
        }

    def outcome(self, command: str) -> tuple[str, str, int]:
        """What a command printed, printed as errors, and ended with."""
        done = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            check=False,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        return done.stdout, done.stderr, done.returncode

    def check(self, entry: Entry) -> str:
        """How a command differs from what is expected of it, "" if it does not."""
        named = replace(entry, out=self._named(entry.out), err=self._named(entry.err))
        if not entry.eventually:
            return named.difference(*self.outcome(entry.command))
        last = ""

        def came() -> bool:
            nonlocal last
            last = named.difference(*self.outcome(entry.command))
            return not last

        try:
            wait_until(came, DEADLINE_SECONDS)
        except AssertionError:
            return last
        return ""

    def _named(self, lines: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(line.replace("$NS", self.namespace) for line in lines)

    def recorded(self, entry: Entry) -> list[Entry]:
        """The entry, or entries, with what its command says now; the oldest client's becomes a variant of its own."""
        wanted = replace(entry, out=self._named(entry.out), err=self._named(entry.err))
        end_time = time.monotonic() + (5 if entry.eventually else 0)
        while wanted.difference(*(came := self.outcome(entry.command))):
            if time.monotonic() > end_time:
                out, err, code = came
                named = self.namespace
                found = replace(entry, out=generalised(out, named), err=generalised(err, named), code=code)
                if self.version != TRIED[0] or entry.until != LAST or not (entry.out or entry.err):
                    return [found]
                newer = replace(entry, since=(*TRIED[0][:-1], TRIED[0][-1] + 1))
                return [newer] if re.search(UNKNOWN, err) else [replace(found, until=TRIED[0]), newer]
        return [entry]

    def differences(self, transcript: Transcript) -> Iterator[str]:
        """Run all that is for this client; tell each that differs."""
        for entry in transcript.entries:
            if entry.fits(self.version) and (told := self.check(entry)):
                yield told
