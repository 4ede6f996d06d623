"""Webhooks and requests that open a connection: asked before anything of the pod is reached."""

from __future__ import annotations

from typing import Final

from api.object import Tree
from controlplane.admission.webhooks.attributes import connecting
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.rest import queries
from controlplane.apiserver.rest.call import Call

CONNECTIONS: Final = frozenset({"exec", "attach", "portforward", "proxy"})
"""Subresources that are one."""


async def check(core: ApiCore, call: Call) -> None:
    """Raise what a webhook has against a request that opens a connection; every other request passes."""
    if call.target.subresource in CONNECTIONS and core.asks_webhooks:
        await core.consult(connecting(call.identity, call.asked, _options(call)))


def _options(call: Call) -> Tree:
    """How it is opened, in the words of Kubernetes' options."""
    query = call.request.query
    match call.target.subresource:
        case "portforward":
            words = [word for value in query.getall("ports", []) for word in value.split(",")]
            return {"ports": [int(word) for word in words if word.isascii() and word.isdecimal()]}
        case "proxy":
            return {"path": call.target.tail}
    given = ("stdin", "stdout", "stderr", "tty")
    flags = {name: bool(queries.boolean(query, name, default=False)) for name in given}
    return {**flags, "container": query.get("container", ""), "command": query.getall("command", [])}
