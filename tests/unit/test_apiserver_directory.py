import asyncio
import random

from component.env import Env
from controlplane.apiserver.directory import SessionDirectory


class Clock:
    def __init__(self):
        self.now = 100.0

    def env(self):
        return Env(lambda: self.now, lambda: self.now, random.Random(1), lambda: "uid")


def test_a_session_held_here_is_found_and_ages():
    clock = Clock()
    directory = SessionDirectory("r1", clock.env())
    directory.opened("n1", 5)
    clock.now += 2
    assert directory.find("n1").replica == "r1"
    assert directory.ages() == {"n1": 2.0}
    directory.heard("n1", 5)
    assert directory.ages() == {"n1": 0.0}


def test_the_newer_session_wins_wherever_it_is():
    directory = SessionDirectory("r1", Clock().env())
    directory.opened("n1", 5)
    directory.learn("r2", [("n1", 6, 0.5)])
    assert directory.find("n1").replica == "r2"
    directory.learn("r2", [])
    assert directory.find("n1").replica == "r1"


def test_the_end_of_an_old_session_does_not_end_the_new_one():
    directory = SessionDirectory("r1", Clock().env())
    directory.opened("n1", 5)
    directory.opened("n1", 6)
    directory.closed("n1", 5)
    assert directory.find("n1").epoch == 6
    directory.closed("n1", 6)
    assert directory.find("n1") is None


def test_a_node_is_as_young_as_its_latest_sign_of_life_anywhere():
    clock = Clock()
    directory = SessionDirectory("r1", clock.env())
    directory.opened("n1", 5)
    clock.now += 10
    directory.learn("r2", [("n1", 4, 3.0)])
    assert directory.ages() == {"n1": 3.0}
    assert directory.report() == [("n1", 5, 10.0)]


async def test_whoever_looks_for_a_node_that_has_just_come_hears_of_it():
    directory = SessionDirectory("r1", Clock().env())
    looking = asyncio.ensure_future(directory.found("n1", 60.0))
    await asyncio.sleep(0)
    directory.learn("r2", [("n2", 1, 0.0)])
    await asyncio.sleep(0)
    assert not looking.done()
    directory.learn("r2", [("n1", 1, 0.0)])
    assert (await looking).replica == "r2"
    assert await directory.found("n3", 0.01) is None


async def test_what_begins_or_ends_here_is_news_for_the_others():
    directory = SessionDirectory("r1", Clock().env())
    before = directory.changed
    directory.learn("r2", [("n2", 1, 0.0)])
    assert not before.is_set()
    directory.opened("n1", 1)
    assert before.is_set()
    before = directory.changed
    directory.closed("n1", 1)
    assert before.is_set()
    assert not directory.changed.is_set()
