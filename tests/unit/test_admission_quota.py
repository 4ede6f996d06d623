"""Quotas as admission judges them: what counts, for which pods, and in which words it is refused."""

from __future__ import annotations

import msgspec
import pytest

from api.errors import Forbidden
from api.policy import ResourceQuotaSpec
from api.quota_usage import quota_quantity, taken
from controlplane.admission.resource_quota import UNCOUNTED, ResourceQuota, quota_ledger
from tests.admission_rig import Objects, pod_tree, quota, request

LEDGER = quota_ledger("default", "small")
SMALL = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


def check(asked, tree, **used):
    amounts = {name.replace("__", "."): value for name, value in used.items()}
    ResourceQuota().check(asked, Objects(tree, ledgers={LEDGER: amounts}))


def spec_of(tree):
    return msgspec.convert(tree["spec"], ResourceQuotaSpec)


def service(kind="ClusterIP", ports=1):
    spec = {"type": kind, "ports": [{"port": 80 + index} for index in range(ports)]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}, "spec": spec}


def test_a_refusal_names_quota_requested_used_and_limited():
    with pytest.raises(Forbidden) as refused:
        check(request(pod_tree("web", SMALL, SMALL)), quota(pods=5, requests__cpu=1), pods=3, requests__cpu=250)
    assert str(refused.value) == (
        'pods "web" is forbidden: exceeded quota: small, requested: requests.cpu=1, '
        "used: requests.cpu=250m, limited: requests.cpu=1"
    )


def test_what_fits_exactly_is_allowed():
    check(request(pod_tree("web", SMALL)), quota(pods=2, cpu=1, limits__memory="2Gi"), pods=1, cpu=500)


def test_everything_that_is_exceeded_is_named():
    with pytest.raises(Forbidden, match=r"requested: limits.cpu=1,pods=1, used: limits.cpu=0,pods=1, limited: limits"):
        check(request(pod_tree("web", SMALL)), quota(pods=1, limits__cpu="100m"), pods=1)


def test_pods_must_say_what_a_quota_has_to_count():
    with pytest.raises(Forbidden) as refused:
        check(request(pod_tree("web", SMALL, {})), quota(limits__memory="9Gi", requests__cpu=9))
    assert str(refused.value) == (
        'pods "web" is forbidden: failed quota: small: must specify limits.memory for: c1; requests.cpu for: c1'
    )


def test_what_nobody_has_counted_yet_is_not_limited():
    check(request(pod_tree()), quota(pods=1), pods=UNCOUNTED + 7)


def test_pods_that_are_there_are_never_refused():
    tree = pod_tree()
    check(request(tree, "update", old=tree), quota(pods=1), pods=3)
    check(request(tree, "update_status", old=tree), quota(pods=1), pods=3)


@pytest.mark.parametrize(
    ("scope", "pod", "within"),
    [
        ("BestEffort", pod_tree(), True),
        ("BestEffort", pod_tree("web", SMALL), False),
        ("NotBestEffort", pod_tree("web", SMALL), True),
        ("NotBestEffort", pod_tree(), False),
        ("Terminating", pod_tree(activeDeadlineSeconds=9), True),
        ("Terminating", pod_tree(), False),
        ("NotTerminating", pod_tree(), True),
        ("NotTerminating", pod_tree(activeDeadlineSeconds=9), False),
        ("PriorityClass", pod_tree(priorityClassName="high"), True),
        ("PriorityClass", pod_tree(), False),
    ],
)
def test_a_scope_says_which_pods_count(scope, pod, within):
    assert taken(spec_of(quota(scopes=[scope], pods=9)), "pods", pod) == ({"pods": 1} if within else {})


@pytest.mark.parametrize(
    ("operator", "values", "matching"),
    [
        ("In", ["high", "low"], {"high", "low"}),
        ("NotIn", ["high"], {"low", ""}),
        ("Exists", [], {"high", "low"}),
        ("DoesNotExist", [], {""}),
    ],
)
def test_a_scope_selector_chooses_pods_by_their_priority_class(operator, values, matching):
    selector = {"scopeName": "PriorityClass", "operator": operator, "values": values}
    spec = spec_of(quota(selector=selector, pods=9))
    counted = {name for name in ("high", "low", "") if taken(spec, "pods", pod_tree(priorityClassName=name))}
    assert counted == matching


def test_ended_pods_count_as_objects_only():
    tree = {**pod_tree("web", SMALL), "status": {"phase": "Succeeded"}}
    assert taken(spec_of(quota(pods=9, count_pods=9, cpu=9)), "pods", tree) == {"count/pods": 1}


def test_services_count_by_their_kind():
    spec = spec_of(quota(services=9, count_services=9, services__nodeports=9, services__loadbalancers=9))
    assert taken(spec, "services", service()) == {"count/services": 1, "services": 1}
    assert taken(spec, "services", service("NodePort", 2)) == {
        "count/services": 1,
        "services": 1,
        "services.nodeports": 2,
    }
    assert taken(spec, "services", service("LoadBalancer"))["services.loadbalancers"] == 1


def test_any_kind_counts_by_its_full_name():
    spec = spec_of(quota(count_deployments__apps=9, configmaps=9))
    assert taken(spec, "deployments.apps", {"metadata": {}}) == {"count/deployments.apps": 1}
    assert taken(spec, "configmaps", {"metadata": {}}) == {"configmaps": 1}
    assert taken(spec, "secrets", {"metadata": {}}) == {}


@pytest.mark.parametrize(
    ("name", "amount", "written"),
    [
        ("requests.cpu", 1500, "1500m"),
        ("cpu", 2000, "2"),
        ("limits.memory", 3 << 30, "3Gi"),
        ("pods", 7, "7"),
        ("count/secrets", 0, "0"),
    ],
)
def test_amounts_are_written_as_people_do(name, amount, written):
    assert quota_quantity(name, amount) == written
