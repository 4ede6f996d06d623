"""What deciding whether a request may be made costs, with 1,000 roles and 1,000 bindings, beside looking at every rule.

CPU time of this process: compare ratios.
"""

from __future__ import annotations

import time

from api.scheme import by_kind
from bench.report import Report, run_part
from controlplane.admission.request import Identity
from controlplane.apiserver.authorizer import Authorizer, groups_of
from controlplane.apiserver.objects import put_of, tree_of
from controlplane.rbac.attributes import Attributes
from controlplane.rbac.defaults import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from controlplane.store.state import State
from tests.api_server import ADMIN
from tests.rbac import binding, role, rule

ROLES = 1_000
NAMESPACES = 100
JANE = Identity("user-7", ("team-7",))


def objects(count):
    """So many roles and bindings in a hundred namespaces, of users and of the groups that they are in."""
    yield from (*CLUSTER_ROLES, *CLUSTER_ROLE_BINDINGS)
    for number in range(count):
        namespace = f"team-{number % NAMESPACES}"
        rules = (rule("get list watch", "pods pods/log services"), rule("update", "deployments", "apps", names="web"))
        subjects = (f"User:user-{number}", f"Group:team-{number % NAMESPACES}")
        yield role(f"role-{number}", *rules, namespace=namespace)
        yield binding(f"binding-{number}", f"Role/role-{number}", *subjects, namespace=namespace)


def filled(count):
    state = State()
    for tree in objects(count):
        put(state, tree)
    return state


def put(state, tree):
    metadata = {"uid": f"{tree['kind']}-{tree['metadata']['name']}", **tree["metadata"]}
    assert state.rehearse((put_of(by_kind(tree["apiVersion"], tree["kind"]), {**tree, "metadata": metadata}),)) is None


def looked_through(state, identity, asked):
    """The least that has to be right: every binding of the place, its subjects, its role, its rules, read anew."""
    group = "rbac.authorization.k8s.io"
    who = {("User", identity.user), *(("Group", each) for each in groups_of(identity))}
    for resource, namespace in (("clusterrolebindings", ""), ("rolebindings", asked.namespace)):
        for stored in state.scan(f"{resource}.{group}", namespace):
            tree = tree_of(stored.body)
            if not any((each["kind"], each["name"]) in who for each in tree["subjects"]):
                continue
            kind, name = tree["roleRef"]["kind"], tree["roleRef"]["name"]
            place = state.scan(f"{kind.lower()}s.{group}", namespace if kind == "Role" else "")
            for found in place:
                body = tree_of(found.body)
                if body["metadata"]["name"] == name and any(
                    asked.verb in each["verbs"] and asked.resource in each.get("resources", ())
                    for each in body.get("rules", ())
                ):
                    return True
    return False


def cpu_us(call, rounds):
    began = time.process_time()
    for _ in range(rounds):
        call()
    return (time.process_time() - began) / rounds * 1e6


def bench(report: Report, quick: bool) -> None:
    rounds = 20_000 if quick else 200_000
    state = filled(ROLES)
    authorizer = Authorizer(lambda: state)
    report.setting(
        f"{ROLES} roles and bindings in {NAMESPACES} namespaces, and the default ones; {rounds} decisions each"
    )
    began = time.process_time()
    authorizer.allows(JANE, Attributes("get", "", "pods"))
    report.figure("reading all roles and bindings once", (time.process_time() - began) * 1e3, "ms CPU")
    allowed = Attributes("get", "", "pods", "", "team-7", "web-0")
    cases = {
        "allowed": (JANE, allowed, True),
        "allowed by name": (JANE, Attributes("update", "apps", "deployments", "", "team-7", "web"), True),
        "refused": (JANE, Attributes("delete", "", "pods", "", "team-7", "web-0"), False),
        "administrator": (ADMIN, allowed, True),
    }
    for name, (identity, asked, expected) in cases.items():
        assert authorizer.allows(identity, asked) is expected
        peer = None
        if identity is JANE:
            assert looked_through(state, identity, asked) is expected
            peer = cpu_us(lambda identity=identity, asked=asked: looked_through(state, identity, asked), 200)
        spent = cpu_us(lambda identity=identity, asked=asked: authorizer.allows(identity, asked), rounds)
        report.figure(f"decision, {name}", spent, "us CPU", peer=peer, peer_name="every rule read", aim=5.0)
    number = 0

    def change():
        nonlocal number
        number += 1
        put(state, role("role-7", rule("get", "pods", names=f"a{number}"), namespace="team-7"))

    written = cpu_us(change, 200)

    def change_and_decide():
        change()
        authorizer.allows(JANE, allowed)

    report.figure("first decision after a role changed", cpu_us(change_and_decide, 200) - written, "us CPU")


if __name__ == "__main__":
    run_part("authorize", __doc__ or "", bench)
