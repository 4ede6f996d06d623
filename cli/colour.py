"""The colours of status words on a terminal. Pure: green is well, yellow is on its way, red wants a look."""

from __future__ import annotations

from collections.abc import Mapping

import click

HEADINGS = {"STATUS", "TYPE"}
WELL = {"Running", "Ready", "Active", "Completed", "Succeeded"}
ON_ITS_WAY = {"Pending", "ContainerCreating", "PodInitializing", "Terminating", "Ready,SchedulingDisabled"}
PLAIN = {"Normal", "ClusterIP", "Opaque", "ExternalName", "NodePort", "LoadBalancer", "<none>", ""}


def wanted(*, terminal: bool, environ: Mapping[str, str]) -> bool:
    """Whether to use colours: on a terminal that knows them, unless NO_COLOR is set (https://no-color.org)."""
    return terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def paint(heading: str, cell: str) -> str:
    """A status word in its colour; every other cell as it is."""
    word = cell.strip()
    if heading not in HEADINGS or word in PLAIN or "/" in word:
        return cell
    colour = "green" if word in WELL else "yellow" if word in ON_ITS_WAY else "red"
    return click.style(cell, fg=colour)
