"""How long a batch waits for company."""

import pytest

from controlplane.gathering import COMPANY, LOOK_SECONDS, MOST_EXPECTED, PATIENCE, PATIENCE_SECONDS, Gathering


def waited_seconds(gathering, arrivals):
    """How long a batch waits while so many transactions wait at each look."""
    waited = 0.0
    for waiting in arrivals:
        pause = gathering.pause_seconds(waiting)
        if not pause:
            return waited
        waited += pause
    raise AssertionError("it still waits")


def test_nobody_is_expected_at_first_nor_after_a_lone_writer():
    gathering = Gathering()
    assert gathering.pause_seconds(1) == 0
    gathering.after(COMPANY - 1, 0, 1.0)
    assert gathering.complete(1)
    assert gathering.pause_seconds(1) == 0


def test_a_batch_waits_for_as_many_as_were_there_before_and_meanwhile():
    gathering = Gathering()
    gathering.after(5, 4, 0.003)
    assert not gathering.complete(8)
    assert gathering.pause_seconds(4) == LOOK_SECONDS
    assert gathering.pause_seconds(8) == LOOK_SECONDS
    assert gathering.complete(9)
    assert gathering.pause_seconds(9) == 0


def test_it_does_not_wait_when_nobody_came_since_it_looked():
    gathering = Gathering()
    gathering.after(10, 0, 1.0)
    assert waited_seconds(gathering, [1, 3, 3]) == pytest.approx(2 * LOOK_SECONDS)


@pytest.mark.parametrize(("took_seconds", "longest"), [(0.003, PATIENCE * 0.003), (1.0, PATIENCE_SECONDS)])
def test_a_trickle_does_not_hold_it_for_long(took_seconds, longest):
    gathering = Gathering()
    gathering.after(MOST_EXPECTED, 0, took_seconds)
    waited = waited_seconds(gathering, range(1, MOST_EXPECTED))
    assert longest - LOOK_SECONDS < waited < longest + LOOK_SECONDS


def test_more_than_half_of_many_writers_are_not_waited_for():
    gathering = Gathering()
    gathering.after(100, 100, 1.0)
    assert gathering.complete(MOST_EXPECTED)


def test_what_was_waited_for_once_is_not_waited_for_again():
    gathering = Gathering()
    gathering.after(10, 10, 1.0)
    assert waited_seconds(gathering, [1, 1]) == pytest.approx(LOOK_SECONDS)
    assert gathering.pause_seconds(1) == 0
    assert gathering.complete(0)
