"""Everything the leading replica runs: caches, controllers, scheduler, events, as one structured group of tasks."""

from __future__ import annotations

from collections.abc import Sequence

from component.client import ApiClient
from component.env import Env
from controlplane.controllers.caches import Caches
from controlplane.controllers.deployment import DeploymentController
from controlplane.controllers.endpointslice import EndpointSliceController
from controlplane.controllers.events import EventWriter, expire_events
from controlplane.controllers.loop import Controller, ControllerLoop
from controlplane.controllers.replicaset import ReplicaSetController
from controlplane.controllers.tasks import run_together
from controlplane.scheduler.loop import Scheduler


async def run_all(client: ApiClient, env: Env) -> None:
    """Run until cancelled, which is what loss of leadership means; nothing outlives the call."""
    caches = Caches(client, env)
    events = EventWriter(client, env)
    controllers: Sequence[Controller] = (
        DeploymentController(caches.deployments, caches.replica_sets, caches.pods, env),
        ReplicaSetController(caches.replica_sets, caches.pods, env),
        EndpointSliceController(caches.services, caches.pods, caches.slices, caches.nodes),
    )
    loops = [
        ControllerLoop(controller, client, env, events.recorder(f"{controller.name}-controller"))
        for controller in controllers
    ]
    scheduler = Scheduler(client, env, caches.pods, caches.nodes, events.recorder("default-scheduler"))
    await run_together(
        *(informer.run() for informer in caches.by_resource.values()),
        *(loop.run() for loop in loops),
        scheduler.run(),
        events.run(),
        expire_events(client, env),
    )
