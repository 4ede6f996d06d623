"""Fuzzes the HTTPS API of a lab of three replicas, from its own OpenAPI: `python -m tests.fuzz.rest --minutes 10`.

Needs root and schemathesis (the extra `fuzz`), which draws requests for every operation of every document, fit and unfit, in
a process of its own (`drawing`); most are sent to objects that exist. What it drew is changed and sent again, and parts of it
grow into valid objects, since random words seldom make one (`writing`). Requests that no schema has (`raw`), whole lives of objects
(`lives`) and objects that webhooks are asked about, which answer anything (`hooks`), come beside.
Each kind of finding is written once, with the request that led to it; `--again FILE` sends that request again.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from schemathesis.core.failures import FailureGroup
from schemathesis.openapi.checks import JsonSchemaError
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests import crontabs
from tests.fuzz.asking import BUSY, TIMEOUT_SECONDS, Asker, path_of, shown
from tests.fuzz.command_line import begin
from tests.fuzz.drawing import PARTS, Drawer, operations
from tests.fuzz.findings import Findings, tell
from tests.fuzz.hooks import HookClient, Hooked, serving
from tests.fuzz.lives import Life, living
from tests.fuzz.raw import raw_requests
from tests.fuzz.target import Pace, Target, finish, running
from tests.fuzz.trees import holder_of, mutate, places, population
from tests.fuzz.writing import Writer
from tests.waiting import wait_until
from tests.whole_objects import with_statuses

CASES_OF_ONE_DRAW = 4
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
NAMESPACES = ("default", "fuzz", "kube-system", "missing")


class Fuzzing:
    """One run against one target."""

    def __init__(self, target: Target, findings: Findings, rng: random.Random, pace: Pace, client: HookClient) -> None:
        self._target, self._findings, self._rng, self._pace = target, findings, rng, pace
        self.asker = Asker(target, findings, rng)
        self._writer = Writer(self.asker)
        self._hooked = Hooked(self.asker, client)
        self._operations: dict[str, Any] = {}
        self._population = population()
        self._statuses = with_statuses()
        self._living = living(self._population)
        self._names: dict[str, list[str]] = {}

    def _index(self, url: str) -> dict[str, Any]:
        return self.asker.session.get(f"{url}/openapi/v3", timeout=60).json()["paths"]

    def _tell_of_the_custom_kind(self) -> bool:
        """Whether all replicas do."""
        return all(f"apis/{crontabs.API_VERSION}" in self._index(url) for url in self._target.urls)

    def _documents(self) -> Iterator[dict[str, Any]]:
        url = self._target.urls[0]
        for each in self._index(url).values():
            yield self.asker.session.get(url + each["serverRelativeURL"], timeout=60).json()

    def prepare(self) -> None:
        """Things to find: a namespace, one object of every kind, and a custom kind; then the operations that there are."""
        self.asker.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "fuzz"}})
        self._hooked.prepare()
        for tree in self._population:
            self.asker.ask("POST", path_of(tree, named=False), tree)
        wait_until(self._tell_of_the_custom_kind)
        documents = list(self._documents())
        self._operations = {each.label: each for each in operations(documents)}
        self._drawer = Drawer(documents, self._rng)
        self._target.helpers.append(self._drawer.pid)

    def _live(self) -> None:
        Life(self.asker, self._living, self._statuses).run()

    def run(self, seconds: float) -> None:
        """Draw, send and judge until the time is over."""
        end_time = time.monotonic() + seconds
        sources: list[Callable[[], None]] = [self._from_schema, self._redrawn, self._grafted, self._mutated, self._raw]
        sources = [*sources * 2, self._live, self._live, self._hooked.write]  # webhooks take their time
        told_time = time.monotonic()
        while time.monotonic() < end_time:
            self._rng.choice(sources)()
            self._pace.rest()
            if time.monotonic() - told_time > 60:
                told_time = time.monotonic()
                self._look_around()

    def close(self) -> None:
        """No more drawing."""
        self._drawer.close()

    def _look_around(self) -> None:
        for line in self._target.trouble():
            self._findings.add("processes", line, {})
        self._names.clear()
        tell(f"{self._findings.cases} cases, {self._drawer.drawn} drawn; {self._target.probes.line()}")

    # Sources of requests

    def _from_schema(self) -> None:
        for _ in range(CASES_OF_ONE_DRAW):
            drawn = self._drawer.fresh() or self._drawer.kept()
            if drawn is None:
                return
            case = self._case(*drawn)
            self._aim(case)
            self._send(case)

    def _redrawn(self) -> None:
        for _ in range(CASES_OF_ONE_DRAW):
            drawn = self._drawer.kept()
            if drawn is None:
                return
            label, parts = drawn
            inner = {name: parts[name] for name in ("query", "body") if name in parts}
            case = self._case(label, parts | mutate(inner, self._rng))
            self._aim(case)
            self._send(case)

    def _case(self, label: str, parts: dict[str, Any]) -> Any:
        known = {name: parts[name] for name in PARTS if name in parts}
        if not isinstance(known.get("query", {}), dict):
            del known["query"]
        known["headers"] = {str(key): str(value) for key, value in known.get("headers", {}).items()}
        return self._operations[label].Case(**known)

    def _aim(self, case: Any) -> None:
        """Let the path lead to something that exists, mostly; watches end soon."""
        parameters = case.path_parameters or {}
        if "namespace" in parameters and self._rng.random() < 0.8:
            parameters["namespace"] = self._rng.choice(NAMESPACES)
        if "name" in parameters and self._rng.random() < 0.8:
            parameters["name"] = self._rng.choice(self._known(case.operation.path) or ["web"])
        query = case.query or {}
        if str(query.get("watch", "0")).lower() not in {"false", "0"} or "/watch/" in case.operation.path:
            query["timeoutSeconds"] = 1
        if "follow" in query:
            query["follow"] = "false"
        case.path_parameters, case.query = parameters, query

    def _known(self, path: str) -> list[str]:
        collection = path.partition("/{name}")[0].replace("/{namespace}", "/default")
        if collection not in self._names:
            answer = self.asker.session.get(self._target.urls[0] + collection, timeout=TIMEOUT_SECONDS)
            items = answer.json().get("items", []) if answer.status_code == 200 else []
            self._names[collection] = [item["metadata"]["name"] for item in items][:50]
        return self._names[collection]

    def _send(self, case: Any) -> None:
        url = self._rng.choice(self._target.urls)
        request = {"method": case.method, "label": case.operation.label}
        try:
            answer = case.call(
                base_url=url,
                session=self.asker.session,
                timeout=TIMEOUT_SECONDS,
                verify=self.asker.session.verify,
                cert=self.asker.session.cert,
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
        request |= {"url": sent.url, "headers": dict(sent.headers), "body": shown(sent.body)}
        streamed = (
            str((case.query or {}).get("watch", "0")).lower() not in {"false", "0"} or "/watch/" in case.operation.path
        )
        self.asker.judge(case.operation.label, answer.status_code, answer.headers, answer.content, request)
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
        tree = self._rng.choice(self._population)
        drawn = self._drawer.kept(f"POST {path_of(tree, named=False, namespace='{namespace}')}")
        body = drawn[1].get("body") if drawn else None
        donors = [place for place in places(body) if place]
        for _ in range(CASES_OF_ONE_DRAW if donors else 0):
            place = self._rng.choice(donors)
            value = holder_of(body, place)[place[-1]]
            grown = json.loads(json.dumps(tree))
            if not _put(grown, place, value):
                inner = self._rng.choice([each for each in places(grown) if each])
                holder_of(grown, inner)[inner[-1]] = value
            self._writer.write(grown)

    def _mutated(self) -> None:
        for _ in range(CASES_OF_ONE_DRAW):
            self._writer.write(mutate(self._rng.choice(self._population), self._rng))
        tree = self._rng.choice(self._statuses)
        self.asker.ask(
            "PUT", f"{path_of(tree, named=True)}/status", tree | mutate({"status": tree["status"]}, self._rng)
        )

    def _raw(self) -> None:
        for method, path, headers, body in raw_requests(self._rng, CASES_OF_ONE_DRAW):
            self.asker.exchange(method, path, headers, body)


def _put(tree: dict, place: tuple, value: Any) -> bool:
    """Set a value where a path leads, if all but its last step are there."""
    try:
        holder = holder_of(tree, place)
        holder[place[-1]] = value
    except (KeyError, IndexError, TypeError):
        return False
    return True


def again(target: Target, path: Path) -> None:
    """Send a finding's request once more and print the answer."""
    found = json.loads(path.read_text(encoding="utf-8"))
    where = "/" + found["url"].split("/", 3)[3]
    headers = {name: value for name, value in found.get("headers", {}).items() if name != "Content-Length"}
    body = found.get("body", "").encode("utf-8", "surrogateescape")
    answer = target.session().request(found["method"], target.urls[0] + where, data=body, headers=headers, timeout=60)
    tell(f"{answer.status_code} {dict(answer.headers)} {answer.text[:3000]}")


def main() -> int:
    """Run, print, and tell by the exit code."""
    given = begin(__doc__, Path("build/fuzz-rest"))
    with running(f"fuzz-{given.seed % 10**6}-{os.getpid() % 10**4}", given.folder / "credentials") as target:
        if given.again:
            again(target, given.again)
            return 0
        os.nice(3)
        findings = Findings(given.folder)
        rng = random.Random(given.seed)
        with serving(target.lab.gateway, given.folder / "hook", random.Random(given.seed)) as client:
            fuzzing = Fuzzing(target, findings, rng, Pace(target, given.cores), client)
            fuzzing.prepare()
            with suppress(KeyboardInterrupt):
                fuzzing.run(given.minutes * 60)
            fuzzing.close()
        return finish(target, findings, busy=fuzzing.asker.busy)


if __name__ == "__main__":
    raise SystemExit(main())
