"""Which request of a client a call carries, so that a request sent to several replicas is done once.

A client whose connection broke cannot tell whether its write was done, is still on its way, or never arrived. It sends
the same request again, and the first sending may come to life later: out of a queue of a replica that was cut off, or
out of the network. The state remembers the ids of the latest transactions. Every sending proposes under ids made from
the client's, the next one only when the one before was refused, so at most one of them commits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from api.errors import Conflict, FieldError, Invalid
from controlplane.commands import ID_BYTES


@dataclass(frozen=True, slots=True)
class Sending:
    """One sending of a request. `id` is the same in each of them, b"" when the client never sends anything twice.

    `since` is a revision that the client knew of before the first one: what was committed before it cannot have been
    this request. `repeated`: there were sendings before whose outcome is not known. Their fate is settled with this
    one's: where it comes to nothing, the id is used up, so that none of them can succeed any more.
    """

    id: bytes = b""
    since: int = 0
    repeated: bool = False

    def __post_init__(self) -> None:
        """Raise Invalid for an id that was cut."""
        if self.id and len(self.id) != ID_BYTES:
            message = f"Invalid value: {len(self.id)} bytes; an id has {ID_BYTES}"
            raise Invalid("the sending is invalid", [FieldError("sending.id", message)])

    def transaction_id(self, attempt: int) -> bytes:
        """The id to propose under after `attempt` refusals, the same on every replica; b"" without an id.

        A refused transaction is remembered, too, so one that is decided anew needs another id.
        """
        return hashlib.blake2b(self.id + bytes([attempt]), digest_size=ID_BYTES).digest() if self.id else b""


def used_up() -> Conflict:
    """The error for a sending that would write although an earlier one, whose answer nobody heard, came to nothing."""
    return Conflict(
        "an earlier sending of this request found nothing to do or was refused, and the state has changed since: "
        "nothing was done, read what there is before trying again"
    )


ONCE = Sending()
"""Of callers inside this process: nothing is sent twice."""
