import copy

import pytest

from api import scheme, strict
from api.defaults import default
from api.validation import validate

POD = scheme.lookup("pod")
BASE = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "containers": [
            {"name": "main", "image": "web:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            {"name": "side", "image": "side:1"},
        ],
        "volumes": [{"name": "v", "emptyDir": {}}],
    },
}

OLD = {"key": "old", "operator": "Exists", "effect": "NoExecute"}


def put(tree, path, value):
    """A copy of the tree with one value set; steps are separated by slashes."""
    tree = copy.deepcopy(tree)
    *steps, last = [int(step) if step.isdecimal() else step for step in path.split("/")]
    place = tree
    for step in steps:
        place = place[step] if isinstance(step, int) else place.setdefault(step, {})
    place[last] = value
    return tree


def faults(tree, old=None, kind=POD):
    assert strict.check(kind, tree) == []
    tree = default(kind, tree)
    return [str(fault) for fault in validate(kind, tree, default(kind, old) if old else None)]


def container(**fields):
    return put(BASE, "spec/containers/1", {"name": "side", "image": "side:1", **fields})


def test_a_plain_pod_is_valid():
    assert faults(BASE) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec/containers", [], "spec.containers: Required value"),
        ("spec/containers/0/name", "A", 'spec.containers[0].name: Invalid value: "A": a lowercase RFC 1123 label'),
        ("spec/containers/0/name", "", "spec.containers[0].name: Required value"),
        ("spec/containers/0/name", "side", 'spec.containers[1].name: Duplicate value: "side"'),
        ("spec/containers/0/image", "", "spec.containers[0].image: Required value"),
        ("spec/containers/0/image", " a", 'spec.containers[0].image: Invalid value: " a": must not have leading'),
        (
            "spec/containers/0/imagePullPolicy",
            "Sometimes",
            (
                'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", '
                '"IfNotPresent", "Never"'
            ),
        ),
        ("spec/containers/0/volumeMounts/0/name", "w", 'spec.containers[0].volumeMounts[0].name: Not found: "w"'),
        ("spec/containers/0/volumeMounts/0/name", "", "spec.containers[0].volumeMounts[0].name: Required value"),
        ("spec/containers/0/volumeMounts/0/mountPath", "", "volumeMounts[0].mountPath: Required value"),
        ("spec/containers/0/volumeMounts/0/mountPath", "/a:b", "must not contain ':'"),
        ("spec/containers/0/volumeMounts/0/mountPath", "a", "must be an absolute path"),
        ("spec/restartPolicy", "Maybe", 'spec.restartPolicy: Unsupported value: "Maybe"'),
        ("spec/dnsPolicy", "Mine", 'spec.dnsPolicy: Unsupported value: "Mine"'),
        (
            "spec/terminationGracePeriodSeconds",
            -1,
            "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("spec/nodeSelector", {"-": "a"}, 'spec.nodeSelector: Invalid value: "-": name part'),
        ("spec/nodeSelector", {"a": "b c"}, 'spec.nodeSelector[a]: Invalid value: "b c": a valid label'),
        ("spec/nodeName", "N", 'spec.nodeName: Invalid value: "N"'),
        ("spec/hostname", "a.b", 'spec.hostname: Invalid value: "a.b"'),
        ("spec/serviceAccountName", "A", 'spec.serviceAccountName: Invalid value: "A"'),
        ("spec/securityContext", {"runAsUser": -1}, "spec.securityContext.runAsUser: Invalid value: -1"),
        ("spec/securityContext", {"runAsGroup": 2**31}, "spec.securityContext.runAsGroup: Invalid value"),
        ("spec/securityContext", {"supplementalGroups": [1, -1]}, "supplementalGroups[1]: Invalid value: -1"),
        ("spec/securityContext", {"fsGroup": -1}, "spec.securityContext.fsGroup: Invalid value: -1"),
        ("spec/securityContext", {"fsGroupChangePolicy": "Never"}, "fsGroupChangePolicy: Unsupported value"),
        ("spec/readinessGates", [{"conditionType": "a b"}], "readinessGates[0].conditionType: Invalid value"),
        ("spec/dnsPolicy", "None", "spec.dnsConfig: Required value: must provide at least one DNS nameserver"),
        ("spec/dnsConfig", {"nameservers": ["ns.example.com"]}, "nameservers[0]: Invalid value"),
        ("spec/dnsConfig", {"nameservers": ["10.0.0.1"] * 4}, "must not have more than 3 nameservers"),
        ("spec/dnsConfig", {"searches": ["a"] * 33}, "must not have more than 32 search paths"),
        ("spec/dnsConfig", {"searches": ["-a"]}, "searches[0]: Invalid value"),
        ("spec/dnsConfig", {"searches": [".".join(["a" * 60] * 4)] * 9}, "more than 2048 characters"),
        ("spec/dnsConfig", {"options": [{"value": "2"}]}, "options[0]: Required value"),
        ("spec/hostAliases", [{"ip": "10.0.0", "hostnames": ["a"]}], "hostAliases[0].ip: Invalid value"),
        ("spec/hostAliases", [{"ip": "::1", "hostnames": ["A"]}], "hostAliases[0].hostnames[0]: Invalid value"),
        ("spec/containers/0/lifecycle", {"stopSignal": "SIGINT"}, "stopSignal: Forbidden: may not be set"),
        ("spec/containers/0/volumeMounts/0/subPath", "/a", 'subPath: Invalid value: "/a": must be a relative path'),
        ("spec/containers/0/volumeMounts/0/subPath", "a/../b", "subPath: Invalid value"),
        ("spec/containers/0/volumeMounts/0/mountPropagation", "Up", "mountPropagation: Unsupported value"),
    ],
)
def test_pods_are_refused_for_one_reason(path, value, message):
    found = [fault for fault in faults(put(BASE, path, value)) if "not supported yet" not in fault]
    assert message in found[0]
    assert len(found) == 1 or path == "spec/containers"


