"""`python -m tests.clients`: writes docs/clients.md; with a lab, first checks that everything in it is so.

`--lab NAME` runs all commands on a lab that is up, with every kubectl there is, or that of `--kubectl PATH`; `--only FILE`
those of one file. `--record` writes what comes into the expectations, to be read before it is kept.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from lab import cluster as labs
from tests.clients import session, table
from tests.clients.transcript import Transcript, render


def main() -> int:
    """Do what the options say; 1 when something is not as expected."""
    options = argparse.ArgumentParser(prog="python -m tests.clients")
    options.add_argument("--lab")
    options.add_argument("--kubectl", type=Path)
    options.add_argument("--only")
    options.add_argument("--record", action="store_true")
    given = options.parse_args()
    wrong = 0
    if given.lab:
        clients = [session.client_at(given.kubectl)] if given.kubectl else session.installed()
        for client in clients:
            for transcript in session.transcripts():
                if given.only in {None, transcript.name}:
                    wrong += run(client, labs.load(given.lab).admin_conf, transcript, record=given.record)
    table.PAGE.write_text(table.page(), encoding="utf-8")
    return 1 if wrong else 0


def say(line: str) -> None:
    """Tell people."""
    sys.stdout.write(line + "\n")


def run(client: session.Client, kubeconfig: Path, transcript: Transcript, *, record: bool) -> int:
    """Run a transcript in a namespace of its own; returns how many entries differ."""
    folder = Path(tempfile.mkdtemp(prefix="timonier-clients-"))
    namespace = f"t-{transcript.name}-{time.time_ns() % 10**6}"
    base = [client.path, "--kubeconfig", kubeconfig]
    subprocess.run([*base, "create", "namespace", namespace, "-o", "name"], check=True, stdout=subprocess.DEVNULL)
    try:
        (folder / "cache").mkdir()
        shell = session.Session(client, kubeconfig, namespace, folder, folder / "cache")
        begun = time.monotonic()
        if record:
            entries = [
                found
                for each in transcript.entries
                for found in (shell.recorded(each) if each.fits(client.version) else [each])
            ]
            path = session.HERE / "kubectl" / f"{transcript.name}.txt"
            path.write_text(render(replace(transcript, entries=tuple(entries))), encoding="utf-8")
            told = []
        else:
            told = list(shell.differences(transcript))
        say(f"{client.name} {transcript.name}: {len(told)} differ, {time.monotonic() - begun:.1f} s")
        for each in told:
            say(each)
        return len(told)
    finally:
        subprocess.run([*base, "delete", "namespace", namespace, "--wait=false"], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
