"""ResourceQuotas: what is used of them is counted, never told."""

from __future__ import annotations

from api.errors import Forbidden
from api.object import Tree
from controlplane.apiserver.kinds.base import KindRules


class QuotaRules(KindRules):
    """Rules of quotas."""

    def check_status(self, tree: Tree) -> None:
        """Nobody can write it."""
        name = tree["metadata"]["name"]
        raise Forbidden(f'resourcequotas "{name}" is forbidden: the status of a quota is counted by the API itself')
