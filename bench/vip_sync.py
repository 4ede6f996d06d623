"""What the node's network costs: VIPs in the kernel, pods attached, connections through a VIP.

Works in namespaces of its own. Every number stands beside its peer or floor from the same run: our maps beside one chain per endpoint (the text
kube-proxy's iptables mode amounts to), a connection through a VIP beside one to the pod itself.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.report import Report, percentile, run_part
from netplugin import ruleset
from netplugin.kernel import namespace
from netplugin.kernel.nft import Nft
from netplugin.protocol import Endpoint, NetworkConfig, NetworkInputs, ServicePort
from netplugin.vips import VipTable
from tests.netns_fixture import Asking, Net, fabric, service

ENDPOINTS = 3
SERVICES = 10_000
CHAINS = 2_000  # Services of the chain-per-endpoint text
PODS = 60
SECONDS = 4.0
CONFIG = NetworkConfig("bench", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "cluster.local", "", "")


def bench(report: Report, quick: bool) -> None:
    services, chains_of, pods, seconds = (1_000, 200, 10, 1.0) if quick else (SERVICES, CHAINS, PODS, SECONDS)
    report.setting(
        f"{services} Services of {ENDPOINTS} endpoints each, {pods} pods; kernel's nftables by libnftables in process"
    )
    with fabric() as made, tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(report, Net(made, Path(folder), (0,)), services, chains_of, pods, seconds))


async def measure(report: Report, net: Net, services: int, chains_of: int, pods: int, seconds: float) -> None:
    await net.start()
    try:
        scratch = net.fabric.pod().path
        await asyncio.to_thread(namespace.run_inside, scratch, lambda: map_texts(report, services))
        await asyncio.to_thread(namespace.run_inside, scratch, lambda: chain_texts(report, chains_of))
        await attaches(report, net, pods)
        await connections(report, net, seconds)
        await syncs(report, net, services)
    finally:
        await net.close()
    report.figure("peak memory of this process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")


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


def chain_texts(report: Report, chains_of: int) -> None:
    """The peer: one chain per endpoint, at the count asked for and at half of it, to show how it grows."""
    nft = Nft()
    for count in (chains_of // 2, chains_of):
        nft.run(
            "table ip chains {\n  map services { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
            "  chain prerouting {\n    type nat hook prerouting priority dstnat\n"
            "    ip daddr . meta l4proto . th dport vmap @services\n  }\n}\n"
        )
        full = timed(nft.run, "".join(chains(count)))
        steps = [timed(nft.run, "".join(chain(count + number))) for number in range(5)]
        report.figure(f"peer, a chain per endpoint, {count} Services at once", full * 1e3, "ms")
        show(report, f"peer, one Service more than {count}", steps)
        nft.run("delete table ip chains\n")
    nft.close()


def map_texts(report: Report, services_count: int) -> None:
    """Our transactions alone, without deciding what goes into them."""
    nft = Nft()
    table = VipTable("10.96.0.0/16")
    before = ruleset.build({}, own_range="", direct=())
    nft.run(ruleset.full_text(CONFIG, "tim-vxlan", before))
    services = many(services_count + 20)
    rules = ruleset.build(table.update(services[:services_count]), own_range="", direct=(), before=before)
    full = timed(nft.run, ruleset.change_text(before, rules))
    steps = []
    for number in range(20):
        vips = table.update(services[: services_count + number + 1])
        following = ruleset.build(vips, own_range="", direct=(), before=rules)
        steps.append(timed(nft.run, ruleset.change_text(rules, following)))
        rules = following
    report.figure(f"maps, {services_count} Services at once, transaction", full * 1e3, "ms")
    show(report, f"maps, one Service more than {services_count}, transaction", steps)
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


async def syncs(report: Report, net: Net, count: int) -> None:
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
    report.figure(f"Plugin.sync, {count} Services at once", full * 1e3, "ms")
    show(report, "Plugin.sync, one more", add)
    show(report, "Plugin.sync, nothing new", same)
    start = time.perf_counter()
    await plugin.close()
    net.plugins[0] = plugin = net.plugin(0)
    await plugin.start()
    adopt = time.perf_counter() - start
    report.figure("restart: all adopted", adopt * 1e3, "ms")
    report.figure("restart: first sync after it", await sync((*services, *extra)) * 1e3, "ms")


async def attaches(report: Report, net: Net, count: int) -> None:
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
    show(report, "pod attached", attach)
    show(report, "pod detached", detach)
    report.figure(f"{count - count // 2} pods detached together", together * 1e3, "ms")


async def connections(report: Report, net: Net, seconds: float) -> None:
    pods = [await net.pod(0, f"p{number}") for number in range(ENDPOINTS)]
    client = await net.pod(0, "client")
    await net.sync([service("10.96.0.10", pods)])
    rates: dict[str, list[float]] = {"direct": [], "vip": []}
    for name, target, port in (("direct", pods[0].address, 8080), ("vip", "10.96.0.10", 80)) * 2:
        with Asking(client, target, port) as asking:
            await asyncio.to_thread(asking.wait_for, 1)
            before, start = asking.count(), time.perf_counter()
            await asyncio.sleep(seconds)
            rates[name].append((asking.count() - before) / (time.perf_counter() - start))
        failed = sum(times for answer, times in asking.answers.items() if "Error" in answer)
        if failed:
            report.say(f"  {failed} connections failed ({name})")
    direct, vip = (statistics.mean(each) for each in rates.values())
    report.figure("new connections through a VIP (Python ends)", vip, "/s", peer=direct, peer_name="to the pod")


def timed(function: Callable[[str], object], text: str) -> float:
    start = time.perf_counter()
    function(text)
    return time.perf_counter() - start


def show(report: Report, name: str, seconds: list[float]) -> None:
    report.figure(f"{name}, p50", statistics.median(seconds) * 1e3, "ms")
    report.figure(f"{name}, p95", percentile(seconds, 0.95) * 1e3, "ms")


def main() -> None:
    run_part("vip_sync", __doc__ or "", bench)


if __name__ == "__main__":
    main()
