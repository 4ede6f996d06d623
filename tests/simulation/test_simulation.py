"""New seeds of the simulation at every run, printed; how to repeat one is in docs/testing.md."""

import asyncio
import os
import secrets
import subprocess
import sys
import time

import pytest

from tests.simulation.faults import EFFECTS, KINDS
from tests.simulation.loop import Forbidden, Livelock, Simulator
from tests.simulation.run import Run, run

SECONDS = float(os.environ.get("SIM_SECONDS", "25"))


@pytest.mark.slow
def test_new_seeds_find_nothing(capsys):
    """As many as fit into a fixed time, so that a slow machine is not held up."""
    first = secrets.randbelow(10**9)
    end = time.monotonic() + SECONDS
    reports = []
    while not reports or time.monotonic() < end:
        reports.append(run(str(first + len(reports))))
        if reports[-1].violations:
            break
    report = reports[-1]
    thin = [each for each in reports if each.thin]
    with capsys.disabled():
        acknowledged = sum(each.acknowledged for each in reports)
        seeds = f"{first} to {first + len(reports) - 1}"
        sys.stdout.write(f"\nsimulated seeds {seeds}, {acknowledged} acknowledged writes, {len(thin)} thin\n")
    repeat = f"python -m tests.simulation --seed {report.seed}"
    assert not report.violations, f"{repeat}\n{report.line()}\n" + "\n".join(report.violations[:5])
    # One in which little happened by chance proves nothing; many mean that the simulation has gone blind.
    assert len(thin) <= max(2, len(reports) // 5), "\n".join(f"{each.line()}: {each.thin}" for each in thin)


@pytest.mark.slow
def test_every_fault_comes_and_hits_something():
    """In a few runs that are always the same, each with the kinds that did not come before."""
    kinds, effects = set(KINDS), set(EFFECTS)
    for seed in range(20):
        report = Run(f"effects {seed}", only=sorted(kinds)).execute()
        assert not report.violations, report.violations
        kinds -= set(report.faults)
        effects -= {effect for effect in effects if report.counts[effect]}
        if not kinds | effects:
            break
    assert not kinds | effects


@pytest.mark.slow
def test_a_seed_repeats_exactly_in_another_process_with_other_hashes():
    seed = str(secrets.randbelow(10**9))
    report = run(seed)
    program = f"from tests.simulation.run import Run, run; print(run({seed!r}).trace_hash)"
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    again = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert again == report.trace_hash, f"seed {seed} does not repeat"


def test_handles_run_by_time_and_then_in_their_order():
    simulator, seen = Simulator(1), []
    left, right = simulator.process("left"), simulator.process("right")
    right.call_later(0.2, seen.append, "later")
    left.call_later(0.1, seen.append, "first")
    right.call_later(0.1, seen.append, "second")
    left.call_soon(seen.append, "now")
    simulator.run_until(lambda: len(seen) == 4, 1.0)
    assert seen == ["now", "first", "second", "later"]
    assert simulator.now == 0.2


def test_a_killed_process_does_nothing_more_and_a_frozen_one_does_it_later():
    simulator, seen = Simulator(1), []

    async def work(name):
        try:
            await asyncio.sleep(1)
            seen.append(name)
        finally:
            seen.append(f"{name} ended")

    killed, frozen = simulator.process("killed"), simulator.process("frozen")
    killed.call_soon(lambda: killed.create_task(work("killed")))
    frozen.call_soon(lambda: frozen.create_task(work("frozen")))
    simulator.run_until(lambda: False, 0.5)
    killed.kill()
    frozen.freeze()
    simulator.run_until(lambda: False, 2.0)
    assert seen == []
    frozen.thaw()
    simulator.run_until(lambda: False, 0.1)
    assert seen == ["frozen", "frozen ended"]
    simulator.close()


def test_who_takes_turns_without_time_going_on_is_found():
    simulator = Simulator(1)
    process = simulator.process("restless")

    def turn():
        process.call_later(0.0, turn)

    process.call_soon(turn)
    with pytest.raises(Livelock, match="restless"):
        simulator.run_until(lambda: False, 1.0)
    simulator.close()


def test_what_cannot_be_repeated_raises():
    simulator = Simulator(1)

    async def wait():
        with pytest.raises(Forbidden):
            await asyncio.wait([asyncio.ensure_future(asyncio.sleep(0))])
        with pytest.raises(Forbidden):
            await asyncio.to_thread(print)
        with pytest.raises(NotImplementedError):
            await asyncio.get_running_loop().run_in_executor(None, print)

    simulator.run_task(wait(), 1.0)
    simulator.close()
