"""Tokens on a node: when they are asked for, kept and renewed."""

from __future__ import annotations

import json

import msgspec
import pytest
import structlog

from agent.paths import Paths
from agent.session_calls import NotAnswered
from agent.tokens import OLDEST_SECONDS, SPREAD_SECONDS, Tokens, Wanted, held_of
from agent.volumes import VolumeFailure
from api.core import Pod
from component import jwt
from tests.agent_rig import pod_tree
from tests.fake_env import FakeClock, fake_env

PLACE = ("access", "token")


def token(now, seconds=3600, number=0):
    payload = {"iat": int(now), "exp": int(now) + seconds, "number": number}
    return f"{jwt.signed_part({'alg': 'ES256'}, json.dumps(payload).encode())}.c2lnbmF0dXJl"


class Desk:
    """Answers with numbered tokens, unless it is away."""

    def __init__(self, clock):
        self.clock = clock
        self.asked = []
        self.away = False

    async def __call__(self, wanted):
        if self.away:
            raise NotAnswered("there is no session with the control plane")
        self.asked.append(wanted)
        return token(self.clock(), wanted.seconds, len(self.asked))


class Worker:
    """Counts how often it is told."""

    def __init__(self, pod):
        self.pod = pod
        self.told = 0

    def configuration_changed(self):
        self.told += 1


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def desk(clock):
    return Desk(clock)


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path / "data", tmp_path / "run")


@pytest.fixture
def tokens(desk, paths, clock):
    return Tokens(desk, paths, fake_env(clock))


def pod(*parts, account="robot"):
    sources = [{"serviceAccountToken": part} for part in parts or ({"path": "token", "expirationSeconds": 3600},)]
    volumes = [{"name": "access", "projected": {"sources": sources}}, {"name": "scratch", "emptyDir": {}}]
    return msgspec.convert(pod_tree("web", volumes=volumes, serviceAccountName=account), Pod)


async def test_a_token_is_asked_for_once_and_for_the_pod_alone(tokens, desk):
    of = pod({"path": "token", "expirationSeconds": 600, "audience": "vault"})
    first = await tokens.of_pod(of)
    assert first.keys() == {PLACE}
    assert await tokens.of_pod(of) == first
    assert desk.asked == [Wanted("default", "robot", "web", "uid-web", "vault", 600)]


async def test_a_pod_without_such_volumes_asks_for_nothing(tokens, desk):
    assert await tokens.of_pod(msgspec.convert(pod_tree("web"), Pod)) == {}
    assert desk.asked == []


async def test_every_file_has_a_token_of_its_own(tokens, desk):
    found = await tokens.of_pod(pod({"path": "a"}, {"path": "b", "audience": "vault"}))
    assert found["access", "a"] != found["access", "b"]
    assert {(each.audience, each.seconds) for each in desk.asked} == {("", 3600), ("vault", 3600)}


@pytest.mark.parametrize(
    ("seconds", "used_seconds"), [(600, 480), (3600, 2880), (86_400, 69_120), (7 * 86_400, OLDEST_SECONDS)]
)
async def test_a_token_is_renewed_at_four_fifths_of_its_life_or_after_a_day(tokens, clock, seconds, used_seconds):
    of = pod({"path": "token", "expirationSeconds": seconds})
    first = await tokens.of_pod(of)
    clock.advance(used_seconds - SPREAD_SECONDS - 1)
    assert not tokens.due(of)
    assert await tokens.of_pod(of) == first
    clock.advance(SPREAD_SECONDS + 1)
    assert tokens.due(of)
    assert await tokens.of_pod(of) != first
    assert not tokens.due(of)


async def test_workers_are_told_when_a_token_of_their_pod_is_due(tokens, clock):
    due, bare = Worker(pod()), Worker(msgspec.convert(pod_tree("web"), Pod))
    gone = Worker(None)
    await tokens.of_pod(due.pod)
    tokens.renew([due, bare, gone])
    assert due.told == 0
    clock.advance(3000)
    tokens.renew([due, bare, gone])
    assert (due.told, bare.told, gone.told) == (1, 0, 0)


async def test_what_is_missing_and_cannot_be_had_is_a_failure_that_names_the_volume(tokens, desk):
    desk.away = True
    with pytest.raises(VolumeFailure, match='volume "access" : failed to fetch token: there is no session'):
        await tokens.of_pod(pod())


async def test_an_old_token_serves_while_nobody_can_be_asked(tokens, desk, clock):
    of = pod()
    first = await tokens.of_pod(of)
    desk.away = True
    clock.advance(3000)
    with structlog.testing.capture_logs() as logs:
        assert await tokens.of_pod(of) == first
        assert await tokens.of_pod(of) == first
    assert [(entry["event"], entry["left_seconds"]) for entry in logs] == [("token_not_renewed", 600)]
    assert first[PLACE] not in str(logs)
    assert tokens.due(of), "it is tried again"
    desk.away = False
    assert await tokens.of_pod(of) != first


async def test_a_restarted_agent_finds_the_token_in_the_volume(desk, paths, clock):
    kept = token(clock())
    folder = paths.memory_volume("uid-web", "access")
    folder.mkdir(parents=True)
    (folder / "token").write_text(kept)
    restarted = Tokens(desk, paths, fake_env(clock))
    assert await restarted.of_pod(pod()) == {PLACE: kept}
    assert desk.asked == []
    clock.advance(3000)
    assert restarted.due(pod())
    assert await restarted.of_pod(pod()) != {PLACE: kept}


@pytest.mark.parametrize("content", ["", "no token", "\xe9", "a.b.c"])
async def test_what_is_no_token_in_the_volume_is_replaced(desk, paths, clock, content):
    folder = paths.memory_volume("uid-web", "access")
    folder.mkdir(parents=True)
    (folder / "token").write_text(content, encoding="latin-1")
    assert await Tokens(desk, paths, fake_env(clock)).of_pod(pod()) == {PLACE: token(clock(), number=1)}


async def test_what_belonged_to_a_pod_is_forgotten_with_it(tokens, desk):
    await tokens.of_pod(pod())
    tokens.forget("uid-web")
    await tokens.of_pod(pod())
    assert len(desk.asked) == 2


@pytest.mark.parametrize("text", ["", "e30.e30.e30", "e30.W10.e30"])
def test_a_token_that_does_not_say_its_times_is_refused(text):
    with pytest.raises(jwt.Malformed):
        held_of(text, 0.0)


def test_a_token_is_not_shown_where_it_is_held():
    assert "c2lnbmF0dXJl" not in repr(held_of(token(0), 0.0))
