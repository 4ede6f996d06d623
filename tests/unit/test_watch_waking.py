"""Waking many watchers of one event: in portions, so that they do not hold everybody else up."""

from __future__ import annotations

import asyncio

from controlplane.commands import ADDED, Change, Envelope, Key
from controlplane.watch import hub as hub_module
from controlplane.watch.hub import Hub
from tests.waiting import DEADLINE_SECONDS

POD = Change(1, ADDED, Envelope(Key("pods", "d", "a"), "u"), b"{}")


async def test_thousands_of_watchers_are_woken_in_portions_and_others_run_in_between():
    hub = Hub()
    woken = 0

    async def watcher():
        nonlocal woken
        await hub.cursor("pods", 0).wait()
        woken += 1

    watchers = [asyncio.ensure_future(watcher()) for _ in range(3 * hub_module.WOKEN_AT_ONCE + 1)]
    await asyncio.sleep(0)
    hub.append([POD])
    seen_between = []
    while woken < len(watchers):
        await asyncio.sleep(0)
        seen_between.append(woken)
        assert len(seen_between) < 100
    steps = [after - before for before, after in zip([0, *seen_between], seen_between, strict=False)]
    assert max(steps) <= hub_module.WOKEN_AT_ONCE
    await asyncio.gather(*watchers)


async def test_a_watcher_that_goes_before_its_turn_to_be_woken_keeps_nobody_waiting():
    hub = Hub()
    watchers = [asyncio.ensure_future(hub.cursor("pods", 0).wait()) for _ in range(2 * hub_module.WOKEN_AT_ONCE)]
    await asyncio.sleep(0)
    hub.append([POD])
    for each in watchers[hub_module.WOKEN_AT_ONCE :: 2]:
        each.cancel()
    async with asyncio.timeout(DEADLINE_SECONDS):
        ended = await asyncio.gather(*watchers, return_exceptions=True)
    assert sum(isinstance(each, asyncio.CancelledError) for each in ended) == hub_module.WOKEN_AT_ONCE // 2
