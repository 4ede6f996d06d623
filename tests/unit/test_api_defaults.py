import copy

import pytest

from api import scheme, strict
from api.defaults import default, default_status
from api.defaults_pod import pull_policy


def defaulted(word, tree):
    kind = scheme.lookup(word)
    before = copy.deepcopy(tree)
    result = default(kind, tree)
    assert tree == before, "the argument was changed"
    assert default(kind, result) == result, "not idempotent"
    assert strict.check(kind, result) == []
    return result


def test_a_pod_gets_kubernetes_defaults():
    tree = defaulted("pod", {"spec": {"containers": [{"name": "a", "image": "nginx"}]}})
    assert tree == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {
            "containers": [
                {
                    "name": "a",
                    "image": "nginx",
                    "imagePullPolicy": "Always",
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "terminationGracePeriodSeconds": 30,
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "enableServiceLinks": True,
        },
    }


def test_what_is_given_wins():
    spec = {
        "containers": [{"name": "a", "image": "nginx", "imagePullPolicy": "Never", "terminationMessagePath": "/x"}],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": False,
    }
    tree = defaulted("pod", {"spec": spec})
    assert {name: tree["spec"][name] for name in spec if name != "containers"} == {
        name: value for name, value in spec.items() if name != "containers"
    }
    assert tree["spec"]["containers"][0]["imagePullPolicy"] == "Never"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:1@sha256:abc", "IfNotPresent"),
    ],
)
def test_images_are_pulled_again_when_their_tag_can_move(image, policy):
    assert pull_policy(image) == policy


def test_containers_are_completed_in_depth():
    container = {
        "name": "a",
        "image": "b:1",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "E", "value": "1"}],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
        "livenessProbe": {"httpGet": {"port": 80}},
        "startupProbe": {"grpc": {"port": 80}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"httpGet": {"port": 80}}, "stopSignal": "SIGINT"},
    }
    tree = defaulted("pod", {"spec": {"containers": [container]}})
    found = tree["spec"]["containers"][0]
    assert found["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert found["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert found["resources"]["requests"] == {"cpu": "100m", "memory": "1Gi"}
    assert found["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert found["startupProbe"]["periodSeconds"] == 1
    assert found["startupProbe"]["grpc"] == {"port": 80, "service": ""}
    assert found["lifecycle"]["preStop"]["httpGet"] == {"port": 80, "path": "/", "scheme": "HTTP"}


def test_host_network_pods_listen_on_the_host():
    spec = {"hostNetwork": True, "containers": [{"name": "a", "ports": [{"containerPort": 80}, {}]}]}
    ports = defaulted("pod", {"spec": spec})["spec"]["containers"][0]["ports"]
    assert ports == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}, {"protocol": "TCP"}]


def test_volumes_are_completed():
    volumes = [
        {"name": "scratch"},
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "h", "hostPath": {"path": "/"}},
    ]
    found = defaulted("pod", {"spec": {"volumes": volumes}})["spec"]["volumes"]
    assert found == [
        {"name": "scratch", "emptyDir": {}},
        {"name": "c", "configMap": {"name": "c", "defaultMode": 0o644}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "h", "hostPath": {"path": "/", "type": ""}},
    ]


def test_the_old_name_of_the_service_account_is_understood():
    assert defaulted("pod", {"spec": {"serviceAccount": "a"}})["spec"]["serviceAccountName"] == "a"


def test_a_deployment_gets_kubernetes_defaults():
    spec = defaulted("deployment", {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}})["spec"]
    template = spec.pop("template")
    assert spec == {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    }
    assert template["spec"]["dnsPolicy"] == "ClusterFirst"
    assert template["spec"]["containers"][0]["terminationMessagePolicy"] == "File"
    assert "enableServiceLinks" not in template["spec"]


