"""What a request's query says, as typed values. Pure; every value that is not understood is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from api.managed_fields import MANAGER_MAX_CHARACTERS
from api.scheme import Kind
from api.strict import Validation
from component.client import Propagation
from controlplane.apiserver.freshness import LINEARIZABLE, Freshness
from controlplane.apiserver.past import NOW, At
from controlplane.apiserver.rest.refusals import Refusal, bad_request

Query = Mapping[str, str]

KNOWN: Final = frozenset(
    {
        *("pretty", "timeout", "dryRun", "fieldManager", "fieldValidation", "force"),
        *("labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch"),
        "includeObject",
        *("watch", "allowWatchBookmarks", "timeoutSeconds", "sendInitialEvents"),
        *("gracePeriodSeconds", "propagationPolicy", "orphanDependents"),
        *("container", "follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes"),
        *("insecureSkipTLSVerifyBackend", "stream", "command", "stdin", "stdout", "stderr", "tty", "ports"),
    }
)
"""Every name that some verb understands: a misspelled selector must not select everything."""

_TRUE: Final = frozenset({"true", "1", ""})
_FALSE: Final = frozenset({"false", "0"})
PROPAGATIONS: Final[Mapping[str, Propagation]] = {
    "": "",
    "Background": "Background",
    "Foreground": "Foreground",
    "Orphan": "Orphan",
}


def check_known(query: Query) -> None:
    """Raise Refusal for a parameter that no verb understands."""
    for name in query:
        if name not in KNOWN:
            raise bad_request(f'unknown query parameter "{name}"')


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list is narrowed to, how much of it is wanted, and of which state."""

    label_selector: str
    field_selector: str
    limit: int
    continue_token: str
    fresh: Freshness = LINEARIZABLE
    at: At = NOW


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """From where a watch goes on and what it shows. `revision` None: what there is comes first.

    `from_now`: only what changes from now on. `initial_end`: a bookmark is to mark the end of what there was.
    """

    label_selector: str
    field_selector: str
    revision: int | None
    from_now: bool
    bookmarks: bool
    initial_end: bool
    timeout_seconds: int | None


def list_options(query: Query) -> ListOptions:
    """The options of a list; the meaning of resourceVersion is Kubernetes' ("API Concepts", resourceVersionMatch)."""
    token, limit = query.get("continue", ""), number(query, "limit") or 0
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if query.get("sendInitialEvents") is not None:
        raise bad_request("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")
    if match not in {"", "Exact", "NotOlderThan"}:
        raise bad_request(f'resourceVersionMatch: Unsupported value: "{match}": Exact or NotOlderThan')
    if match and not version:
        raise bad_request("resourceVersionMatch is forbidden unless resourceVersion is given")
    if token and (version not in {"", "0"} or match):
        raise bad_request("resourceVersion is forbidden together with continue: the token names the version")
    if match == "Exact" and version == "0":
        raise bad_request('resourceVersionMatch: Exact is forbidden for resourceVersion "0"')
    selectors = query.get("labelSelector", ""), query.get("fieldSelector", "")
    if token or not version:
        return ListOptions(*selectors, limit, token)
    if match == "Exact" or (limit and not match and version != "0"):
        return ListOptions(*selectors, limit, token, at=At(_revision(version)))
    return ListOptions(*selectors, limit, token, Freshness(not_older_than=_revision(version)))


def freshness(query: Query) -> Freshness:
    """Of a get: linearizable, or not older than the version that is named, "0" for any."""
    version = query.get("resourceVersion", "")
    return Freshness(not_older_than=_revision(version)) if version else LINEARIZABLE


def watch_options(query: Query) -> WatchOptions:
    """The options of a watch."""
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    wanted = boolean(query, "sendInitialEvents", None)
    if wanted is not None and match != "NotOlderThan":
        raise bad_request("sendInitialEvents needs resourceVersionMatch=NotOlderThan")
    if wanted is None and match:
        raise bad_request("resourceVersionMatch is forbidden for a watch unless sendInitialEvents is given")
    revision = _revision(version) if version else 0
    initial = wanted if wanted is not None else not revision
    return WatchOptions(
        query.get("labelSelector", ""),
        query.get("fieldSelector", ""),
        revision if revision and not initial else None,
        from_now=not initial and not revision,
        bookmarks=bool(boolean(query, "allowWatchBookmarks", default=False)),
        initial_end=bool(wanted),
        timeout_seconds=number(query, "timeoutSeconds"),
    )


def dry_run(query: Query) -> bool:
    """Whether nothing is to be stored."""
    value = query.get("dryRun", "")
    if value not in {"", "All"}:
        raise Refusal(400, "BadRequest", f'dryRun: Unsupported value: "{value}": All')
    return value == "All"


def manager(query: Query, user_agent: str) -> str:
    """As whose the changes of a write count: what the client says, else its program's name. Refusal."""
    named = query.get("fieldManager", "")
    if len(named) > MANAGER_MAX_CHARACTERS or not named.isprintable():
        raise bad_request(f"fieldManager: Too long: it may have {MANAGER_MAX_CHARACTERS} printable characters")
    return named or user_agent.partition("/")[0].strip()[:MANAGER_MAX_CHARACTERS]


def validation(query: Query, kind: Kind | None = None) -> Validation:
    """What becomes of fields that the kind does not know. Unlike in Kubernetes they are refused unless it is said.

    Those of custom kinds are dropped, as there: whose schema is for others to write has programs that rely on it.
    """
    match query.get("fieldValidation", ""):
        case "":
            return "Strict" if kind is None or kind.custom is None else "Warn"
        case "Strict":
            return "Strict"
        case "Warn":
            return "Warn"
        case "Ignore":
            return "Ignore"
        case other:
            raise bad_request(f'fieldValidation: Unsupported value: "{other}": Strict, Warn or Ignore')


def boolean(query: Query, name: str, default: bool | None) -> bool | None:
    """A yes or no. A name alone says yes."""
    value = query.get(name)
    if value is None:
        return default
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise bad_request(f'{name}: Invalid value: "{value}": must be true or false')


def number(query: Query, name: str) -> int | None:
    """A whole number of 0 or more, None when it is not given."""
    value = query.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise bad_request(f'{name}: Invalid value: "{value}": must be a whole number of 0 or more')
    return int(value)


def _revision(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise bad_request(f'resourceVersion: Invalid value: "{text}": must be what the API gave')
    return int(text)
