"""All benchmarks, one part after the other, each in a process of its own: `make bench`.

    python -m bench.run [--only NAME...] [--quick] [--json FILE]

A part that fails is named and the others go on. Ctrl-C ends the part that runs, which cleans up after itself.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.report import interrupted

PARTS = (
    "lab_up",
    "pod_start",
    "deployment",
    "failover",
    "api",
    "fairness",
    "scale",
    "atomic",
    "memory",
    "cli_start",
    "raft_log",
    "api_overhead",
    "authorize",
    "quota",
    "store_apply",
    "history",
    "scheduler_place",
    "vip_sync",
    "pod_start_floor",
    "exec_start",
)
PART_SECONDS = 480.0
LONGER_SECONDS = {"scale": 2_400.0, "api": 1_200.0, "failover": 900.0, "memory": 900.0}
"""Parts that take minutes on a quiet machine; on a busy one everything takes three times as long."""
STOP_SECONDS = 30.0
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    there = [part for part in PARTS if (ROOT / "bench" / f"{part}.py").exists()]
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=there, default=there, metavar="NAME", help=", ".join(there))
    parser.add_argument("--quick", action="store_true", help="fewer rounds: for a look, not for figures")
    parser.add_argument("--json", metavar="FILE", help="write all figures and settings there")
    options = parser.parse_args()
    began, results, failed = time.monotonic(), [], []
    with tempfile.TemporaryDirectory(prefix="timonier-bench-") as folder:
        for part in options.only:
            result = Path(folder, f"{part}.json")
            if not _run(part, result, quick=options.quick):
                failed.append(part)
            elif result.exists():
                results.append(json.loads(result.read_bytes()))
    _summary(results, failed, time.monotonic() - began)
    if options.json:
        Path(options.json).write_text(
            json.dumps({"quick": options.quick, "parts": results}, indent=1), encoding="utf-8"
        )
    sys.exit(1 if failed else 0)


def _run(part: str, result: Path, *, quick: bool) -> bool:
    command = [sys.executable, "-m", f"bench.{part}", "--json", str(result), *(["--quick"] if quick else [])]
    seconds = LONGER_SECONDS.get(part, PART_SECONDS)
    # In a session of its own, so that a Ctrl-C reaches it once, from here.
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        print(f"bench: {part} did not end within {seconds:g} s", flush=True)
        return False
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _summary(results: list[dict], failed: list[str], seconds: float) -> None:
    held = [(part["part"], each) for part in results for each in part["figures"] if each["aim"] is not None]
    print(f"== {len(results)} parts in {seconds:.0f} s")
    for part, each in held:
        verdict = "MISSED" if each["missed"] else "met"
        low, high = each["spread"] or (each["value"], each["value"])
        print(
            f"  {verdict:<6}  {each['name']:<46} {each['value']:>8,.4g} {each['unit']:<7} aim {each['aim']:g}  ({part}"
            + (f"; {low:,.4g} to {high:,.4g})" if low < high else ")")
        )
    if failed:
        print(f"  FAILED: {', '.join(failed)}")


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, interrupted)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
