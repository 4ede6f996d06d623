import pytest

from api.core import Container, NodeStatus, PodSpec, ResourceRequirements
from api.errors import Invalid
from api.resources import allocatable, amount, pod_limits, pod_requests, qos_class


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


def asking(name, cpu, **fields):
    return Container(name=name, resources=ResourceRequirements(requests={"cpu": cpu}, limits={"cpu": cpu}), **fields)


@pytest.mark.parametrize(
    ("inits", "cpu"),
    [
        ([("i", "100m")], 300),
        ([("i", "2")], 2000),
        ([("i", "2"), ("j", "1500m")], 2000),
        ([("s", "100m")], 400),
        ([("s", "100m"), ("t", "50m")], 450),
        ([("i", "2"), ("s", "100m")], 2000),
        ([("s", "100m"), ("i", "2")], 2100),
        ([("s", "100m"), ("i", "200m"), ("t", "50m")], 450),
        ([("s", "1"), ("i", "500m"), ("t", "1"), ("j", "4")], 6000),
    ],
)
def test_a_pod_takes_the_most_that_its_containers_ask_for_at_any_time(inits, cpu):
    """Names s and t are sidecars (KEP-753, "Resources calculation for scheduling and pod admission")."""
    pod = PodSpec(
        containers=(asking("a", "100m"), asking("b", "200m")),
        init_containers=tuple(
            asking(name, amount, **({"restart_policy": "Always"} if name in "st" else {})) for name, amount in inits
        ),
    )
    assert pod_requests(pod) == {"cpu": cpu, "pods": 1}
    assert pod_limits(pod) == {"cpu": cpu}


def test_resources_that_only_an_init_container_asks_for_count_too():
    one = Container(name="i", resources=ResourceRequirements(requests={"memory": "1Gi"}))
    assert pod_requests(PodSpec(containers=(asking("a", "1"),), init_containers=(one,))) == {
        "cpu": 1000,
        "memory": 1024**3,
        "pods": 1,
    }


def test_init_containers_count_for_the_quality_of_service():
    limited = spec({"limits": {"cpu": "1", "memory": "1Gi"}})
    assert qos_class(PodSpec(containers=limited.containers, init_containers=limited.containers)) == "Guaranteed"
    assert qos_class(PodSpec(containers=limited.containers, init_containers=(Container(name="i"),))) == "Burstable"


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
