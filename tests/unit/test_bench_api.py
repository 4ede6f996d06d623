"""What the benchmark of the API compares must be the same on all sides, and what it prints must be what it measured."""

import json

import pytest

from bench.api_calls import VALUE_BYTES, config_map
from bench.api_figures import ONE_MEMBER, SIDES, THREE_MEMBERS, VERBS, tell
from bench.load import ComeAgain, Measured, Side, Unavailable
from bench.processes import CpuTime, cpu_time
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


async def test_all_clients_end_with_the_first_that_nobody_could_serve():
    asked = []

    async def call(number, _channel):
        asked.append(number)
        if number == 2:
            raise Unavailable("no leader")

    with pytest.raises(Unavailable, match="no leader"):
        await Side("headless", [None] * 4, {}).load(1, 60.0, call, range(100))
    assert asked == [0, 1, 2]


async def test_clients_stop_when_the_numbers_are_used_up_and_no_two_get_the_same():
    asked = []

    async def call(number, _channel):
        asked.append(number)

    found = await Side("quick", [None] * 4, {}).load(16, 60.0, call, range(100))
    assert sorted(asked) == list(range(100))
    assert found.calls == 100


@pytest.mark.parametrize(("later", "share"), [(CpuTime(300, 60), 0.25), (CpuTime(100, 10), 0.0)])
def test_what_the_host_gave_to_others_is_a_share_of_the_time_in_between(later, share):
    assert later.stolen_since(CpuTime(100, 10)) == share


def test_the_machine_says_how_long_its_cores_were_at_work():
    assert 0 <= cpu_time().stolen < cpu_time().total


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
    told = {
        members: {
            (verb, clients): figures[f"{verb}s a second over HTTPS, {clients}, etcd of {members}"]
            for verb, by_clients in by_verb.items()
            for clients in by_clients
        }
        for members, by_verb in (("three", THREE_MEMBERS), ("one", ONE_MEMBER))
    }
    for by_call in told.values():
        for figure in by_call.values():
            assert (figure.value, figure.peer, figure.spread) == (2_000, 5_000, (1_000, 3_000))
            assert figure.beside["gRPC"] == 700
    assert {key: each.aim for key, each in told["three"].items()} == {
        ("create", clients): aim for clients, aim in THREE_MEMBERS["create"].items()
    }
    aims = {key: each.aim for key, each in told["one"].items() if each.aim is not None}
    assert aims == {(verb, 64): by_clients[64] for verb, by_clients in ONE_MEMBER.items()}
    assert (told["one"]["create", 64].missed, told["one"]["update", 64].missed) == (True, False)
    assert told["one"]["update", 1].beside["Kubernetes"] == 610
    # etcd puts 5,000 a second here, 910 with one client and 5,036 with 64 there.
    assert told["three"]["create", 1].beside["at this pace"] == pytest.approx(433 * 5_000 / 910)
    assert told["one"]["create", 64].beside["at this pace"] == pytest.approx(2_144 * 5_000 / 5_036)
    cpu, watch = (
        figures[each] for each in ("CPU of a create, all, HTTPS, 16 clients", "watch over HTTPS, call to event, p50")
    )
    assert cpu.beside["at this pace"] == pytest.approx(700 * 2_917 / 5_000)
    assert watch.beside["at this pace"] == pytest.approx(1.9 * 910 / 5_000)
    line = next(each for each in capsys.readouterr().out.splitlines() if "16, etcd of three" in each)
    assert "2,000 /s        (1,000 to 3,000) gRPC: 700" in line
    assert line.endswith("aim 940: met")


def test_one_round_has_no_spread_to_print():
    assert "to" not in Figure("a", 5.0, "ms", spread=(5.0, 5.0)).line()
