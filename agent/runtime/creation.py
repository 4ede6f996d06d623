"""Creating and deleting containers so that neither a repeated call nor a killed Podman leaves two, or half of one.

Podman's create is not idempotent: a name that is taken is an error, and a service killed during create may leave a
container it does not know itself, only its storage (inspect says 404, create says the name is in use).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import structlog

from agent.runtime.containers import Inspected
from agent.runtime.http import PodmanError, PodmanHttp
from agent.runtime.protocol import ContainerSpec, RuntimeFailure
from agent.runtime.spec import LABEL_POD_UID, belongs_to, container_name
from agent.runtime.tracking import ContainerTracker

DELETE_ATTEMPTS = 4
_FIRST_DELAY_SECONDS = 0.02

log = structlog.get_logger()


class ContainerCreator:
    """Makes and deletes the containers of one Podman."""

    def __init__(self, http: PodmanHttp, tracker: ContainerTracker) -> None:
        self._http = http
        self._tracker = tracker

    async def create(self, spec: ContainerSpec, body: Mapping[str, Any]) -> Inspected:
        """Create, adopt an equal one, or replace one of the same name with another spec hash.

        Raises RuntimeFailure with reason CreateContainerError.
        """
        name = container_name(spec.pod_uid, spec.name, spec.attempt)
        try:
            await self._http.call("POST", "/containers/create", body=body)
        except PodmanError as first:
            existing = await self._tracker.inspect(name)
            if existing is not None and existing.container.spec_hash == spec.spec_hash:
                log.info("container_adopted", pod_uid=spec.pod_uid, container=spec.name, attempt=spec.attempt)
                return existing
            if existing is None and "already in use" not in str(first):
                raise _failure(spec, first) from first
            await self.delete(name)
            try:
                await self._http.call("POST", "/containers/create", body=body)
            except PodmanError as second:
                raise _failure(spec, second) from second
        created = await self._tracker.inspect(name)
        if created is None:
            raise RuntimeFailure(f"container {name} vanished after its creation", reason="CreateContainerError")
        return created

    async def delete(self, name_or_id: str) -> None:
        """Force removal, volumes included; one that is gone does not matter. Raises PodmanError.

        Repeated, since it may collide with Podman's own clean-up of the same container.
        """
        query = {"force": "true", "timeout": "0", "volumes": "true"}  # the "v" of the documentation is Docker's
        for attempt in range(DELETE_ATTEMPTS):
            try:
                await self._http.call("DELETE", f"/containers/{name_or_id}", query=query)
            except PodmanError as error:
                if error.status == 404:
                    return
                if attempt + 1 == DELETE_ATTEMPTS or error.status == 0:
                    raise
                await asyncio.sleep(_FIRST_DELAY_SECONDS * 2**attempt)
            else:
                return

    async def delete_orphans(self, pod_uid: str) -> None:
        """Delete the storage that killed creates of a pod left; no create of it may be under way."""
        filters = json.dumps({"label": [f"{LABEL_POD_UID}={pod_uid}"]})  # does not apply to external ones
        query = {"all": "true", "external": "true", "filters": filters}
        for tree in await self._http.call("GET", "/containers/json", query=query) or []:
            for name in tree.get("Names") or ():
                if tree["State"] == "storage" and belongs_to(name, pod_uid):
                    log.info("orphaned_storage_deleted", pod_uid=pod_uid, name=name)
                    await self.delete(name)


def _failure(spec: ContainerSpec, error: PodmanError) -> RuntimeFailure:
    temporary = error.status not in {400, 404}
    message = f"container {spec.name} of pod {spec.pod_namespace}/{spec.pod_name}: {error}"
    return RuntimeFailure(message, reason="CreateContainerError", temporary=temporary)
