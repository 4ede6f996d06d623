"""What `bench.api` prints: tables by verb, CPU by process, and figures held against Kubernetes' own.

It must not know how anything was measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from bench.api_calls import LISTED
from bench.load import Measured
from bench.report import Report

Rows = Mapping[tuple[str, int, str], Sequence[Measured]]
"""By verb, clients and side ("https", "grpc", "etcd"): what each round measured."""

VERBS = ("create", "update", "get", "list", "delete", "watch")
SIDES = ("https", "grpc", "etcd")

THREE_MEMBERS: Mapping[str, Mapping[int, float]] = {"create": {1: 433, 16: 940, 64: 1325}}
ONE_MEMBER: Mapping[str, Mapping[int, float]] = {
    "create": {1: 659, 16: 1877, 64: 2144},
    "update": {1: 610, 16: 1457, 64: 1773},
    "get": {1: 1134, 16: 3311, 64: 3931},
    "delete": {1: 493, 16: 1330, 64: 1458},
}
"""kube-apiserver 1.20 over HTTPS with an etcd of so many members: operations a second by clients, measured elsewhere on a quiet
machine of two cores like ours (medians).

Of updates, linearizable gets and deletes the source does not say how many members etcd had. It was one: an update is a read and a
write, and 610 or 1,457 a second are more than three members let through as creates.
"""
LEVEL_CLIENTS = 64  # where ours, with three members, is to be level with one
REFERENCE_ETCD: Mapping[int, float] = {1: 910, 16: 2917, 64: 5036, 256: 7114}  # puts at that machine's three members
REFERENCE_CREATE_US = 700.0  # CPU of its control plane, at 16 clients
REFERENCE_WATCH_MS = 1.9
REFERENCE_LIST_MS = 68.0  # 34 to 68, 2,000 objects


def tell(report: Report, rows: Rows, sizes: Sequence[int]) -> None:
    """Print everything: tables first, the figures that have an aim last."""
    for verb in VERBS:
        what = "creates/s, delay from call to event" if verb == "watch" else "calls/s, latency of a call"
        report.say(
            f"  {verb}: {what}, CPU of all members and of the load generator for a call, refused attempts, CPU given to others by the host"
        )
        table = [_row(f"{name}, {clients} clients", rows[verb, clients, name]) for clients in sizes for name in SIDES]
        report.table(("", "per s", "p50 ms", "p99 ms", "servers us", "client us", "refused", "stolen %"), table)
    _tell_processes(report, rows, sizes)
    _tell_reference(report, rows, sizes)


def _row(name: str, found: Sequence[Measured]) -> tuple[object, ...]:
    return (
        name,
        _median(found, _per_second),
        _median(found, _p50_ms),
        _median(found, lambda each: each.p99 * 1e3),
        _median(found, _servers_us),
        _median(found, lambda each: each.own_cpu * 1e6),
        sum(each.refused for each in found),
        _median(found, lambda each: each.stolen * 100),
    )


def _tell_processes(report: Report, rows: Rows, sizes: Sequence[int]) -> None:
    sides = ("https", "grpc")
    names = list(rows["create", sizes[0], sides[0]][0].cpu)
    table = [
        (f"{side}, {clients} clients", *(_median(rows["create", clients, side], _us_of(name)) for name in names))
        for clients in sizes
        for side in sides
    ]
    report.say("  CPU of a create, us in each process of ours")
    report.table(("", *names), table)


def _tell_reference(report: Report, rows: Rows, sizes: Sequence[int]) -> None:
    """Figures beside the reference: what has an aim, and what only stands beside it."""
    paces = {each: _median(rows["create", each, "etcd"], _per_second) / REFERENCE_ETCD[each] for each in sizes}
    for members, by_verb in (("three", THREE_MEMBERS), ("one", ONE_MEMBER)):
        for verb, by_clients in by_verb.items():
            for clients, reference in by_clients.items():
                name = f"{verb}s a second over HTTPS, {clients}, etcd of {members}"
                to_reach = members == "three" or clients == LEVEL_CLIENTS
                beside = {} if to_reach else {"Kubernetes": reference}
                beside["at this pace"] = reference * paces[clients]
                aim = reference if to_reach else None
                _held(report, rows, (verb, clients), name, _per_second, "/s", aim, least=True, beside=beside)
    cpu_name, watch_name = "CPU of a create, all, HTTPS, 16 clients", "watch over HTTPS, call to event, p50"
    slower = {"at this pace": REFERENCE_CREATE_US / paces[16]}
    _held(report, rows, ("create", 16), cpu_name, _servers_us, "us", REFERENCE_CREATE_US, beside=slower)
    _held(report, rows, ("list", 1), f"list of {LISTED} over HTTPS, p50", _p50_ms, "ms", REFERENCE_LIST_MS)
    slower = {"at this pace": REFERENCE_WATCH_MS / paces[1]}
    _held(report, rows, ("watch", 1), watch_name, _p50_ms, "ms", REFERENCE_WATCH_MS, beside=slower)
    report.say(
        "  aims: kube-apiserver 1.20 over HTTPS, measured elsewhere on a quiet machine like this: past it with an etcd of three "
        f"members, and,\n  with {LEVEL_CLIENTS} clients, level with it on an etcd of one. That machine's three etcd members alone put "
        f"{_listed(REFERENCE_ETCD)}\n  a second with {' / '.join(map(str, sizes))} clients, this one's "
        + _listed({each: _median(rows["create", each, "etcd"], _per_second) for each in sizes})
        + ";\n  'at this pace' is the reference times what etcd did here of what it did there; a time divided by that"
    )


def _held(
    report: Report,
    rows: Rows,
    of: tuple[str, int],
    name: str,
    value: Callable[[Measured], float],
    unit: str,
    aim: float | None,
    *,
    least: bool = False,
    beside: Mapping[str, float] | None = None,
) -> None:
    """A figure of HTTPS with its aim, the rounds' lowest and highest, gRPC's and etcd's."""
    https, grpc, etcd = (rows[*of, side] for side in SIDES)
    each = [value(found) for found in https]
    report.figure(
        name,
        statistics.median(each),
        unit,
        peer=_median(etcd, value),
        peer_name="etcd",
        aim=aim,
        least=least,
        spread=(min(each), max(each)),
        beside={"gRPC": _median(grpc, value), **(beside or {})},
    )


def _per_second(found: Measured) -> float:
    return found.per_second


def _p50_ms(found: Measured) -> float:
    return found.p50 * 1e3


def _servers_us(found: Measured) -> float:
    return found.servers_cpu * 1e6


def _us_of(name: str) -> Callable[[Measured], float]:
    return lambda each: each.cpu[name] * 1e6


def _median(rounds: Sequence[Measured], value: Callable[[Measured], float]) -> float:
    return statistics.median(map(value, rounds))


def _listed(by_clients: Mapping[int, float]) -> str:
    return " / ".join(f"{value:,.0f}" for value in by_clients.values())
