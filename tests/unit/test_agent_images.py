"""Images are fetched only when the pull policy asks for it, and the beginning of a fetch is told."""

from __future__ import annotations

import pytest

from agent.images import Images
from agent.runtime.protocol import RuntimeFailure
from component.env import system_env
from tests.fake_runtime import FakeRuntime


@pytest.fixture
def runtime():
    made = FakeRuntime()
    made.add_image("example.com/here:1")
    made.add_image("example.com/there:1", remote=True)
    return made


async def ensured(runtime, reference, policy):
    told = []
    found = await Images(runtime, system_env()).ensure(reference, policy, lambda: told.append(reference))
    return found.took_seconds is not None, told


async def test_what_is_present_is_not_pulled_and_nothing_is_told(runtime):
    assert await ensured(runtime, "example.com/here:1", "IfNotPresent") == (False, [])
    assert await ensured(runtime, "example.com/here:1", "Never") == (False, [])


async def test_what_is_absent_is_told_before_it_is_pulled(runtime):
    assert await ensured(runtime, "example.com/there:1", "IfNotPresent") == (True, ["example.com/there:1"])


async def test_a_pull_that_fails_was_told_as_begun(runtime):
    told = []
    with pytest.raises(RuntimeFailure, match="not found in any registry"):
        await Images(runtime, system_env()).ensure("example.com/none:1", "Always", lambda: told.append("begun"))
    assert told == ["begun"]


async def test_never_fails_without_a_pull(runtime):
    told = []
    with pytest.raises(RuntimeFailure) as failed:
        await Images(runtime, system_env()).ensure("example.com/there:1", "Never", lambda: told.append("begun"))
    assert failed.value.reason == "ErrImageNeverPull"
    assert told == []
