"""Watches among their user's other watches, and their user among others: how many, how they begin, what they send."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from controlplane.admission.request import Identity
from controlplane.apiserver.fairness.gate import Gate
from controlplane.apiserver.watches import Batch

Begin = Callable[[Callable[[], None]], AsyncGenerator[Batch]]
"""Makes the watch; it calls what it is given once the work of beginning is done."""


async def fairly(gate: Gate, identity: Identity, begin: Begin, size: int) -> AsyncGenerator[Batch]:
    """Yield what a watch shows; whoever takes a batch asks for the next once it is sent.

    Beginning is a call like any other, one that costs as much as a request of `size` bytes.
    TooManyRequests when the user has too many watches open, or too much waiting.
    """
    hold = gate.hold(identity, "watches")
    try:
        opening = [gate.enter(identity, size) or await gate.wait(identity, size)]

        def opened() -> None:
            while opening:
                opening.pop().end()

        try:
            async with aclosing(begin(opened)) as batches:
                async for batch in batches:
                    size = batch.size_bytes
                    await gate.send(hold.user, size)
                    try:
                        yield batch
                    finally:
                        gate.sent(hold.user, size)
        finally:
            opened()
    finally:
        hold.end()
