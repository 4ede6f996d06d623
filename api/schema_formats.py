"""Formats of text in schemas, as Kubernetes knows them. A format that is not here is not checked, as there. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final
from urllib.parse import urlsplit

_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DURATION: Final = re.compile(
    r"[+-]?(\d++(\.\d*+)?|\.\d++)\s*+(ns|us|µs|μs|ms|s|m|h|d|w|hr|min|sec|day|week|hour|minute|second|milli|micro|nano)?s?"
    r"((\d++(\.\d*+)?|\.\d++)(ns|us|µs|μs|ms|s|m|h))*+"  # digits are never shared out anew: linear
)
_HOSTNAME: Final = re.compile(r"(?=.{1,255}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9-]{1,63})*\.?")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}([:-][0-9A-Fa-f]{2}){0,2}")


def _parses(read: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        try:
            read(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return holds


def _uuid_of(version: int | None) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        try:
            found = uuid.UUID(text)
        except ValueError:
            return False
        return version is None or found.version == version

    return holds


def _is_date_time(text: str) -> bool:
    return _DATE_TIME.fullmatch(text) is not None and _parses(datetime.fromisoformat)(text.upper().replace(" ", "T"))


def _is_uri(text: str) -> bool:
    return _parses(urlsplit)(text) and bool(urlsplit(text).scheme or text.startswith("/"))


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "date-time": _is_date_time,
    "datetime": _is_date_time,
    "date": _parses(date.fromisoformat),
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "hostname": lambda text: _HOSTNAME.fullmatch(text) is not None,
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _parses(lambda each: ipaddress.ip_network(each, strict=False))(text),
    "mac": lambda text: _MAC.fullmatch(text) is not None,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "uri": _is_uri,
    "uuid": _uuid_of(None),
    "uuid3": _uuid_of(3),
    "uuid4": _uuid_of(4),
    "uuid5": _uuid_of(5),
}
"""By name, whether text has the format."""