@pytest.mark.parametrize("place", ["spec/securityContext", "spec/containers/1/securityContext"])
def test_a_group_needs_a_user_beside_it(place):
    alone = put(BASE, place, {"runAsGroup": 5})
    where = place.replace("/1/", "[1].").replace("/", ".")
    assert faults(alone)[0].startswith(f"{where}.runAsGroup: Forbidden: not supported yet without `runAsUser`")
    assert faults(put(alone, place, {"runAsGroup": 5, "runAsUser": 6})) == []


@pytest.mark.parametrize(
    ("toleration", "message"),
    [
        ({"operator": "Equal"}, "spec.tolerations[0].operator: Invalid value"),
        ({"key": "-", "operator": "Exists"}, "spec.tolerations[0].key: Invalid value"),
        ({"key": "a", "operator": "Exists", "value": "b"}, "value must be empty when `operator` is 'Exists'"),
        ({"key": "a", "value": "b c"}, "spec.tolerations[0].value: Invalid value"),
        ({"key": "a", "operator": "Like"}, 'spec.tolerations[0].operator: Unsupported value: "Like"'),
        ({"key": "a", "effect": "Never"}, 'spec.tolerations[0].effect: Unsupported value: "Never"'),
        ({"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}, "must be NoExecute when `tolerationSeconds`"),
    ],
)
def test_bad_tolerations_are_refused(toleration, message):
    (found,) = faults(put(BASE, "spec/tolerations", [toleration]))
    assert message in found


def test_good_tolerations_are_accepted():
    tolerations = [
        {"operator": "Exists"},
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"},
        {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
        {"key": "a"},
    ]
    assert faults(put(BASE, "spec/tolerations", tolerations)) == []


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ([{}], "ports[0].containerPort: Required value"),
        ([{"containerPort": 65536}], "ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535"),
        ([{"containerPort": 80, "name": "HTTP"}], "ports[0].name: Invalid value"),
        ([{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}], "ports[1].name: Duplicate value"),
        ([{"containerPort": 80, "protocol": "ICMP"}], "ports[0].protocol: Unsupported value"),
    ],
)
def test_bad_ports_are_refused(ports, message):
    found = faults(container(ports=ports))
    assert message in found[0]


def test_host_ports_must_match_and_be_used_once_in_the_hosts_network():
    tree = container(ports=[{"containerPort": 80, "hostPort": 81}])
    tree = put(tree, "spec/containers/0/ports", [{"containerPort": 81}])
    assert faults(put(tree, "spec/hostNetwork", True)) == [
        "spec.containers[1].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
        "spec.containers[1].ports[0].hostPort: Duplicate value: 81",
    ]
    assert faults(put(container(ports=[{"containerPort": 80}]), "spec/hostNetwork", True)) == []


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ({"name": "a=b"}, "env[0].name: Invalid value"),
        ({"name": ""}, "env[0].name: Required value"),
        ({"name": "A", "valueFrom": {}}, "env[0].valueFrom: Required value: must specify one of"),
        (
            {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            "env[0].valueFrom: Forbidden: may not be specified when `value` is not empty",
        ),
        (
            {
                "name": "A",
                "valueFrom": {
                    "fieldRef": {"fieldPath": "metadata.name"},
                    "secretKeyRef": {"name": "s", "key": "k"},
                },
            },
            "more than one field specified at a time, found fieldRef, secretKeyRef",
        ),
        ({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c"}}}, "configMapKeyRef.key: Required value"),
        ({"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}, "secretKeyRef.name: Required value"),
        ({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": ""}}}, "fieldRef.fieldPath: Required value"),
        ({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}, "fieldPath: Invalid value"),
        ({"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.x"}}}, "resource: Unsupported value"),
        (
            {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "x"}}},
            "divisor: Invalid value",
        ),
    ],
)
def test_bad_variables_are_refused(variable, message):
    assert message in faults(container(env=[variable]))[0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "envFrom[0]: Required value"),
        ({"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}}, "envFrom[0]: Forbidden"),
        ({"configMapRef": {}}, "envFrom[0].configMapRef.name: Required value"),
        ({"configMapRef": {"name": "a"}, "prefix": "="}, "envFrom[0].prefix: Invalid value"),
    ],
)
def test_bad_sources_of_environments_are_refused(source, message):
    (found,) = faults(container(envFrom=[source]))
    assert message in found


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"limits": {"cpu": "-1"}}, "limits[cpu]: Invalid value"),
        ({"requests": {"cpu": "9E"}}, 'requests[cpu]: Invalid value: "9E": must be at most 4P'),
        ({"requests": {"memory": "much"}}, 'requests[memory]: Invalid value: "much": "much" is not a quantity'),
        (
            {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}},
            "requests[cpu]: Invalid value: 2: must be less than or equal to cpu limit of 1500m",
        ),
        ({"requests": {"CPU": 1}}, "requests[CPU]: Invalid value"),
        ({"requests": {"-": 1}}, "requests[-]: Invalid value"),
        ({"requests": {"cpu": "x"}, "limits": {"cpu": 1}}, "requests[cpu]: Invalid value"),
    ],
)
def test_bad_resources_are_refused(resources, message):
    assert message in faults(container(resources=resources))[0]


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ({}, "livenessProbe: Required value: must specify a handler type"),
        ({"exec": {}}, "livenessProbe.exec.command: Required value"),
        ({"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}, "tcpSocket: Forbidden: may not specify more than 1"),
        ({"tcpSocket": {"port": 0}}, "tcpSocket.port: Invalid value: 0: must be between 1 and 65535"),
        ({"tcpSocket": {"port": "_"}}, "tcpSocket.port: Invalid value"),
        ({"grpc": {"port": 0}}, "grpc.port: Invalid value"),
        ({"httpGet": {"port": 80, "scheme": "FTP"}}, "httpGet.scheme: Unsupported value"),
        ({"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}}, "httpHeaders[0].name: Invalid"),
        ({"httpGet": {"port": 80, "httpHeaders": [{"name": "a", "value": "\n"}]}}, "httpHeaders[0].value: Invalid"),
        ({"exec": {"command": ["a"]}, "periodSeconds": -1}, "periodSeconds: Invalid value: -1"),
        ({"exec": {"command": ["a"]}, "timeoutSeconds": -1}, "timeoutSeconds: Invalid value: -1"),
        ({"exec": {"command": ["a"]}, "initialDelaySeconds": -1}, "initialDelaySeconds: Invalid value: -1"),
        ({"exec": {"command": ["a"]}, "successThreshold": 2}, "successThreshold: Invalid value: 2: must be 1"),
    ],
)
def test_bad_probes_are_refused(probe, message):
    assert message in faults(container(livenessProbe=probe))[0]


def test_only_readiness_needs_several_successes_and_never_kills():
    probe = {"exec": {"command": ["a"]}, "successThreshold": 2}
    assert faults(container(readinessProbe=probe)) == []
    (first, *_) = faults(container(readinessProbe=probe | {"terminationGracePeriodSeconds": 1}))
    assert "readinessProbe.terminationGracePeriodSeconds: Forbidden" in first


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ({}, "lifecycle.preStop: Required value: must specify a handler type"),
        ({"sleep": {"seconds": 31}}, "sleep.seconds: Invalid value: 31: must be between 0 and the pod's"),
        ({"exec": {"command": ["a"]}, "httpGet": {"port": 80}}, "preStop.httpGet: Forbidden"),
    ],
)
def test_bad_hooks_are_refused(hook, message):
    (found,) = faults(container(lifecycle={"preStop": hook}))
    assert message in found