def test_recreate_has_no_rolling_numbers():
    spec = defaulted("deployment", {"spec": {"strategy": {"type": "Recreate"}, "replicas": 0}})["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["replicas"] == 0


def test_a_replica_set_gets_kubernetes_defaults():
    spec = defaulted("replicaset", {})["spec"]
    assert spec["replicas"] == 1
    assert spec["template"]["spec"]["restartPolicy"] == "Always"


def test_a_service_gets_kubernetes_defaults():
    spec = defaulted("service", {"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "web"}]}})["spec"]
    assert spec == {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilyPolicy": "SingleStack",
        "ipFamilies": ["IPv4"],
        "ports": [
            {"port": 80, "protocol": "TCP", "targetPort": 80},
            {"port": 81, "protocol": "TCP", "targetPort": "web"},
        ],
    }


def test_session_affinity_has_a_time_out_only_when_it_is_on():
    on = defaulted("service", {"spec": {"sessionAffinity": "ClientIP"}})["spec"]
    assert on["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    off = defaulted("service", {"spec": {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}}})["spec"]
    assert "sessionAffinityConfig" not in off


def test_both_forms_of_the_cluster_address_agree():
    assert defaulted("service", {"spec": {"clusterIP": "None"}})["spec"]["clusterIPs"] == ["None"]
    assert defaulted("service", {"spec": {"clusterIPs": ["10.96.0.9"]}})["spec"]["clusterIP"] == "10.96.0.9"


def test_other_types_of_services_get_their_defaults_too():
    assert defaulted("service", {"spec": {"type": "NodePort"}})["spec"]["externalTrafficPolicy"] == "Cluster"
    assert defaulted("service", {"spec": {"type": "LoadBalancer"}})["spec"]["allocateLoadBalancerNodePorts"] is True
    assert "ipFamilies" not in defaulted("service", {"spec": {"type": "ExternalName"}})["spec"]


def test_ports_of_endpoint_slices_are_completed():
    ports = defaulted("endpointslice", {"ports": [{"port": 80}]})["ports"]
    assert ports == [{"port": 80, "name": "", "protocol": "TCP"}]


def test_plain_text_of_secrets_is_encoded_and_wins():
    tree = defaulted("secret", {"data": {"a": "eA==", "b": "eA=="}, "stringData": {"b": "ü"}})
    assert tree["type"] == "Opaque"
    assert tree["data"] == {"a": "eA==", "b": "w7w="}
    assert "stringData" not in tree


def test_a_namespace_carries_its_name_as_a_label():
    tree = defaulted("namespace", {"metadata": {"name": "a", "labels": {"b": "c"}}})
    assert tree["metadata"]["labels"] == {"b": "c", "kubernetes.io/metadata.name": "a"}
    assert tree["status"] == {"phase": "Active"}
    assert "labels" not in defaulted("namespace", {})["metadata"]


def test_a_node_offers_its_capacity_and_both_forms_of_its_range_agree():
    tree = defaulted("node", {"spec": {"podCIDR": "10.244.1.0/24"}, "status": {"capacity": {"cpu": "4"}}})
    assert tree["status"]["allocatable"] == {"cpu": "4"}
    assert tree["spec"]["podCIDRs"] == ["10.244.1.0/24"]
    assert defaulted("node", {"spec": {"podCIDRs": ["10.244.1.0/24"]}})["spec"]["podCIDR"] == "10.244.1.0/24"


def test_kinds_without_defaults_keep_what_they_have():
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"b": "c"}}
    assert defaulted("configmap", tree) == tree


def test_zeros_that_mean_absent_in_kubernetes_are_filled():
    container = {
        "name": "a",
        "image": "b:1",
        "imagePullPolicy": "",
        "ports": [{"containerPort": 80, "protocol": ""}],
        "livenessProbe": {"httpGet": {"port": 80, "path": ""}, "periodSeconds": 0, "initialDelaySeconds": 0},
    }
    spec = defaulted("pod", {"spec": {"restartPolicy": "", "containers": [container]}})["spec"]
    assert spec["restartPolicy"] == "Always"
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert spec["containers"][0]["ports"][0]["protocol"] == "TCP"
    assert spec["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/"
    assert spec["containers"][0]["livenessProbe"]["periodSeconds"] == 10
    assert defaulted("service", {"spec": {"type": "", "sessionAffinity": ""}})["spec"]["type"] == "ClusterIP"


def test_zeros_that_mean_zero_stay():
    spec = {"replicas": 0, "revisionHistoryLimit": 0, "strategy": {"rollingUpdate": {"maxUnavailable": 0}}}
    found = defaulted("deployment", {"spec": spec})["spec"]
    assert (found["replicas"], found["revisionHistoryLimit"]) == (0, 0)
    assert found["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}


def test_a_status_has_the_fields_that_its_readers_count_on():
    said = {"conditions": [{"status": "True"}], "containerStatuses": [{"name": "a", "state": {"terminated": {}}}]}
    status = defaulted("pod", {"spec": {"containers": []}, "status": said})["status"]
    assert status["conditions"] == [{"type": "", "status": "True"}]
    assert status["containerStatuses"] == [
        {
            "name": "a",
            "image": "",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {"exitCode": 0}},
        }
    ]
    node = defaulted("node", {"status": {"nodeInfo": {"kernelVersion": "6.1"}}})["status"]["nodeInfo"]
    assert (node["kernelVersion"], node["bootID"]) == ("6.1", "")
    assert default_status(scheme.lookup("replicaset"), {}) == {"replicas": 0}


def test_fields_of_a_spec_that_readers_count_on_are_there():
    probe = {"httpGet": {"port": 80, "httpHeaders": [{"name": "X-A"}]}}
    containers = [{"name": "a", "image": "b", "livenessProbe": probe}]
    spec = defaulted("pod", {"spec": {"containers": containers}})["spec"]
    assert spec["containers"][0]["livenessProbe"]["httpGet"]["httpHeaders"] == [{"name": "X-A", "value": ""}]
    version = defaulted("customresourcedefinition", {"spec": {"versions": [{"name": "v1"}]}})["spec"]["versions"][0]
    assert version == {"name": "v1", "served": False, "storage": False}


def test_lists_and_objects_that_readers_count_on_are_there():
    assert defaulted("limitrange", {})["spec"] == {"limits": []}
    assert defaulted("event", {})["involvedObject"] == {}
