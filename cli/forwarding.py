"""Which port of this machine leads to which port of a pod. Pure; words and meanings are kubectl's."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from api.errors import NotFound
from api.object import Tree, at
from cli.mistakes import Misused

LARGEST_PORT = 65_535
LOCALHOST = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A port here, 0 for any that is free, and one of the pod."""

    local: int
    remote: int


def pair_of(word: str, pod: Tree, service: Tree | None) -> Pair:
    """What `[LOCAL:]REMOTE` means; REMOTE is a number or a name, of the service if there is one, else of the pod.

    Misused for no port at all, NotFound for a name or a service's port that does not exist.
    """
    local, colon, remote = word.rpartition(":")
    target = _of_service(remote, pod, service) if service is not None else _of_pod(remote, pod)
    if not colon:
        return Pair(_number(remote) or target, target)
    if local and not _number(local):
        raise Misused(f"{local!r} in {word!r} is no port: 1 to {LARGEST_PORT}, or nothing for any that is free")
    return Pair(_number(local), target)


def addresses_of(text: str) -> list[str]:
    """The addresses of `--address`: IP addresses and `localhost`, with commas. Misused."""
    found: list[str] = []
    for word in text.split(","):
        if word == "localhost":
            found += LOCALHOST
            continue
        try:
            found.append(str(ip_address(word)))
        except ValueError:
            raise Misused(f"{word!r} in --address is neither an IP address nor localhost") from None
    return list(dict.fromkeys(found))


def _number(text: str) -> int:
    """The port that a text is, 0 if it is none."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
    return number if number <= LARGEST_PORT else 0


def _of_service(text: str, pod: Tree, service: Tree) -> int:
    number = _number(text)
    for port in at(service, "spec.ports", []):
        if port.get("protocol", "TCP") == "TCP" and (port["port"] == number if number else port.get("name") == text):
            if at(service, "spec.clusterIP", "") == "None":  # nothing translates: the port is the pod's own
                return int(port["port"])
            return _of_pod(str(port.get("targetPort", port["port"])), pod)
    raise NotFound(f"service {at(service, 'metadata.name')} has no TCP port {text!r}")


def _of_pod(text: str, pod: Tree) -> int:
    if number := _number(text):
        return number
    for container in at(pod, "spec.containers", []):
        for port in container.get("ports", []):
            if port.get("name") == text and port.get("protocol", "TCP") == "TCP":
                return int(port["containerPort"])
    if not text or text[:1].isdigit():
        raise Misused(f"{text!r} is no port: 1 to {LARGEST_PORT}, or a port's name")
    raise NotFound(f"pod {at(pod, 'metadata.name')} has no TCP port named {text!r}")
