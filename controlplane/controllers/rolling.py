"""Sizes of replica sets during a roll-out: numbers in, numbers out.

The arithmetic of Kubernetes' Deployment ("Rolling Update Deployment", "Proportional scaling"), made strict: a replica
set counts with what it still runs, not only with what it should run, available pods never count beyond the wanted
ones, and no step is decided before every replica set has reported on its present size. So no delay between a size and
its status can break the limits, as it can in Kubernetes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from api.apps import DeploymentSpec
from api.meta import IntOrString

DEFAULT_LIMIT = "25%"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many pods are wanted, and how far a roll-out may go above and below."""

    replicas: int
    max_surge: int
    max_unavailable: int

    @property
    def most(self) -> int:
        """The most pods there may be; 0 when none are wanted."""
        return self.replicas + self.max_surge if self.replicas else 0

    @property
    def fewest_available(self) -> int:
        """The fewest pods that must be available."""
        return self.replicas - self.max_unavailable


@dataclass(frozen=True, slots=True)
class Size:
    """One replica set: pods wanted, pods there, pods available; `desired` and `most` are its size annotations.

    `observed` is whether the latter two counts were reported after the wanted number was set.
    """

    name: str
    wanted: int = 0
    running: int = 0
    available: int = 0
    desired: int | None = None
    most: int | None = None
    observed: bool = True

    @property
    def occupied(self) -> int:
        """Pods that may exist now."""
        return max(self.wanted, self.running)

    @property
    def dependable(self) -> int:
        """Available pods that are also there when the replica set has reached its size."""
        return min(self.wanted, self.available)


def limits(spec: DeploymentSpec) -> Limits:
    """Resolve counts and percentages: surge rounds up, unavailable rounds down, never both zero."""
    replicas = 1 if spec.replicas is None else spec.replicas
    strategy = spec.strategy
    if strategy is not None and strategy.type == "Recreate":
        return Limits(replicas, 0, 0)
    rolling = strategy.rolling_update if strategy is not None else None
    surge = rolling.max_surge if rolling is not None else None
    unavailable = rolling.max_unavailable if rolling is not None else None
    max_surge = math.ceil(_scaled(surge, replicas))
    max_unavailable = math.floor(_scaled(unavailable, replicas))
    if max_surge == 0 and max_unavailable == 0:
        max_unavailable = 1
    return Limits(replicas, max_surge, min(max_unavailable, replicas))


def _scaled(value: IntOrString | None, replicas: int) -> float:
    value = DEFAULT_LIMIT if value is None else value
    if isinstance(value, int):
        return value
    return int(value.removesuffix("%")) * replicas / 100


def settled(sizes: Sequence[Size]) -> bool:
    """Whether all counts are about the present sizes."""
    return all(size.observed for size in sizes)


def new_size(limits: Limits, new: Size, old: Sequence[Size]) -> int:
    """The size for the new replica set: as large as the surge allows, never above what is wanted."""
    if new.wanted >= limits.replicas:
        return limits.replicas
    if not settled([new, *old]):
        return new.wanted
    room = limits.most - new.occupied - sum(size.occupied for size in old)
    return new.wanted + max(0, min(room, limits.replicas - new.wanted))


def old_sizes(limits: Limits, new: Size, old: Sequence[Size]) -> dict[str, int]:
    """New sizes for old replica sets, oldest first in `old`: unhealthy pods go first, then available ones.

    Never takes so many that fewer than `fewest_available` pods stay available.
    """
    if not settled([new, *old]):
        return {}
    wanted = {size.name: size.wanted for size in old}
    new_unavailable = new.wanted - new.dependable
    removable = new.wanted + sum(wanted.values()) - limits.fewest_available - new_unavailable
    for size in old:
        unhealthy = wanted[size.name] - size.dependable
        taken = max(0, min(removable, unhealthy))
        wanted[size.name] -= taken
        removable -= taken
    available = new.dependable + sum(min(wanted[size.name], size.available) for size in old)
    spare = min(removable, available - limits.fewest_available)
    for size in old:
        taken = max(0, min(spare, wanted[size.name]))
        wanted[size.name] -= taken
        spare -= taken
    return {size.name: wanted[size.name] for size in old if wanted[size.name] != size.wanted}


def proportional_sizes(limits: Limits, active: Sequence[Size], reported_replicas: int) -> dict[str, int]:
    """Share a change of the wanted number among several active replica sets in proportion to their sizes.

    `active` is newest first; `reported_replicas` stands in for a missing size annotation. What rounding leaves over
    goes to the largest (newest when growing, oldest when shrinking, of equals).
    """
    change = limits.most - sum(size.wanted for size in active)
    order = sorted(active if change >= 0 else list(reversed(active)), key=lambda size: -size.wanted)
    sizes: dict[str, int] = {}
    shared = 0
    for size in order:
        part = _share(limits, size, change - shared, reported_replicas)
        sizes[size.name] = size.wanted + part
        shared += part
    if order and change:
        largest = order[0].name
        sizes[largest] = max(0, sizes[largest] + change - shared)
    return sizes


def _share(limits: Limits, size: Size, left: int, reported_replicas: int) -> int:
    if not left or not size.wanted:
        return 0
    if not limits.replicas:
        return -size.wanted
    before = size.most or reported_replicas or size.wanted
    fraction = math.floor(size.wanted * limits.most / before + 0.5) - size.wanted
    return min(fraction, left) if left > 0 else max(fraction, left)


def size_annotations(limits: Limits) -> dict[str, str]:
    """The annotations by which a later pass sees that the wanted number has changed."""
    return {
        "deployment.kubernetes.io/desired-replicas": str(limits.replicas),
        "deployment.kubernetes.io/max-replicas": str(limits.replicas + limits.max_surge),
    }
