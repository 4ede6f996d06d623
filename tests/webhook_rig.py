"""A webhook over real HTTPS, asked by a core behind the real HTTPS API."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager

from controlplane.apiserver.backends import choose
from controlplane.apiserver.pod_network import PodNetwork
from controlplane.apiserver.webhook_calls import WebhookCalls
from controlplane.audit.log import AuditLog
from controlplane.audit.policy import policy_of
from tests.api_server import make_env, pod
from tests.local_pods import LocalPods
from tests.rest_server import serving_rest
from tests.waiting import eventually
from tests.webhook_server import (
    PODS_RULE,
    allow,
    hook,
    mutating,
    serving_webhooks,
    validating,
)

PODS = "/api/v1/namespaces/default/pods"
MERGE = {"Content-Type": "application/merge-patch+json"}
GROUP = "/apis/admissionregistration.k8s.io/v1"


class Rig:
    """The API, the webhook, and configurations for it."""

    def __init__(self, rest, server, streams, events):
        self.rest, self.server, self.streams, self.events = rest, server, streams, events
        self.core, self.local = rest.cluster.core, rest.cluster.local

    async def configure(self, tree):
        plural = f"{tree['kind'].lower()}s"
        answer = await self.rest.ask("POST", f"{GROUP}/{plural}", tree)
        assert answer.status == 201, answer.text

    async def mutate(self, path="/mutate", answer=allow, *rules, **more):
        """One mutating webhook at a path, asked about new pods and changes of them unless rules say otherwise."""
        self.server.answers[path] = answer
        name, rules = path.strip("/"), rules or [PODS_RULE | {"operations": ["CREATE", "UPDATE"]}]
        await self.configure(mutating(name, hook(name, self.server.client(path), *rules, **more)))

    async def validate(self, path="/validate", answer=allow, *rules, **more):
        """One validating webhook at a path."""
        self.server.answers[path] = answer
        name = path.strip("/")
        await self.configure(validating(name, hook(name, self.server.client(path), *rules, **more)))

    async def told(self, code):
        """The annotations of a create of a pod that ended so, once the audit log has it."""

        def found():
            return [
                event.notes
                for event in self.events
                if (event.asked.resource, event.asked.verb, event.code) == ("pods", "create", code)
            ]

        await eventually(found)
        return found()[0]

    async def create(self, tree=None, query=""):
        return await self.rest.ask("POST", PODS + query, tree or pod("web"))


@asynccontextmanager
async def serving_rig(tmp_path):
    """Yield a Rig."""
    streams = LocalPods()
    network = None
    calls = WebhookCalls(lambda: network)
    events = []
    audit = AuditLog(policy_of("Metadata"), events.append, make_env())
    async with serving_webhooks(tmp_path) as server, serving_rest(tmp_path, streams, audit, webhooks=calls) as rest:
        state, rng = rest.cluster.replica, random.Random(1)
        network = PodNetwork(streams, lambda *place: choose(state.state, *place, rng))
        streams.port = server.port
        yield Rig(rest, server, streams, events)
        await calls.close()
        await network.close()
        assert streams.open == 0, "connections into pods are left over"
