"""Which hosts of a lab cannot reach which others: an nft table in the switch's namespace, nothing on the hosts.

The kernel's set of cut pairs is the only record: what it holds is read, changed and written back in one transaction.
Frames are dropped at the switch, so that neither end learns of it, as with a broken cable between two switches.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from lab.layout import Host, Lab
from lab.network import run

Pair = tuple[str, str]  # (from, to)

TABLE = "faults"
SET = "cut"


def partition(lab: Lab, ones: Iterable[Host], others: Iterable[Host], *, one_way: bool = False) -> None:
    """Let nothing from `ones` reach `others`, and nothing back unless `one_way`. May be repeated and combined."""
    there = [(one.name, other.name) for one in ones for other in others]
    back = [] if one_way else [(other, one) for one, other in there]
    _write(lab, cut_pairs(lab) | set(there) | set(back))


def heal(lab: Lab, hosts: Iterable[Host]) -> None:
    """Take the given hosts out of every partition."""
    names = {host.name for host in hosts}
    before = cut_pairs(lab)
    after = {pair for pair in before if not names & set(pair)}
    if after != before:
        _write(lab, after)


def cut_pairs(lab: Lab) -> set[Pair]:
    """Every (from, to) whose frames are dropped now."""
    text = run(["ip", "netns", "exec", lab.switch, "nft", "--json", "list", "set", "bridge", TABLE, SET], check=False)
    found: set[Pair] = set()
    for each in json.loads(text or "{}").get("nftables", ()):
        for element in each.get("set", {}).get("elem", ()):
            found.add(tuple(element["concat"]))
    return found


def _write(lab: Lab, pairs: set[Pair]) -> None:
    elements = ", ".join(f'"{source}" . "{target}"' for source, target in sorted(pairs))
    run(
        ["ip", "netns", "exec", lab.switch, "nft", "-f", "-"],
        stdin=f"""
add table bridge {TABLE}
delete table bridge {TABLE}
table bridge {TABLE} {{
  set {SET} {{
    type ifname . ifname
    {f"elements = {{ {elements} }}" if pairs else ""}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname . oifname @{SET} drop
  }}
}}
""",
    )
