"""What the node's network costs: VIPs in the kernel, pods attached, connections through a VIP.

Run as root: python bench/vip_sync.py [--services 10000] [--pods 60] [--seconds 4]. Works in namespaces of its own.
Every number stands beside its peer or floor from the same run: our maps beside one chain per endpoint (the text
kube-proxy's iptables mode amounts to), a connection through a VIP beside one to the pod itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import structlog

from netplugin import ruleset
from netplugin.kernel import namespace
from netplugin.kernel.nft import Nft
from netplugin.protocol import Endpoint, NetworkConfig, NetworkInputs, ServicePort
from netplugin.vips import VipTable
from tests.netns_fixture import Asking, Net, fabric, service

ENDPOINTS = 3
CONFIG = NetworkConfig("bench", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "cluster.local", "", "")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--chains", type=int, default=2_000, help="services of the chain-per-endpoint text")
    parser.add_argument("--pods", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    print(
        f"python {sys.version.split()[0]}, kernel {os.uname().release}, {os.cpu_count()} cores, load {os.getloadavg()}"
    )
    with fabric() as made, tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Net(made, Path(folder), (0,)), options))


async def measure(net: Net, options: argparse.Namespace) -> None:
    await net.start()
    try:
        scratch = net.fabric.pod().path
        await asyncio.to_thread(namespace.run_inside, scratch, lambda: map_texts(options))
        await asyncio.to_thread(namespace.run_inside, scratch, lambda: chain_texts(options))
        await syncs(net, options.services)
        await attaches(net, options.pods)
        await connections(net, options.seconds)
    finally:
        await net.close()
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def address(number: int, base: str = "10.96") -> str:
    return f"{base}.{number // 250}.{number % 250 + 1}"


def many(count: int) -> list[ServicePort]:
    return [
        ServicePort(
            "default",
            f"s{number}",
            "",
            address(number),
            "tcp",
            80,
            tuple(
                Endpoint(
                    f"10.244.{1 + (number * 3 + each) // 250 % 250}.{(number * 3 + each) % 250 + 2}",
                    8080,
                    True,
                    True,
                    False,
                )
                for each in range(ENDPOINTS)
            ),
        )
        for number in range(count)
    ]


def chain_texts(options: argparse.Namespace) -> None:
    """The peer: one chain per endpoint, at the count asked for and at half of it, to show how it grows."""
    nft = Nft()
    for count in (options.chains // 2, options.chains):
        nft.run(
            "table ip chains {\n  map services { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
            "  chain prerouting {\n    type nat hook prerouting priority dstnat\n"
            "    ip daddr . meta l4proto . th dport vmap @services\n  }\n}\n"
        )
        full = timed(nft.run, "".join(chains(count)))
        steps = [timed(nft.run, "".join(chain(count + number))) for number in range(5)]
        print(
            f"chain per endpoint, {count} services x {ENDPOINTS}: full {full * 1e3:.0f} ms,"
            f" add one {line(steps)} (transactions only)"
        )
        nft.run("delete table ip chains\n")
    nft.close()


def map_texts(options: argparse.Namespace) -> None:
    """Our transactions alone, without deciding what goes into them."""
    nft = Nft()
    table = VipTable("10.96.0.0/16")
    before = ruleset.build({}, own_range="", direct=())
    nft.run(ruleset.full_text(CONFIG, "tim-vxlan", before))
    services = many(options.services + 20)
    rules = ruleset.build(table.update(services[: options.services]), own_range="", direct=(), before=before)
    full = timed(nft.run, ruleset.change_text(before, rules))
    steps = []
    for number in range(20):
        vips = table.update(services[: options.services + number + 1])
        following = ruleset.build(vips, own_range="", direct=(), before=rules)
        steps.append(timed(nft.run, ruleset.change_text(rules, following)))
        rules = following
    print(
        f"maps, {options.services} services x {ENDPOINTS}: full {full * 1e3:.0f} ms, add one {line(steps)} (transactions only)"
    )
    nft.run(f"delete table ip {ruleset.TABLE}\n")
    nft.close()


def chains(count: int) -> Iterator[str]:
    for number in range(count):
        yield from chain(number)


def chain(number: int) -> Iterator[str]:
    for each in range(ENDPOINTS):
        yield f"add chain ip chains e-{number}-{each}\nadd rule ip chains e-{number}-{each} meta l4proto tcp dnat to 10.244.1.{each + 2}:8080\n"
    picks = ", ".join(f"{each} : goto e-{number}-{each}" for each in range(ENDPOINTS))
    yield f"add chain ip chains s-{number}\nadd rule ip chains s-{number} numgen random mod {ENDPOINTS} vmap {{ {picks} }}\n"
    yield f"add element ip chains services {{ {address(number)} . tcp . 80 : goto s-{number} }}\n"


async def syncs(net: Net, count: int) -> None:
    """Plugin.sync as the agent calls it: deciding, the transaction, and packing names."""
    services = tuple(many(count))
    plugin = net.plugins[0]

    async def sync(ports: tuple[ServicePort, ...]) -> float:
        net.revision += 1
        inputs = NetworkInputs(net.revision, net.nodes, ports, ())
        start = time.perf_counter()
        await plugin.sync(inputs)
        return time.perf_counter() - start

    full = await sync(services)
    extra = many(count + 20)[count:]
    add = [await sync((*services, *extra[: number + 1])) for number in range(len(extra))]
    same = [await sync((*services, *extra)) for _ in range(5)]
    print(
        f"Plugin.sync, {count} services x {ENDPOINTS}: full {full * 1e3:.0f} ms, add one {line(add)}, nothing new {line(same)}"
    )
    start = time.perf_counter()
    await plugin.close()
    net.plugins[0] = plugin = net.plugin(0)
    await plugin.start()
    adopt = time.perf_counter() - start
    print(
        f"restart: adopted in {adopt * 1e3:.0f} ms, first sync after it {await sync((*services, *extra)) * 1e3:.0f} ms"
    )
    await sync(())


async def attaches(net: Net, count: int) -> None:
    spaces = [net.fabric.pod() for _ in range(count)]
    attach, detach = [], []
    for number, space in enumerate(spaces):
        start = time.perf_counter()
        await net.plugins[0].attach(f"pod-{number}", "default", "bench", space.path)
        attach.append(time.perf_counter() - start)
    for number in range(count // 2):
        start = time.perf_counter()
        await net.plugins[0].detach(f"pod-{number}")
        detach.append(time.perf_counter() - start)
    start = time.perf_counter()
    await asyncio.gather(*(net.plugins[0].detach(f"pod-{number}") for number in range(count // 2, count)))
    together = time.perf_counter() - start
    print(
        f"attach {line(attach)}, detach {line(detach)}, one after the other;"
        f" {count - count // 2} detached together in {together * 1e3:.0f} ms"
    )


async def connections(net: Net, seconds: float) -> None:
    pods = [await net.pod(0, f"p{number}") for number in range(ENDPOINTS)]
    client = await net.pod(0, "client")
    await net.sync([service("10.96.0.10", pods)])
    for name, target, port in (("direct", pods[0].address, 8080), ("through the VIP", "10.96.0.10", 80)) * 2:
        with Asking(client, target, port) as asking:
            await asyncio.to_thread(asking.wait_for, 1)
            before, start = asking.count(), time.perf_counter()
            await asyncio.sleep(seconds)
            rate = (asking.count() - before) / (time.perf_counter() - start)
        failed = sum(times for answer, times in asking.answers.items() if "Error" in answer)
        print(f"new connections {name}: {rate:.0f}/s, {failed} failed (client, server and reader in Python)")


def timed(function: Callable[[str], object], text: str) -> float:
    start = time.perf_counter()
    function(text)
    return time.perf_counter() - start


def line(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"p50 {statistics.median(ordered) * 1e3:.2f} ms p95 {p95 * 1e3:.2f} ms"


if __name__ == "__main__":
    main()
