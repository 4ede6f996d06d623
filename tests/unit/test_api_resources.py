import pytest

from api.core import Container, NodeStatus, PodSpec, ResourceRequirements
from api.errors import Invalid
from api.resources import allocatable, amount, pod_requests, qos_class


def spec(*resources):
    return PodSpec(
        containers=tuple(
            Container(name=f"c{index}", resources=item and ResourceRequirements(**item))
            for index, item in enumerate(resources)
        )
    )


def test_requests_are_summed_over_containers_and_a_pod_counts_as_one():
    both = spec({"requests": {"cpu": "250m", "memory": "64Mi"}}, {"requests": {"cpu": 1}}, None)
    assert pod_requests(both) == {"cpu": 1250, "memory": 67108864, "pods": 1}
    assert pod_requests(PodSpec()) == {"pods": 1}


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ([None], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, None], "Burstable"),
        ([], "BestEffort"),
    ],
)
def test_quality_of_service_follows_requests_and_limits(resources, qos):
    assert qos_class(spec(*resources)) == qos


def test_a_node_offers_its_allocatable_amounts_and_else_its_capacity():
    capacity = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    assert allocatable(NodeStatus(capacity=capacity)) == {"cpu": 4000, "memory": 8 * 1024**3, "pods": 110}
    assert allocatable(NodeStatus(capacity=capacity, allocatable={"cpu": "3500m"})) == {"cpu": 3500}


def test_bad_amounts_are_named():
    with pytest.raises(Invalid, match="lots"):
        amount("cpu", "lots")
