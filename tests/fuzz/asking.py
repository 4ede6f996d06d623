"""One request over HTTPS and what holds for every answer: no bug of the server's, and refusals that say why."""

from __future__ import annotations

import json
import random
from typing import Any

import requests

from api import scheme
from tests.fuzz.findings import Findings
from tests.fuzz.target import Target

TIMEOUT_SECONDS = 20
PLAIN_CODES = {417}  # said by the HTTP library before anybody reads the request, as by Go's
BUSY = {503, 504}  # nobody leads, or the outcome is not known: counted, and wrong only when it is often
MEDIA = {
    "json-patch": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
OWN_VERSIONS = {"stable.example.com/v1", "odd.example.com/v1"}  # of custom kinds that these programs define
STRICT = "?fieldValidation=Strict"


class Asker:
    """The administrator, who asks any of the replicas."""

    def __init__(self, target: Target, findings: Findings, rng: random.Random) -> None:
        self.target, self.findings, self.rng = target, findings, rng
        self.session = target.session()
        self.busy = 0

    def ask(
        self,
        method: str,
        path: str,
        tree: Any,
        media: str = "application/json",
        *,
        accept: str = "*/*",
        allowed: tuple[str, ...] = (),
    ) -> requests.Response | None:
        """Send a tree as JSON; None when it cannot be sent, or nobody answers. A 500 may say what is `allowed`."""
        try:
            body = b"" if tree is None else json.dumps(tree).encode("utf-8")
        except (TypeError, ValueError, UnicodeError):
            return None
        return self.exchange(method, path, {"Content-Type": media, "Accept": accept}, body, allowed)

    def exchange(
        self, method: str, path: str, headers: dict[str, str], body: bytes, allowed: tuple[str, ...] = ()
    ) -> requests.Response | None:
        """Send bytes; None when they cannot be sent, or nobody answers."""
        url = self.rng.choice(self.target.urls) + path
        request = {"method": method, "url": url, "headers": headers, "body": shown(body)}
        try:
            answer = self.session.request(method, url, data=body, headers=headers, timeout=TIMEOUT_SECONDS)
        except requests.Timeout:
            self.findings.answered("timeout")
            self.findings.add(f"timeout of {method}", path[:100], request)
            return None
        except (requests.RequestException, UnicodeError, ValueError) as error:
            self.findings.answered(f"not sent: {type(error).__name__}")
            return None
        if answer.status_code == 500 and any(words in answer.text for words in allowed):
            self.findings.answered(500)
            return answer
        self.judge(
            f"{method} {'/'.join(path.partition('?')[0].split('/')[:7])[:80]}",
            answer.status_code,
            answer.headers,
            answer.content,
            request,
        )
        return answer

    def judge(self, label: str, code: int, headers: Any, content: bytes, request: dict[str, Any]) -> None:
        """What holds for every answer: no bug of ours, and every refusal a Status that says why."""
        self.findings.answered(code)
        seen = {**request, "answer": content[:2000].decode("utf-8", "replace")}
        if code in BUSY:
            self.busy += 1
            return
        if code >= 500:
            self.findings.add(f"{code} of {label}", content[:200].decode("utf-8", "replace"), seen)
            return
        if code < 400 or code in PLAIN_CODES or request["method"] == "HEAD":
            return
        for problem in status_problems(code, headers.get("Content-Type", ""), content):
            self.findings.add(f"refusal {code} of {label}", problem, seen)


def status_problems(code: int, media: str, content: bytes) -> list[str]:
    """What is wrong with the body of a refusal."""
    if "yaml" in media:
        return []
    try:
        tree = json.loads(content)
    except ValueError:
        return [f"no JSON: {content[:100]!r}"]
    found = []
    if not isinstance(tree, dict) or tree.get("kind") != "Status" or tree.get("status") != "Failure":
        return [f"no Status: {content[:100]!r}"]
    if tree.get("code") != code:
        found.append(f"the code is {tree.get('code')}")
    found += [f"no {name}" for name in ("reason", "message") if not tree.get(name)]
    if tree.get("reason") == "Invalid":
        causes = tree.get("details", {}).get("causes", [])
        found += ["a 422 without causes"] if not causes else []
        found += [
            "a cause without " + name
            for each in causes
            for name in ("reason", "message", "field")
            if not each.get(name)
        ]
    return found


def path_of(tree: dict, *, named: bool, namespace: str = "") -> str:
    """Where an object stands, or with `named` false the collection."""
    if tree["apiVersion"] in OWN_VERSIONS:
        named_so = f"/{requests.utils.quote(tree['metadata']['name'], safe='')}" if named else ""
        return f"/apis/{tree['apiVersion']}/namespaces/{namespace or 'default'}/{tree['kind'].lower()}s{named_so}"
    kind = scheme.by_kind(tree["apiVersion"], tree["kind"])
    prefix = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    inner = f"/namespaces/{namespace or tree['metadata'].get('namespace') or 'default'}" if kind.namespaced else ""
    name = f"/{requests.utils.quote(tree['metadata']['name'], safe='')}" if named else ""
    return f"{prefix}{inner}/{kind.plural}{name}"


def shown(body: Any) -> str:
    """A body as text that can be kept in a file, and sent again."""
    data = body if isinstance(body, bytes) else str(body or "").encode("utf-8", "replace")
    return data[:200_000].decode("utf-8", "surrogateescape")
