"""Long work in slices: one of all in each pass of the loop."""

import asyncio
import gc
import weakref

from component.slices import let_others_run


async def passes(worker_count, slice_count):
    """In which passes of the loop each of some workers did its slices."""
    loop = asyncio.get_running_loop()
    now = 0
    done = False

    def count():
        nonlocal now
        now += 1
        if not done:
            loop.call_soon(count)

    async def work():
        worked = []
        for _ in range(slice_count):
            await let_others_run()
            worked.append(now)
        return worked

    count()
    found = await asyncio.gather(*(work() for _ in range(worker_count)))
    done = True
    return found


async def test_no_two_slices_are_done_in_one_pass():
    found = await passes(4, 5)
    every = [each for worked in found for each in worked]
    assert len(set(every)) == len(every) == 20


async def test_all_get_on_alike():
    found = await passes(4, 5)
    for turn in zip(*found, strict=True):
        assert max(turn) - min(turn) == 3


async def test_who_is_alone_hardly_waits():
    [worked] = await passes(1, 10)
    assert worked[-1] - worked[0] <= 2 * 9


async def test_who_gives_up_holds_nobody_up():
    first, second, third = (asyncio.ensure_future(let_others_run()) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    async with asyncio.timeout(5):
        await first
        await third
    assert second.cancelled()


async def test_who_is_cancelled_in_its_own_turn_holds_nobody_up():
    first, second = (asyncio.ensure_future(let_others_run()) for _ in range(2))
    while not first.done():
        first.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await second


def test_every_loop_has_turns_of_its_own():
    for _ in range(2):
        assert asyncio.run(passes(2, 1))


def test_a_loop_that_was_given_up_amid_slices_goes_with_all_that_waited():
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(passes(2, 1000)) for _ in range(2)]
    loop.run_until_complete(asyncio.sleep(0.01))
    assert not any(task.done() for task in tasks)
    gone = [weakref.ref(each) for each in (loop, *tasks)]
    for task in tasks:
        task._log_destroy_pending = False
    loop.close()
    del loop, tasks, task
    gc.collect()
    assert [each() for each in gone] == [None] * 3
