"""People with a certificate of their own, on a real cluster: nothing without a binding, exactly their role with one."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import eventually


@pytest.fixture
def jane(cluster, space, tmp_path):
    """`tim` as a new user whose only group is named like the test's namespace."""
    conf = tmp_path / "jane.conf"
    replica = cluster.lab.host("r1").state_dir / "etc"
    cluster.tim("pki", "user", "jane", "--group", space.name, "--dir", str(replica), "-o", str(conf))

    def run(*words, check=False):
        return cluster.tim("--kubeconfig", str(conf), "-n", space.name, *words, check=check)

    return run


def test_a_person_sees_nothing_until_a_role_is_bound_and_then_what_it_says(cluster, space, jane):
    assert f"[{space.name} system:authenticated]" in jane("auth", "whoami", check=True).out
    refused = jane("get", "pods")
    assert refused.code == 1
    assert refused.err == (
        'Error: Forbidden: pods is forbidden: User "jane" cannot list resource "pods" in API group "" '
        f'in the namespace "{space.name}"\n'
    )
    space.tim("create", "rolebinding", "look", "--clusterrole", "view", "--group", space.name)
    eventually("view holds what it gathers", lambda: jane("auth", "can-i", "list", "pods").out == "yes\n")
    jane("get", "pods", check=True)
    for words in (("create", "configmap", "a"), ("get", "secrets"), ("delete", "rolebinding", "look")):
        assert "is forbidden" in jane(*words).err
    space.tim("delete", "rolebinding", "look")
    # Another replica than the one that took it away may know it a moment later.
    eventually("it is taken away", lambda: jane("auth", "can-i", "list", "pods").out == "no\n")


def test_a_role_with_the_label_becomes_part_of_view_and_goes_from_it(cluster, space, jane):
    space.tim("create", "rolebinding", "look", "--clusterrole", "view", "--group", space.name)
    name = f"more-for-{space.name}"
    cluster.tim("create", "clusterrole", name, "--verb", "list", "--resource", "leases")
    try:
        assert jane("get", "leases").code == 1
        cluster.tim("label", "clusterrole", name, "rbac.authorization.k8s.io/aggregate-to-view=true")
        eventually("view gathers it", lambda: jane("get", "leases").code == 0)
    finally:
        cluster.tim("delete", "clusterrole", name)
    eventually("view is without it", lambda: jane("get", "leases").code == 1)
