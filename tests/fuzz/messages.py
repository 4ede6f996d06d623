"""Random protobuf messages: every field may be set, with values that are likelier to matter than others."""

from __future__ import annotations

import random
from collections.abc import Sequence

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

BIG = (2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = ("", "a", "r1", "default", "x" * 300, "a/b", "\x00", "é", "1", "-1", "{", "configmaps", "pods")
SCALARS = {
    FieldDescriptor.CPPTYPE_DOUBLE: (0.0, -1.0, 1e308, float("inf"), float("nan")),
    FieldDescriptor.CPPTYPE_FLOAT: (0.0, -1.0, float("inf"), float("nan")),
    FieldDescriptor.CPPTYPE_BOOL: (True, False),
}
LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class MessageFuzzer:
    """Fills messages from a seeded generator; `numbers` and `texts` are those of the system under test."""

    def __init__(self, rng: random.Random, numbers: Sequence[int] = (), texts: Sequence[str] = ()) -> None:
        self._rng = rng
        self._numbers = [0, 1, 2, *numbers, *(number + 1 for number in numbers)]
        self._texts = [*TEXTS, *texts]

    def fill(self, message: Message, depth: int = 4) -> Message:
        """Set about two in three fields, at most so deep."""
        for field in message.DESCRIPTOR.fields:
            if self._rng.random() < 0.35:
                continue
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                continue
            if field.is_repeated:
                for _ in range(self._rng.choice((0, 1, 1, 2, 5))):
                    if field.message_type is not None:
                        self._nested(getattr(message, field.name).add(), depth)
                    else:
                        getattr(message, field.name).append(self._scalar(field))
            elif field.message_type is not None:
                if depth:
                    getattr(message, field.name).SetInParent()
                    self._nested(getattr(message, field.name), depth)
            else:
                setattr(message, field.name, self._scalar(field))
        return message

    def mutated(self, message: Message) -> Message | None:
        """The message after some bytes of it changed, went or came; None when it does not parse any more."""
        data = bytearray(message.SerializeToString())
        for _ in range(self._rng.choice((1, 1, 2, 5))):
            at = self._rng.randrange(len(data) + 1)
            match self._rng.randrange(3):
                case 0 if at < len(data):
                    data[at] = self._rng.randrange(256)
                case 1:
                    del data[at : at + self._rng.choice((1, 2, 9))]
                case _:
                    data[at:at] = self._rng.randbytes(self._rng.choice((1, 2, 9)))
        try:
            return type(message).FromString(bytes(data))
        except DecodeError:
            return None

    def _nested(self, message: Message, depth: int) -> None:
        if depth:
            self.fill(message, depth - 1)

    def _scalar(self, field: FieldDescriptor) -> object:
        kind = field.cpp_type
        if kind in LIMITS:
            low, high = LIMITS[kind]
            number = self._rng.choice((*self._numbers, *BIG, -1, low, high))
            return max(low, min(high, number))
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return self._rng.choice((*(value.number for value in field.enum_type.values), 99))
        if kind == FieldDescriptor.CPPTYPE_STRING:
            text = self._rng.choice(self._texts)
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        return self._rng.choice(SCALARS[kind])
