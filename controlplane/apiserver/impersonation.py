"""Acting as somebody else: the headers Impersonate-User and Impersonate-Group, and who may use them.

In gRPC they are metadata of the same names in small letters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from api.errors import Invalid
from controlplane.admission.request import ACCOUNTS_GROUP, ANONYMOUS, UNAUTHENTICATED_GROUP, Identity
from controlplane.apiserver.authorizer import Authorizer
from controlplane.rbac.attributes import Attributes

PREFIX: Final = "impersonate-"
USER: Final = "impersonate-user"
GROUP: Final = "impersonate-group"
ACCOUNT_PREFIX: Final = "system:serviceaccount:"


def assumed(authorizer: Authorizer, identity: Identity, headers: Iterable[tuple[str, str | bytes]]) -> Identity:
    """Who a request is to be made as; `identity` itself when no header says otherwise.

    Raises Forbidden unless `identity` has the verb impersonate for the user and for each group, Invalid for headers
    that are not understood. Names of `headers` are in small letters.
    """
    user, groups = "", []
    for name, value in headers:
        if not name.startswith(PREFIX):
            continue
        text = value.decode() if isinstance(value, bytes) else value
        if name == USER and not user:
            user = text
        elif name == GROUP:
            groups.append(text)
        else:
            raise Invalid(f"{name}: only one {USER} and any number of {GROUP} are supported")
    if not user and not groups:
        return identity
    return impersonated(authorizer, identity, user, groups)


def impersonated(authorizer: Authorizer, identity: Identity, user: str, groups: Iterable[str]) -> Identity:
    """The identity of `user` in `groups`, if `identity` may act as them; a service account has its groups by itself."""
    wanted = tuple(groups)
    if not user:
        raise Invalid(f"{GROUP}: a group can only be taken on together with a user ({USER})")
    namespace, name = _account(user)
    what = Attributes("impersonate", resource="users", name=user)
    if namespace:
        what = Attributes("impersonate", resource="serviceaccounts", namespace=namespace, name=name)
    authorizer.check(identity, what)
    for group in wanted:
        authorizer.check(identity, Attributes("impersonate", resource="groups", name=group))
    if namespace and not wanted:
        wanted = (ACCOUNTS_GROUP, f"{ACCOUNTS_GROUP}:{namespace}")
    if user == ANONYMOUS.user and UNAUTHENTICATED_GROUP not in wanted:
        wanted = (*wanted, UNAUTHENTICATED_GROUP)
    return Identity(user, wanted, impersonator=identity.user)


def _account(user: str) -> tuple[str, str]:
    """Namespace and name of a service account's user, ("", "") for others."""
    namespace, colon, name = user.removeprefix(ACCOUNT_PREFIX).partition(":")
    if user.startswith(ACCOUNT_PREFIX) and colon and namespace and name:
        return namespace, name
    return "", ""
