"""An operator written with kopf, unmodified and in a process of its own: it sees, marks, follows and lets go of objects."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest
import yaml

from api.object import at
from tests.api_server import NoStreams
from tests.crontabs import crontab, definition
from tests.rest_server import serving_rest
from tests.waiting import DEADLINE_SECONDS, POLL_SECONDS

pytestmark = pytest.mark.slow

CRONTABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"
OPERATOR = """
import kopf

@kopf.on.create("stable.example.com", "v1", "crontabs")
def created(spec, body, **_):
    kopf.info(body, reason="Seen", message="it is there")
    return {"made": spec["cronSpec"]}

@kopf.on.update("stable.example.com", "v1", "crontabs")
def updated(spec, patch, **_):
    patch.status["replicas"] = spec["replicas"]

@kopf.on.delete("stable.example.com", "v1", "crontabs")
def deleted(name, **_):
    open(f"{name}.gone", "w").close()
"""
PEERINGS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "clusterkopfpeerings.kopf.dev"},
    "spec": {
        "scope": "Cluster",
        "group": "kopf.dev",
        "names": {"kind": "ClusterKopfPeering", "plural": "clusterkopfpeerings", "singular": "clusterkopfpeering"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@asynccontextmanager
async def operator(rest, folder, *options):
    """The operator, running."""
    source, kubeconfig = folder / "crontabs_operator.py", folder / "kopf.conf"
    source.write_text(OPERATOR)
    chosen = yaml.safe_load(rest.kubeconfig().read_text())
    cluster = chosen["clusters"][0]["cluster"]
    cluster.pop("tls-server-name")  # kopf knows a server by its address only, which is in no certificate here
    cluster.pop("certificate-authority-data")
    cluster["insecure-skip-tls-verify"] = True
    kubeconfig.write_text(yaml.safe_dump(chosen))
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "KUBECONFIG": str(kubeconfig)}
    with (folder / "kopf.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "kopf",
            "run",
            "-A",
            *options,
            str(source),
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.mark.parametrize("options", [["--standalone"], ["--peering", "default"]], ids=["standalone", "peering"])
async def test_an_operator_follows_an_object_from_its_creation_to_its_end(tmp_path, options):
    async with serving_rest(tmp_path, NoStreams()) as rest, asyncio.timeout(3 * DEADLINE_SECONDS):
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for each in (definition(), PEERINGS):
            assert (await rest.ask("POST", definitions, each)).status == 201
        peering = {"apiVersion": "kopf.dev/v1", "kind": "ClusterKopfPeering", "metadata": {"name": "default"}}
        assert (await rest.ask("POST", "/apis/kopf.dev/v1/clusterkopfpeerings", peering)).status == 201
        assert (await rest.ask("POST", CRONTABS, crontab())).status == 201

        async def awaited(holds):
            """Poll the object until it is as it should be."""
            while not holds((await rest.ask("GET", f"{CRONTABS}/a")).tree):
                await asyncio.sleep(POLL_SECONDS)

        async with operator(rest, tmp_path, *options):
            await awaited(lambda tree: at(tree, "status.created.made") == "* * * * */5")
            patch = {"headers": {"Content-Type": "application/merge-patch+json"}}
            assert (await rest.ask("PATCH", f"{CRONTABS}/a", {"spec": {"replicas": 3}}, **patch)).status == 200
            await awaited(lambda tree: at(tree, "status.replicas", 0) == 3)
            marked = (await rest.ask("DELETE", f"{CRONTABS}/a")).tree
            assert marked["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
            await awaited(lambda tree: tree.get("reason") == "NotFound")
            assert (tmp_path / "a.gone").exists()
            events = (await rest.ask("GET", "/api/v1/namespaces/default/events")).tree["items"]
            while "Seen" not in [each["reason"] for each in events]:  # posted on the side
                await asyncio.sleep(POLL_SECONDS)
                events = (await rest.ask("GET", "/api/v1/namespaces/default/events")).tree["items"]
