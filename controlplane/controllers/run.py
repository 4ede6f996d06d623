"""Everything the leading replica runs: caches, controllers, scheduler, events, as one structured group of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api.scheme import Scheme
from component.client import ApiClient
from component.env import Env
from component.informer import Informer
from component.tasks import run_together
from controlplane.controllers import root_certificate, service_account
from controlplane.controllers.aggregation import AggregationController
from controlplane.controllers.caches import Caches
from controlplane.controllers.custom_kinds import CustomKinds
from controlplane.controllers.definition import DefinitionController
from controlplane.controllers.deployment import DeploymentController
from controlplane.controllers.endpoints import EndpointsController
from controlplane.controllers.endpointslice import EndpointSliceController
from controlplane.controllers.events import EventWriter, expire_events
from controlplane.controllers.garbage import GarbageCollector
from controlplane.controllers.heartbeats import NodeAges, NodeLifecycleController
from controlplane.controllers.kubernetes_service import KubernetesServiceController
from controlplane.controllers.loop import RESYNC_SECONDS, Controller, ControllerLoop
from controlplane.controllers.namespace import NamespaceController
from controlplane.controllers.pod_gc import PodCollector
from controlplane.controllers.replicaset import ReplicaSetController
from controlplane.controllers.turns import Turns
from controlplane.scheduler.loop import Scheduler

REPLICAS_SECONDS = 10.0  # no event says that the replicas are other ones
GARBAGE_WORKERS = 32  # its keys are single dependents


async def run_all(
    client: ApiClient, env: Env, ages: NodeAges, replica_addresses: Callable[[], Sequence[str]], ca_pem: str
) -> None:
    """Run until cancelled, which is what loss of leadership means; nothing outlives the call.

    `client` acts with the leader's epoch, `ages` tells when nodes were last heard, `replica_addresses` the
    host:port of every replica's HTTPS, and `ca_pem` is by whom pods know the API. Raises only what is our own bug.
    """
    caches = Caches(client, env)
    turns = Turns(env)
    events = EventWriter(client, env, turns)

    def loop_of(
        controller: Controller, workers: int | None = None, resync_seconds: float = RESYNC_SECONDS
    ) -> ControllerLoop:
        recorder = events.recorder(f"{controller.name}-controller")
        return ControllerLoop(controller, client, env, recorder, turns, workers=workers, resync_seconds=resync_seconds)

    node_lifecycle = NodeLifecycleController(caches.nodes, caches.pods, ages, env)
    node_loop = loop_of(node_lifecycle)
    everything = list(caches.by_resource.values())
    loops = [
        loop_of(DeploymentController(caches.deployments, caches.replica_sets, caches.pods, env)),
        loop_of(ReplicaSetController(caches.replica_sets, caches.pods, env)),
        loop_of(EndpointSliceController(caches.services, caches.pods, caches.slices, caches.nodes)),
        loop_of(EndpointsController(caches.services, caches.endpoints, caches.slices, env)),
        loop_of(
            KubernetesServiceController(caches.slices, caches.endpoints, replica_addresses),
            resync_seconds=REPLICAS_SECONDS,
        ),
        loop_of(DefinitionController(client, caches.definitions)),
        loop_of(PodCollector(client, caches.pods, caches.nodes)),
        loop_of(service_account.controller(caches.namespaces, caches.service_accounts)),
        loop_of(AggregationController(caches.cluster_roles)),
        loop_of(root_certificate.controller(caches.namespaces, caches.root_certificates, ca_pem)),
        node_loop,
    ]

    def of_all_kinds(kinds: Scheme, cached: Mapping[str, Informer[Any]]) -> Sequence[ControllerLoop]:
        return [
            loop_of(NamespaceController(client, caches.namespaces, list(cached.values()), kinds)),
            loop_of(GarbageCollector(client, cached, kinds), GARBAGE_WORKERS),
        ]

    custom_kinds = CustomKinds(client, env, caches.definitions, caches.by_resource, of_all_kinds)
    scheduler = Scheduler(client, env, caches.pods, caches.nodes, events.recorder("default-scheduler"))
    try:
        await run_together(
            *(informer.run() for informer in (*everything, caches.root_certificates)),
            *(loop.run() for loop in loops),
            custom_kinds.run(),
            node_lifecycle.follow_heartbeats(node_loop.add),
            scheduler.run(),
            events.run(),
            expire_events(client, env),
        )
    finally:
        for informer in (*everything, caches.root_certificates):
            await informer.forget()
