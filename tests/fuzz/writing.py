"""Objects that are written in every way there is: what is accepted comes back whole, and unchanged by itself."""

from __future__ import annotations

from typing import Any

import requests

from api import scheme
from tests.fuzz.asking import BUSY, MEDIA, STRICT, Asker, path_of, shown
from tests.fuzz.kept import changed_fields
from tests.fuzz.trees import holder_of, places


class Writer:
    """Writes and reads again."""

    def __init__(self, asker: Asker) -> None:
        self._asker, self._rng, self._findings = asker, asker.rng, asker.findings

    def write(self, tree: dict) -> None:
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
        match self._rng.randrange(6):
            case 0 | 1:
                answer = self._asker.ask("POST", path + STRICT, tree)
            case 2:
                answer = self._asker.ask("PUT", place + STRICT, tree)
            case 3:
                answer = self._asker.ask("PATCH", place + STRICT, tree, MEDIA[self._rng.choice(["merge", "strategic"])])
            case 4:
                answer = self._asker.ask("PATCH", f"{place}{STRICT}&fieldManager=fuzz&force=true", tree, MEDIA["apply"])
            case _:
                patch = [
                    {"op": "replace", "path": "/" + "/".join(map(str, each)), "value": holder_of(tree, each)[each[-1]]}
                    for each in self._rng.sample([p for p in places(tree) if p] or [("a",)], 1)
                    if each != ("a",)
                ]
                answer = self._asker.ask("PATCH", place + STRICT, patch, MEDIA["json-patch"])
                tree = {}
        if answer is None or answer.status_code not in {200, 201} or not tree:
            return
        stored = answer.json()
        request = {
            "method": answer.request.method,
            "url": answer.request.url,
            "headers": dict(answer.request.headers),
            "body": shown(answer.request.body),
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
        again = self._asker.ask("PUT", f"{place}{STRICT}", stored)
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