def test_a_stop_signal_is_one_of_linux():
    tree = put(container(lifecycle={"stopSignal": "SIGNONSENSE"}), "spec/os", {"name": "linux"})
    (found,) = faults(tree)
    assert "lifecycle.stopSignal: Unsupported value" in found
    assert faults(put(container(lifecycle={"stopSignal": "SIGRTMIN+3"}), "spec/os", {"name": "linux"})) == []


def test_names_that_pods_are_given_are_accepted():
    tree = put(BASE, "spec/dnsPolicy", "None")
    tree = put(
        tree,
        "spec/dnsConfig",
        {"nameservers": ["10.0.0.1"], "searches": ["_srv.a.", "."], "options": [{"name": "rotate"}]},
    )
    assert faults(put(tree, "spec/hostAliases", [{"ip": "::1", "hostnames": ["a.b"]}])) == []


def test_a_hook_may_sleep_within_the_grace_period():
    assert faults(container(lifecycle={"preStop": {"sleep": {"seconds": 30}}})) == []


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({"runAsUser": -1}, "securityContext.runAsUser: Invalid value: -1"),
        ({"allowPrivilegeEscalation": False, "privileged": True}, "`privileged` to true"),
        ({"allowPrivilegeEscalation": False, "capabilities": {"add": ["SYS_ADMIN"]}}, "CAP_SYS_ADMIN"),
    ],
)
def test_bad_security_contexts_are_refused(context, message):
    (found,) = faults(container(securityContext=context))
    assert message in found


