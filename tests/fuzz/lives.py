"""Lives of objects over HTTPS, from create to delete: every step uses what the last one answered, and says what must follow.

Controllers change objects meanwhile, and so may the other sources of requests: a refusal that names a newer version is no finding.
"""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import requests

from tests.crontabs import crontab
from tests.fuzz.asking import BUSY, MEDIA, STRICT, Asker, path_of
from tests.fuzz.trees import mutate

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
STEPS = 8

Answer = requests.Response | None


class Life:
    """One object while it exists."""

    def __init__(self, asker: Asker, trees: list[dict], statuses: list[dict]) -> None:
        self._asker, self._rng = asker, asker.rng
        self._statuses = {each["kind"]: each["status"] for each in statuses}
        self._born = copy.deepcopy(self._rng.choice(trees))
        self._born["metadata"]["name"] = f"life-{self._rng.getrandbits(40):x}"
        self._place = path_of(self._born, named=True)
        self._last: dict[str, Any] = {}

    def run(self) -> None:
        """Create it, let it be changed, delete it."""
        made = self._asker.ask("POST", path_of(self._born, named=False) + STRICT, self._born)
        if made is None or made.status_code != 201:
            return
        self._last = made.json()
        steps = [getattr(self, name) for name in dir(self) if name.startswith("step_")]
        for step in self._rng.choices(steps, k=STEPS):
            step()
        self._end()

    # What may be done to it

    def step_read(self) -> None:
        """Every replica shows the same object at the same version."""
        seen = {}
        for _ in self._asker.target.urls:
            if tree := self._got(self._asker.ask("GET", self._place, None)):
                self._same(tree["metadata"]["resourceVersion"], tree, seen)
                self._last = tree

    def _same(self, version: str, tree: dict, seen: dict) -> None:
        if seen.setdefault(version, tree) != tree:
            self._wrong("differs between replicas", json.dumps([seen[version], tree])[:3000])

    def step_merge(self) -> None:
        """A label, with the version that was read."""
        value = f"v{self._rng.randrange(1000)}"
        version = self._last["metadata"]["resourceVersion"]
        patch = {"metadata": {"labels": {"life": value}, "resourceVersion": version}}
        form = self._rng.choice(["merge", "strategic"])
        changed = self._changed(self._asker.ask("PATCH", self._place, patch, MEDIA[form]), f"{form} patch")
        if changed and changed["metadata"]["labels"].get("life") != value:
            self._wrong("a patch was dropped", json.dumps(changed)[:2000])

    def step_stale(self) -> None:
        """A version that is none of its own is refused."""
        patch = {"metadata": {"labels": {"stale": "yes"}, "resourceVersion": "1"}}
        answer = self._asker.ask("PATCH", self._place, patch, MEDIA["merge"])
        if answer is not None and answer.status_code not in {409, 404, 422, *BUSY}:
            self._wrong("a stale patch", f"{answer.status_code} {answer.text[:500]}")

    def step_json_patch(self) -> None:
        """A test that fails changes nothing; one that holds lets the rest happen."""
        version = self._last["metadata"]["resourceVersion"]
        holds = self._rng.random() < 0.5
        patch = [
            {"op": "test", "path": "/metadata/name", "value": self._born["metadata"]["name"] if holds else "other"},
            {"op": "add", "path": "/metadata/annotations", "value": {"life": version}},
        ]
        answer = self._asker.ask("PATCH", self._place, patch, MEDIA["json-patch"])
        if holds:
            self._changed(answer, "JSON patch")
        elif answer is not None and answer.status_code not in {400, 422, 404, 409, *BUSY}:
            self._wrong("a JSON patch whose test fails", f"{answer.status_code} {answer.text[:500]}")

    def step_apply(self) -> None:
        """Two managers of one label: the second one is told, unless it forces."""
        for manager, force in (("one", True), ("two", False), ("two", True)):
            tree = {name: self._born[name] for name in ("apiVersion", "kind")}
            tree["metadata"] = {"name": self._born["metadata"]["name"], "labels": {"owned": manager}}
            where = f"{self._place}?fieldManager={manager}&force={str(force).lower()}"
            answer = self._asker.ask("PATCH", where, tree, MEDIA["apply"])
            if answer is not None and answer.status_code == 409 and not force:
                causes = answer.json().get("details", {}).get("causes", [])
                if "resourceVersion" not in answer.text and not any("owned" in str(each) for each in causes):
                    self._wrong("a conflict without its field", answer.text[:1000])
            elif answer is not None and answer.status_code == 200:
                self._last = answer.json()

    def step_replace(self) -> None:
        """What was read, with one change anywhere."""
        tree = mutate({name: value for name, value in self._last.items() if name != "metadata"}, self._rng)
        answer = self._asker.ask("PUT", self._place + STRICT, tree | {"metadata": self._last["metadata"]})
        self._changed(answer, "PUT")

    def step_status(self) -> None:
        """A status changes neither the rest nor the generation."""
        status = self._statuses.get(self._born["kind"])
        if status is None:
            return
        before = self._last
        sent = {**before, "status": mutate({"status": status}, self._rng).get("status"), "spec": {}}
        changed = self._changed(self._asker.ask("PUT", f"{self._place}/status", sent), "status")
        if changed and changed["metadata"].get("generation") != before["metadata"].get("generation"):
            self._wrong("a status raised the generation", json.dumps([before, changed])[:3000])
        elif changed and changed.get("spec") != before.get("spec"):
            self._wrong("a status changed the spec", json.dumps([before, changed])[:3000])

    def step_scale(self) -> None:
        """The number of replicas, by its subresource."""
        if self._born["kind"] not in {"Deployment", "ReplicaSet", "CronTab"}:
            return
        number = self._rng.randrange(1, 4)
        answer = self._asker.ask("PATCH", f"{self._place}/scale", {"spec": {"replicas": number}}, MEDIA["merge"])
        tree = self._got(answer)
        if tree and (tree.get("kind") != "Scale" or tree["spec"]["replicas"] != number):
            self._wrong("scale", answer.text[:1000] if answer is not None else "")
        self.step_read()

    def step_dry(self) -> None:
        """What is only tried leaves no trace."""
        patch = {"metadata": {"annotations": {"dry": "yes"}}}
        self._asker.ask("PATCH", f"{self._place}?dryRun=All", patch, MEDIA["merge"])
        self._asker.ask("DELETE", f"{self._place}?dryRun=All", None)
        tree = self._got(self._asker.ask("GET", self._place, None))
        if tree and "dry" in tree["metadata"].get("annotations", {}):
            self._wrong("a dry run was stored", json.dumps(tree)[:1000])

    def step_views(self) -> None:
        """Tables have as many cells as columns; a part is that of the whole."""
        table = self._got(self._asker.ask("GET", self._place, None, accept=TABLE))
        if table and any(len(row["cells"]) != len(table["columnDefinitions"]) for row in table["rows"]):
            self._wrong("a table", json.dumps(table)[:2000])
        part = self._got(self._asker.ask("GET", self._place, None, accept=PARTIAL))
        if part and (part["kind"] != "PartialObjectMetadata" or part["metadata"]["uid"] != self._uid):
            self._wrong("metadata alone", json.dumps(part)[:2000])

    def step_find(self) -> None:
        """Lists that select it have it once, whole or in pages."""
        name = self._born["metadata"]["name"]
        collection = path_of(self._born, named=False)
        found = self._got(self._asker.ask("GET", f"{collection}?fieldSelector=metadata.name%3D{name}", None))
        if found and [each["metadata"]["name"] for each in found["items"]] != [name]:
            self._wrong("a field selector", json.dumps(found)[:2000])
        names: list[str] = []
        more = "?limit=7"
        while more and len(names) < 2000:
            page = self._got(self._asker.ask("GET", collection + more, None))
            if not page:
                return
            names += [each["metadata"]["name"] for each in page["items"]]
            token = page["metadata"].get("continue", "")
            more = f"?limit=7&continue={requests.utils.quote(token, safe='')}" if token else ""
        if names.count(name) != 1 or names != sorted(set(names)):
            self._wrong("a list in pages", f"{name} of {names}"[:3000])

    def step_token(self) -> None:
        """A token for the next page that somebody changed is refused, or shows a page."""
        page = self._got(self._asker.ask("GET", f"{path_of(self._born, named=False)}?limit=1", None))
        token = page["metadata"].get("continue", "") if page else ""
        if not token:
            return
        data = bytearray(base64.urlsafe_b64decode(token + "==="))
        data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
        sent = base64.urlsafe_b64encode(bytes(data)).decode()
        self._asker.ask("GET", f"{path_of(self._born, named=False)}?limit=1&continue={sent}", None)

    def step_managed(self) -> None:
        """Managed fields as no server writes them."""
        entry = {
            "manager": "x",
            "operation": "Update",
            "apiVersion": self._born["apiVersion"],
            "time": "2030-01-01T00:00:00Z",
        }
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}}
        fields = mutate({"all": [entry]}, self._rng).get("all")
        self._changed(
            self._asker.ask("PATCH", self._place, {"metadata": {"managedFields": fields}}, MEDIA["merge"]),
            "managed fields",
        )

    def step_watch(self) -> None:
        """From the version of its birth on, a watch tells of it, oldest first."""
        where = f"{path_of(self._born, named=False)}?watch=1&timeoutSeconds=1&resourceVersion=0"
        name = self._born["metadata"]["name"]
        answer = self._asker.ask("GET", f"{where}&fieldSelector=metadata.name%3D{name}", None)
        if answer is None or answer.status_code != 200:
            return
        events = [json.loads(line) for line in answer.text.splitlines()]
        versions = [int(each["object"]["metadata"]["resourceVersion"]) for each in events if each["type"] != "ERROR"]
        if versions != sorted(versions) or not versions:
            self._wrong("a watch", answer.text[:2000])

    # What must follow

    @property
    def _uid(self) -> str:
        return str(self._last["metadata"]["uid"])

    def _end(self) -> None:
        wrong = self._asker.ask(
            "DELETE", self._place, {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}
        )
        if wrong is not None and wrong.status_code not in {409, 404, *BUSY}:
            self._wrong("a delete of another", f"{wrong.status_code} {wrong.text[:500]}")
        self._asker.ask("DELETE", self._place, {"gracePeriodSeconds": 0, "preconditions": {"uid": self._uid}})
        for _ in range(5):
            left = self._asker.ask("GET", self._place, None)
            if left is None or left.status_code != 200:
                return
            metadata = left.json()["metadata"]
            if metadata["uid"] != self._uid:
                return
            if not metadata.get("deletionTimestamp"):
                self._wrong("not deleted", left.text[:2000])
                return
            self._asker.ask("PATCH", self._place, {"metadata": {"finalizers": None}}, MEDIA["merge"])
            self._asker.ask("DELETE", self._place, {"gracePeriodSeconds": 0})

    def _got(self, answer: Answer) -> dict[str, Any]:
        return dict(answer.json()) if answer is not None and answer.status_code == 200 else {}

    def _changed(self, answer: Answer, what: str) -> dict[str, Any]:
        """The object after a write, which is the same one, at a version that is not older; {} when it was refused."""
        tree = self._got(answer)
        if not tree:
            return {}
        before, after = self._last["metadata"], tree["metadata"]
        for name in ("uid", "name", "creationTimestamp"):
            if before[name] != after[name]:
                self._wrong(f"{what} changed {name}", json.dumps([before, after])[:2000])
        if int(after["resourceVersion"]) < int(before["resourceVersion"]):
            self._wrong(f"{what} went back", json.dumps([before, after])[:2000])
        self._last = tree
        return tree

    def _wrong(self, what: str, text: str) -> None:
        kind = self._born["kind"]
        self._asker.findings.add(
            f"life of {kind}: {what}", text, {"method": "GET", "url": self._place, "born": self._born}
        )


def living(trees: list[dict]) -> list[dict]:
    """Those objects that may have any name, and two of a custom kind."""
    bound_to_names = {"CustomResourceDefinition", "Event", "Namespace", "Node"}
    return [*(each for each in trees if each["kind"] not in bound_to_names), crontab(), crontab(replicas=2, image="a")]
