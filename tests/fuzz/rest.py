"""Fuzzes the HTTPS API of a lab of three replicas, from its own OpenAPI: `python -m tests.fuzz.rest --minutes 10`.

Needs root and schemathesis (the extra `fuzz`). Schemathesis draws requests for every operation of every document, fit
and unfit; half of them are sent to objects that exist, and valid objects grow what it draws anywhere in their trees, since
random words seldom make one. Requests that no schema has (methods, media types, broken JSON, depth, sizes) come beside.
Each kind of finding is written once, with the request that led to it; `--again FILE` sends that request again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisWarning, Unsatisfiable
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.openapi.checks import JsonSchemaError
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import scheme
from tests.fuzz.findings import Findings, tell
from tests.fuzz.kept import changed_fields
from tests.fuzz.raw import raw_requests
from tests.fuzz.target import Pace, Target, finish, running
from tests.fuzz.trees import holder_of, mutate, places, population
from tests.whole_objects import with_statuses

TIMEOUT_SECONDS = 20
SERVED_SECONDS = 5.0  # until every replica serves a custom kind, amply
CASES_OF_ONE_DRAW = 4
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
NAMESPACES = ("default", "fuzz", "kube-system", "missing")
PLAIN_CODES = {417}  # said by the HTTP library before anybody reads the request, as by Go's
BUSY = {503, 504}  # nobody leads, or the outcome is not known: counted, and wrong only when it is often
MEDIA = {
    "json-patch": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

warnings.simplefilter("ignore", HypothesisWarning)


class Fuzzing:
    """One run against one target."""

    def __init__(self, target: Target, findings: Findings, rng: random.Random, pace: Pace) -> None:
        self._target, self._findings, self._rng, self._pace = target, findings, rng, pace
        self._session = target.session()
        self._operations: list[Any] = []
        self._strategies: dict[tuple[str, GenerationMode], Any] = {}
        self._names: dict[str, list[str]] = {}
        self.busy = 0

    def _documents(self) -> Iterator[dict[str, Any]]:
        index = self._session.get(f"{self._target.urls[0]}/openapi/v3", timeout=60).json()
        for each in index["paths"].values():
            yield self._session.get(self._target.urls[0] + each["serverRelativeURL"], timeout=60).json()

    def prepare(self) -> None:
        """Things to find: a namespace, one object of every kind, and a custom kind; then the operations that there are."""
        self._ask("POST", "/api/v1/namespaces", {"metadata": {"name": "fuzz"}})
        for tree in population():
            self._ask("POST", path_of(tree, named=False), tree)
        time.sleep(SERVED_SECONDS)
        self._operations = [operation for document in self._documents() for operation in _operations(document)]

    def run(self, seconds: float) -> None:
        """Draw, send and judge until the time is over."""
        end_time = time.monotonic() + seconds
        sources: list[Callable[[], None]] = [self._from_schema, self._grafted, self._mutated, self._mutated, self._raw]
        told_time = time.monotonic()
        while time.monotonic() < end_time:
            self._rng.choice(sources)()
            self._pace.rest()
            if time.monotonic() - told_time > 60:
                told_time = time.monotonic()
                self._look_around()

    def _look_around(self) -> None:
        for line in self._target.trouble():
            self._findings.add("processes", line, {})
        self._names.clear()
        tell(f"{self._findings.cases} cases; {self._target.probes.line()}")

    # Sources of requests

    def _from_schema(self) -> None:
        operation = self._rng.choice(self._operations)
        mode = self._rng.choice(list(GenerationMode))
        for case in self._drawn(operation, mode):
            self._aim(case)
            self._send(case)

    def _drawn(self, operation: Any, mode: GenerationMode) -> list[Any]:
        key = (operation.label, mode)
        if key not in self._strategies:
            self._strategies[key] = operation.as_strategy(generation_mode=mode)
        drawn: list[Any] = []

        @seed(self._rng.getrandbits(64))
        @settings(
            max_examples=CASES_OF_ONE_DRAW,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=self._strategies[key])
        def collect(case: Any) -> None:
            drawn.append(case)

        try:
            collect()
        except Unsatisfiable:
            return []
        return drawn

    def _aim(self, case: Any) -> None:
        """Let the path lead to something that exists, mostly; watches end soon."""
        parameters = case.path_parameters or {}
        if "namespace" in parameters and self._rng.random() < 0.8:
            parameters["namespace"] = self._rng.choice(NAMESPACES)
        if "name" in parameters and self._rng.random() < 0.8:
            parameters["name"] = self._rng.choice(self._known(case.operation.path) or ["web"])
        query = case.query or {}
        if str(query.get("watch", "")).lower() in {"true", "1", ""} or "/watch/" in case.operation.path:
            query["timeoutSeconds"] = 1
        if "follow" in query:
            query["follow"] = "false"
        case.path_parameters, case.query = parameters, query

    def _known(self, path: str) -> list[str]:
        collection = path.partition("/{name}")[0].replace("/{namespace}", "/default")
        if collection not in self._names:
            answer = self._session.get(self._target.urls[0] + collection, timeout=TIMEOUT_SECONDS)
            items = answer.json().get("items", []) if answer.status_code == 200 else []
            self._names[collection] = [item["metadata"]["name"] for item in items][:50]
        return self._names[collection]

    def _send(self, case: Any) -> None:
        url = self._rng.choice(self._target.urls)
        request = {"method": case.method, "label": case.operation.label}
        try:
            answer = case.call(
                base_url=url,
                session=self._session,
                timeout=TIMEOUT_SECONDS,
                verify=self._session.verify,
                cert=self._session.cert,
            )
        except requests.Timeout:
            request["path"], request["query"] = case.formatted_path, repr(case.query)
            self._findings.answered("timeout")
            self._findings.add(f"timeout of {case.operation.label}", "no answer", request)
            return
        except (requests.RequestException, UnicodeError, ValueError) as error:
            self._findings.answered(f"not sent: {type(error).__name__}")
            return
        sent = answer.request
        request |= {"url": sent.url, "headers": dict(sent.headers), "body": _shown(sent.body)}
        streamed = str((case.query or {}).get("watch", "")).lower() in {"true", "1"} or "/watch/" in case.operation.path
        self._judge(case.operation.label, answer.status_code, answer.headers, answer.content, request)
        if streamed or answer.status_code in BUSY:
            return
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                if case.method == "DELETE" and b'"kind":"Status"' not in answer.content:
                    continue  # what stays for now is shown itself; the documents say Status, as Kubernetes' do
                text = failure.message if isinstance(failure, JsonSchemaError) else str(failure)
                self._findings.add(
                    f"{type(failure).__name__} of {case.operation.label}",
                    text,
                    {**request, "answer": answer.text[:2000]},
                )

    def _grafted(self) -> None:
        """Put something that a schema allows in the place of something in a valid object."""
        tree = self._rng.choice(population())
        for case in self._drawn(self._writing(tree), self._rng.choice(list(GenerationMode))):
            if not isinstance(case.body, dict):
                continue
            donors = [place for place in places(case.body) if place]
            if not donors:
                continue
            place = self._rng.choice(donors)
            value = holder_of(case.body, place)[place[-1]]
            grown = json.loads(json.dumps(tree))
            if not _put(grown, place, value):
                inner = self._rng.choice([each for each in places(grown) if each])
                holder_of(grown, inner)[inner[-1]] = value
            self._write(grown)

    def _writing(self, tree: dict) -> Any:
        collection = path_of(tree, named=False, namespace="{namespace}")
        return next(each for each in self._operations if each.path == collection and each.method == "post")

    def _mutated(self) -> None:
        for _ in range(CASES_OF_ONE_DRAW):
            self._write(mutate(self._rng.choice(population()), self._rng))
        tree = self._rng.choice(with_statuses())
        self._ask("PUT", f"{path_of(tree, named=True)}/status", tree | mutate({"status": tree["status"]}, self._rng))

    def _write(self, tree: dict) -> None:
        """Create, replace, apply or patch with an object; what is accepted must come back whole, and unchanged by itself."""
        kind, named = tree.get("kind"), isinstance(tree.get("metadata"), dict)
        name = tree["metadata"].get("name") if named else "x"
        try:
            path = path_of(tree, named=False)
        except (KeyError, TypeError, AttributeError, scheme.NotFound):
            path = "/api/v1/namespaces/default/configmaps"
        if named and self._rng.random() < 0.5 and isinstance(name, str):
            tree["metadata"]["name"] = f"{name}-{self._rng.randrange(30)}"
        place = f"{path}/{requests.utils.quote(str(tree.get('metadata', {}).get('name') if named else 'x'), safe='')}"
        strict = "?fieldValidation=Strict"
        match self._rng.randrange(6):
            case 0 | 1:
                answer = self._ask("POST", path + strict, tree)
            case 2:
                answer = self._ask("PUT", place + strict, tree)
            case 3:
                answer = self._ask("PATCH", place + strict, tree, MEDIA[self._rng.choice(["merge", "strategic"])])
            case 4:
                answer = self._ask("PATCH", f"{place}{strict}&fieldManager=fuzz&force=true", tree, MEDIA["apply"])
            case _:
                patch = [
                    {"op": "replace", "path": "/" + "/".join(map(str, each)), "value": holder_of(tree, each)[each[-1]]}
                    for each in self._rng.sample([p for p in places(tree) if p] or [("a",)], 1)
                    if each != ("a",)
                ]
                answer = self._ask("PATCH", place + strict, patch, MEDIA["json-patch"])
                tree = {}
        if answer is None or answer.status_code not in {200, 201} or not tree:
            return
        stored = answer.json()
        request = {
            "method": answer.request.method,
            "url": answer.request.url,
            "headers": dict(answer.request.headers),
            "body": _shown(answer.request.body),
        }
        merged = answer.request.headers["Content-Type"] in {
            MEDIA["strategic"],
            MEDIA["apply"],
        }  # lists grow by their keys
        if not merged and (lost := changed_fields(tree, stored)):
            self._findings.add(f"dropped silently from {kind}", lost[0], {**request, "answer": answer.text[:4000]})
        self._settled(stored, request)

    def _settled(self, stored: dict, request: dict[str, Any]) -> None:
        """What was read can be put back, and changes nothing."""
        place = path_of(stored, named=True)
        again = self._ask("PUT", f"{place}?fieldValidation=Strict", stored)
        if again is None or again.status_code in {404, 409, *BUSY}:
            return
        if again.status_code != 200:
            self._findings.add(f"cannot put back {stored['kind']}", again.text[:300], {**request, "stored": stored})
        elif again.json()["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            self._findings.add(
                f"put back changes {stored['kind']}",
                "a new version",
                {**request, "stored": stored, "after": again.json()},
            )

    def _raw(self) -> None:
        for method, path, headers, body in raw_requests(self._rng, CASES_OF_ONE_DRAW):
            self._exchange(method, path, headers, body)

    # One request

    def _ask(self, method: str, path: str, tree: Any, media: str = "application/json") -> requests.Response | None:
        try:
            body = json.dumps(tree).encode("utf-8")
        except (TypeError, ValueError, UnicodeError):
            return None
        return self._exchange(method, path, {"Content-Type": media}, body)

    def _exchange(self, method: str, path: str, headers: dict[str, str], body: bytes) -> requests.Response | None:
        url = self._rng.choice(self._target.urls) + path
        request = {"method": method, "url": url, "headers": headers, "body": _shown(body)}
        try:
            answer = self._session.request(method, url, data=body, headers=headers, timeout=TIMEOUT_SECONDS)
        except requests.Timeout:
            self._findings.answered("timeout")
            self._findings.add(f"timeout of {method}", path[:100], request)
            return None
        except (requests.RequestException, UnicodeError, ValueError) as error:
            self._findings.answered(f"not sent: {type(error).__name__}")
            return None
        self._judge(
            f"{method} {'/'.join(path.partition('?')[0].split('/')[:7])[:80]}",
            answer.status_code,
            answer.headers,
            answer.content,
            request,
        )
        return answer

    def _judge(self, label: str, code: int, headers: Any, content: bytes, request: dict[str, Any]) -> None:
        """What holds for every answer: no bug of ours, and every refusal a Status that says why."""
        self._findings.answered(code)
        shown = {**request, "answer": content[:2000].decode("utf-8", "replace")}
        if code in BUSY:
            self.busy += 1
            return
        if code >= 500:
            self._findings.add(f"{code} of {label}", content[:200].decode("utf-8", "replace"), shown)
            return
        if code < 400 or code in PLAIN_CODES or request["method"] == "HEAD":
            return
        for problem in status_problems(code, headers.get("Content-Type", ""), content):
            self._findings.add(f"refusal {code} of {label}", problem, shown)


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
    kind = scheme.by_kind(tree["apiVersion"], tree["kind"])
    prefix = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    inner = f"/namespaces/{namespace or tree['metadata'].get('namespace') or 'default'}" if kind.namespaced else ""
    name = f"/{requests.utils.quote(tree['metadata']['name'], safe='')}" if named else ""
    return f"{prefix}{inner}/{kind.plural}{name}"


def _put(tree: dict, place: tuple, value: Any) -> bool:
    """Set a value where a path leads, if all but its last step are there."""
    try:
        holder = holder_of(tree, place)
        holder[place[-1]] = value
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _operations(document: dict[str, Any]) -> Iterator[Any]:
    for made in schemathesis.openapi.from_dict(document).get_all_operations():
        yield made.ok()


def _shown(body: Any) -> str:
    data = body if isinstance(body, bytes) else str(body or "").encode("utf-8", "replace")
    return data[:200_000].decode("utf-8", "surrogateescape")


def again(target: Target, path: Path) -> None:
    """Send a finding's request once more and print the answer."""
    found = json.loads(path.read_text(encoding="utf-8"))
    where = "/" + found["url"].split("/", 3)[3]
    headers = {name: value for name, value in found["headers"].items() if name != "Content-Length"}
    body = found["body"].encode("utf-8", "surrogateescape")
    answer = target.session().request(found["method"], target.urls[0] + where, data=body, headers=headers, timeout=60)
    tell(f"{answer.status_code} {dict(answer.headers)} {answer.text[:3000]}")


def main() -> int:
    """Run, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--cores", type=float, default=1.0, help="of processor time for all of it, on average")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz-rest"), help="for what is found")
    parser.add_argument("--again", type=Path, help="a finding to repeat, on a new lab")
    given_ = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # judged as it stands
    os.nice(10)  # the replicas, too: they would take the machine from whoever works on it
    folder = given_.keep / str(given_.seed)
    tell(f"seed {given_.seed}, {given_.minutes:g} minutes, load {os.getloadavg()[0]:.1f}")
    with running(f"fuzz-{given_.seed % 10**6}-{os.getpid() % 10**4}", folder / "credentials") as target:
        if given_.again:
            again(target, given_.again)
            return 0
        os.nice(9)
        findings = Findings(folder)
        fuzzing = Fuzzing(target, findings, random.Random(given_.seed), Pace(target, given_.cores))
        fuzzing.prepare()
        with suppress(KeyboardInterrupt):
            fuzzing.run(given_.minutes * 60)
        return finish(target, findings, busy=fuzzing.busy)


if __name__ == "__main__":
    raise SystemExit(main())