def downward(*items):
    return {"name": "w", "downwardAPI": {"items": list(items)}}


def projected(*sources):
    return {"name": "w", "projected": {"sources": list(sources)}}


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"name": "A"}, 'volumes[1].name: Invalid value: "A"'),
        ({"name": "v"}, 'volumes[1].name: Duplicate value: "v"'),
        ({"name": "w", "emptyDir": {}, "hostPath": {"path": "/"}}, "may not specify more than 1 volume type"),
        ({"name": "w", "hostPath": {"path": ""}}, "hostPath.path: Required value"),
        ({"name": "w", "hostPath": {"path": "a"}}, "hostPath.path: Invalid value"),
        ({"name": "w", "hostPath": {"path": "/a/../b"}}, "must not contain '..'"),
        ({"name": "w", "hostPath": {"path": "/a", "type": "Odd"}}, "hostPath.type: Unsupported value"),
        ({"name": "w", "emptyDir": {"sizeLimit": "x"}}, "emptyDir.sizeLimit: Invalid value"),
        ({"name": "w", "emptyDir": {"medium": "Paper"}}, "emptyDir.medium: Invalid value"),
        ({"name": "w", "configMap": {}}, "configMap.name: Required value"),
        ({"name": "w", "configMap": {"name": "c", "defaultMode": 0o1000}}, "configMap.defaultMode: Invalid value"),
        ({"name": "w", "configMap": {"name": "c", "items": [{"key": "a"}]}}, "items[0].path: Required value"),
        ({"name": "w", "configMap": {"name": "c", "items": [{"path": "a"}]}}, "items[0].key: Required value"),
        ({"name": "w", "secret": {}}, "secret.secretName: Required value"),
        ({"name": "w", "secret": {"secretName": "s", "items": [{"key": "a", "path": "/a"}]}}, "a relative path"),
        ({"name": "w", "secret": {"secretName": "s", "items": [{"key": "a", "path": "a/../b"}]}}, "contain '..'"),
        ({"name": "w", "secret": {"secretName": "s", "items": [{"key": "a", "path": "..a"}]}}, "start with '..'"),
        (downward({"path": "../a", "fieldRef": {"fieldPath": "metadata.name"}}), "items[0].path: Invalid value"),
        (downward({"path": "a"}), "items[0]: Required value: one of fieldRef and resourceFieldRef is required"),
        (downward({"path": "a", "fieldRef": {"fieldPath": "spec.nodeName"}}), "no such field can be used in a volume"),
        (downward({"path": "a", "fieldRef": {"fieldPath": ""}}), "fieldRef.fieldPath: Required value"),
        (downward({"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}), "containerName: Required value"),
        (
            downward({"path": "a", "resourceFieldRef": {"containerName": "main", "resource": "limits.luck"}}),
            "resourceFieldRef.resource: Unsupported value",
        ),
        (
            downward({"path": "a", "fieldRef": {"fieldPath": "metadata.uid"}, "resourceFieldRef": {"resource": "a"}}),
            "can not be specified simultaneously",
        ),
        (downward({"path": "a", "mode": 0o1000, "fieldRef": {"fieldPath": "metadata.uid"}}), "items[0].mode: Invalid"),
        (projected({}), "sources[0]: Required value: must specify a volume source"),
        (projected({"configMap": {"name": "a"}, "secret": {"name": "b"}}), "sources[0].secret: Forbidden"),
        (projected({"configMap": {}}), "sources[0].configMap.name: Required value"),
        (
            projected(
                {"configMap": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ),
            'sources[1]: Invalid value: "p": conflicting duplicate paths',
        ),
    ],
)
def test_bad_volumes_are_refused(volume, message):
    tree = copy.deepcopy(BASE)
    tree["spec"]["volumes"].append(volume)
    assert message in faults(tree)[0]


def test_a_volume_needs_a_source_unless_defaulted():
    tree = default(POD, BASE)
    tree["spec"]["volumes"][0].pop("emptyDir")
    assert "spec.volumes[0]: Required value: must specify a volume type" in map(str, validate(POD, tree, None))


def test_two_mounts_cannot_share_a_place():
    mounts = [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]
    (found,) = faults(container(volumeMounts=mounts))
    assert "volumeMounts[1].mountPath" in found
    assert "must be unique" in found


def test_sub_path_and_its_expression_exclude_each_other():
    mounts = [{"name": "v", "mountPath": "/a", "subPath": "a", "subPathExpr": "b"}]
    assert "mutually exclusive" in faults(container(volumeMounts=mounts))[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/containers/0/image", "web:2"),
        ("spec/tolerations", [{**OLD, "tolerationSeconds": 9}]),
        ("spec/tolerations", [OLD, {"key": "new", "operator": "Exists"}]),
        ("metadata/labels", {"a": "b"}),
        ("status", {"phase": "Running"}),
    ],
)
def test_some_things_may_change_in_a_pod(path, value):
    old = put(BASE, "spec/tolerations", [OLD])
    assert faults(put(old, path, value), old) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec/hostname", "other", "spec.hostname: Forbidden: pod updates may not change fields other than"),
        ("spec/nodeName", "n1", "spec.nodeName: Forbidden"),
        ("spec/containers/0/command", ["x"], "spec.containers: Forbidden"),
        ("spec/containers", [{"name": "main", "image": "web:1"}], "spec.containers: Forbidden"),
        ("spec/tolerations", [], "spec.tolerations: Forbidden: existing toleration"),
        ("spec/activeDeadlineSeconds", 200, "spec.activeDeadlineSeconds: Invalid value: 200"),
        ("metadata/name", "other", 'metadata.name: Invalid value: "other": field is immutable'),
        ("metadata/namespace", "other", "metadata.namespace: Invalid value"),
    ],
)
def test_other_things_may_not(path, value, message):
    old = put(put(BASE, "spec/tolerations", [{"key": "old", "operator": "Exists"}]), "spec/activeDeadlineSeconds", 100)
    found = [fault for fault in faults(put(old, path, value), old) if "supported yet" not in fault]
    assert len(found) == 1
    assert message in found[0]


