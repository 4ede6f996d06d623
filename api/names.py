"""What names, labels and keys may look like, and how children get theirs.

Every `*_fault` function returns None for good text and otherwise one sentence that says what is wrong with it. The rules
are those of the Kubernetes documentation, "Object Names and IDs" and "Labels and Selectors".
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable

from api.object import Tree, canonical

Fault = Callable[[str], str | None]

SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, so that hashes never spell words; the one Kubernetes uses."""

LABEL_LIMIT = 63
SUBDOMAIN_LIMIT = 253
TEMPLATE_HASH_LABEL = "pod-template-hash"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_ENV_NAME_LIMIT = 4096


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def dns_label_fault(text: str) -> str | None:
    """RFC 1123 label: containers, volumes, namespaces."""
    if len(text) > LABEL_LIMIT:
        return _too_long(LABEL_LIMIT)
    if not _LABEL.fullmatch(text):
        return (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character (such as 'my-name' or '123-abc')"
        )
    return None


def dns_1035_label_fault(text: str) -> str | None:
    """RFC 1035 label, which starts with a letter: services."""
    if len(text) > LABEL_LIMIT:
        return _too_long(LABEL_LIMIT)
    if not _LABEL_1035.fullmatch(text):
        return (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character (such as 'my-name' or 'abc-123')"
        )
    return None


def dns_subdomain_fault(text: str) -> str | None:
    """RFC 1123 subdomain: the names of most objects."""
    if len(text) > SUBDOMAIN_LIMIT:
        return _too_long(SUBDOMAIN_LIMIT)
    if not _SUBDOMAIN.fullmatch(text):
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (such as 'example.com')"
        )
    return None


def qualified_name_fault(text: str) -> str | None:
    """Label key, annotation key, taint key: an optional subdomain prefix, a slash, a name of up to 63 characters."""
    prefix, slash, name = text.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if prefix and (fault := dns_subdomain_fault(prefix)):
        return f"prefix part {fault}"
    if not name:
        return "name part must be non-empty"
    if len(name) > LABEL_LIMIT:
        return f"name part {_too_long(LABEL_LIMIT)}"
    if not _QUALIFIED.fullmatch(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (such as 'MyName' or 'my.name'), with an optional DNS subdomain prefix and '/'"
        )
    return None


def label_value_fault(text: str) -> str | None:
    """Label value: empty, or like the name part of a label key."""
    if len(text) > LABEL_LIMIT:
        return _too_long(LABEL_LIMIT)
    if text and not _QUALIFIED.fullmatch(text):
        return (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character (such as 'MyValue' or 'my_value')"
        )
    return None


def path_segment_fault(text: str) -> str | None:
    """Name of a role or binding: anything that can stand between two slashes of a URL."""
    if text in {".", ".."}:
        return f"may not be '{text}'"
    for character in "/%":
        if character in text:
            return f"may not contain '{character}'"
    return None


def config_key_fault(text: str) -> str | None:
    """Key of a ConfigMap or Secret: usable as a file name."""
    if len(text) > SUBDOMAIN_LIMIT:
        return _too_long(SUBDOMAIN_LIMIT)
    if not _CONFIG_KEY.fullmatch(text):
        return "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (such as 'key.name')"
    if text == "." or text.startswith(".."):
        return "must not be '.' or start with '..'"
    return None


def env_name_fault(text: str) -> str | None:
    """Name of an environment variable: printable ASCII without `=`."""
    if not text.isascii() or not text.isprintable() or "=" in text:
        return "a valid environment variable name must consist of printable ASCII characters other than '='"
    if len(text) > _ENV_NAME_LIMIT:
        return _too_long(_ENV_NAME_LIMIT)
    return None


def port_name_fault(text: str) -> str | None:
    """Name of a container port: a service name as in RFC 6335."""
    if len(text) > 15:
        return _too_long(15)
    if not _PORT_NAME.fullmatch(text) or "--" in text:
        return (
            "must consist of lower case alphanumeric characters or '-', must start and end with an alphanumeric "
            "character and must not contain '--'"
        )
    if not any(character.isalpha() for character in text):
        return "must contain at least one letter (a-z)"
    return None


def safe_text(data: bytes, length: int) -> str:
    """Return so many characters of `SAFE_ALPHABET` that the data decides."""
    number = int.from_bytes(hashlib.blake2b(data, digest_size=16).digest())
    letters = []
    for _ in range(length):
        number, digit = divmod(number, len(SAFE_ALPHABET))
        letters.append(SAFE_ALPHABET[digit])
    return "".join(letters)


def derived_name(base: str, *parts: object, length: int = 5) -> str:
    """Return `base-xxxxx`, always the same for the same base and parts: creating a child twice finds it there.

    The name fits a DNS label: a long base is cut, the hash still covers all of it. `length` is the hash's; 5 letters
    have 14 million values.
    """
    suffix = safe_text("\0".join([base, *map(str, parts)]).encode(), length)
    return f"{base[: LABEL_LIMIT - 1 - length].rstrip('-.')}-{suffix}"


def template_hash(template: Tree, collision_count: int = 0) -> str:
    """Return a ten-letter hash of a pod template; the hash label itself does not count.

    `collision_count` gives another hash for the same template when the first one is taken.
    """
    labels = template.get("metadata", {}).get("labels", {})
    if TEMPLATE_HASH_LABEL in labels:
        template = copy.deepcopy(template)
        del template["metadata"]["labels"][TEMPLATE_HASH_LABEL]
    return safe_text(canonical(template) + str(collision_count).encode(), 10)
