"""What the benchmark of the API compares must be the same on all sides, and what it prints must be what it measured."""

import json

import pytest

from bench.api_calls import VALUE_BYTES, config_map
from bench.api_figures import REFERENCE, SIDES, VERBS, tell
from bench.load import ComeAgain, Measured, Side
from bench.report import Figure, Report

SIZES = (1, 16, 64, 256)


@pytest.mark.parametrize("number", [0, 1_999, 60 << 20])
@pytest.mark.parametrize("uid", ["", "5777f29f-e61e-490b-a789-e83b0538a321"])
def test_every_object_has_the_same_size_with_and_without_a_uid(number, uid):
    body = config_map("bench-standing", number, number, uid)
    assert len(body) == VALUE_BYTES
    assert json.loads(body)["metadata"].get("uid", "") == uid


def test_the_same_object_updated_under_another_number_has_another_value():
    first, second = (json.loads(config_map("bench-standing", 7, stamp)) for stamp in (7, 2_007))
    assert first["metadata"] == second["metadata"]
    assert first["data"] != second["data"]


async def test_who_is_told_to_come_again_does_and_is_counted():
    asked = []

    async def call(number, _channel):
        asked.append(number)
        if len(asked) == 1:
            raise ComeAgain(0)

    found = await Side("busy", [None] * 4, {}).load(1, 60.0, call, range(3))
    assert asked == [0, 0, 1, 2]
    assert (found.calls, found.refused) == (3, 1)


async def test_clients_stop_when_the_numbers_are_used_up_and_no_two_get_the_same():
    asked = []

    async def call(number, _channel):
        asked.append(number)

    found = await Side("quick", [None] * 4, {}).load(16, 60.0, call, range(100))
    assert sorted(asked) == list(range(100))
    assert found.calls == 100


def measured(per_second):
    return Measured(1, per_second, 1 / per_second, 2 / per_second, 1e-4, 0, {"leader API": 3e-4, "leader Raft": 1e-4})


def test_the_figures_with_aims_are_those_of_https_with_the_spread_of_their_rounds(capsys):
    speeds = {"https": (1_000, 3_000, 2_000), "grpc": (700, 700, 700), "etcd": (5_000, 5_000, 5_000)}
    rows = {
        (verb, clients, side): [measured(each) for each in speeds[side]]
        for verb in VERBS
        for clients in SIZES
        for side in SIDES
    }
    report = Report("api")
    tell(report, rows, SIZES)
    figures = {each.name: each for each in report.figures}
    for verb, by_clients in REFERENCE.items():
        for clients, aim in by_clients.items():
            figure = figures[f"{verb}s a second over HTTPS, {clients} clients"]
            assert (figure.value, figure.peer, figure.beside, figure.aim) == (2_000, 5_000, {"gRPC": 700}, aim)
            assert figure.spread == (1_000, 3_000)
    one_etcd = figures["creates a second over HTTPS, 64, as one etcd"]
    assert (one_etcd.aim, one_etcd.missed) == (2_144, True)
    assert "2,000 /s        (1,000 to 3,000) gRPC: 700 etcd: 5,000 0.40 x  aim 433: met" in capsys.readouterr().out


def test_one_round_has_no_spread_to_print():
    assert "to" not in Figure("a", 5.0, "ms", spread=(5.0, 5.0)).line()