def test_a_deadline_cannot_be_lifted():
    old = put(BASE, "spec/activeDeadlineSeconds", 100)
    assert any("spec.activeDeadlineSeconds: Forbidden" in fault for fault in faults(BASE, old))


def test_a_pod_stored_with_fewer_defaults_is_not_held_against_its_writer():
    new = default(POD, BASE)
    assert validate(POD, new, copy.deepcopy(BASE)) == []


def test_a_pod_without_its_defaults_is_accepted():
    tree = put(BASE, "metadata/labels", {"a": "b"})
    assert validate(POD, tree, None) == []


def test_an_http_probe_needs_a_path_unless_defaulted():
    tree = put(default(POD, BASE), "spec/containers/0/livenessProbe", {"httpGet": {"port": 80}})
    assert "spec.containers[0].livenessProbe.httpGet.path: Required value" in map(str, validate(POD, tree, None))


def test_a_bad_limit_is_named_once_although_the_request_is_its_copy():
    tree = default(POD, put(BASE, "spec/containers/0/resources", {"limits": {"memory": "12XB"}}))
    assert tree["spec"]["containers"][0]["resources"]["requests"] == {"memory": "12XB"}
    assert [fault.path for fault in validate(POD, tree, None)] == ["spec.containers[0].resources.limits[memory]"]
