import copy

import pytest

from api import scheme, strict
from api.defaults import default
from api.honoured import HONOURED, refusals
from api.shape import fields

POD = scheme.lookup("pod")


def pod(container=None, **spec):
    return {"spec": {"containers": [{"name": "a", "image": "b", **(container or {})}], **spec}}


def refused(word, tree):
    kind = scheme.lookup(word)
    assert strict.check(kind, tree) == []
    return [str(fault) for fault in refusals(kind, default(kind, tree))]


@pytest.mark.parametrize(
    "tree",
    [
        pod({"command": ["a"], "args": ["b"], "workingDir": "/", "stdin": True, "tty": True}),
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]}),
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]}),
        pod({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}}]}),
        pod({"envFrom": [{"prefix": "A_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}]}),
        pod({"resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}),
        pod({"livenessProbe": {"exec": {"command": ["a"]}}, "readinessProbe": {"tcpSocket": {"port": 80}}}),
        pod({"startupProbe": {"httpGet": {"port": 80, "host": "a", "httpHeaders": [{"name": "A", "value": "b"}]}}}),
        pod({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}),
        pod({"securityContext": {"privileged": True, "capabilities": {"add": ["NET_ADMIN"]}, "runAsNonRoot": False}}),
        pod({"ports": [{"containerPort": 80, "protocol": "UDP"}]}, hostNetwork=True),
        pod({"ports": [{"containerPort": 80, "hostPort": 0}]}),
        pod({"volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True, "subPath": ""}]}),
        pod(volumes=[{"name": "a", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}, {"name": "b"}]),
        pod(
            volumes=[{"name": "a", "configMap": {"name": "c", "optional": True, "items": [{"key": "k", "path": "p"}]}}]
        ),
        pod(dnsPolicy="Default", hostname="h", priority=0, preemptionPolicy="PreemptLowerPriority", hostUsers=True),
        pod(initContainers=[{"name": "i", "image": "x"}, {"name": "s", "image": "x", "restartPolicy": "Always"}]),
        pod(hostPID=False, initContainers=[], affinity={"podAffinity": {}}, imagePullSecrets=[], subdomain=""),
        pod(automountServiceAccountToken=False, serviceAccount="a", os={"name": "linux"}),
        pod(securityContext={"runAsUser": 1, "runAsGroup": 2, "supplementalGroups": [3], "runAsNonRoot": True}),
        pod(securityContext={"fsGroup": 1, "fsGroupChangePolicy": "OnRootMismatch"}),
        pod(hostPID=True, hostIPC=True, subdomain="s", hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a"]}]),
        pod(dnsPolicy="None", dnsConfig={"nameservers": ["10.0.0.1"], "searches": ["a.b"], "options": [{"name": "x"}]}),
        pod(dnsPolicy="ClusterFirstWithHostNet", readinessGates=[{"conditionType": "example.com/up"}]),
        pod({"lifecycle": {"postStart": {"exec": {"command": ["a"]}}, "stopSignal": "SIGINT"}}, os={"name": "linux"}),
        pod({"livenessProbe": {"grpc": {"port": 1, "service": "a"}, "terminationGracePeriodSeconds": 5}}),
        pod({"terminationMessagePath": "/x", "terminationMessagePolicy": "FallbackToLogsOnError"}),
        pod(
            {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a", "mountPropagation": "HostToContainer"}]}
        ),
        pod({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(A)"}]}),
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}]}),
        pod(
            volumes=[
                {"name": "a", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
            ]
        ),
        pod(
            volumes=[{"name": "a", "projected": {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": "b"}}]}}]
        ),
    ],
)
def test_what_is_honoured_or_off_is_accepted(tree):
    assert refused("pod", tree) == []


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            pod(initContainers=[{"name": "i", "image": "x", "restartPolicy": "OnFailure"}]),
            'spec.initContainers[0].restartPolicy: "OnFailure" is not supported yet; supported: "Always"',
        ),
        (
            pod(
                initContainers=[{"name": "i", "restartPolicy": "Always", "restartPolicyRules": [{"action": "Restart"}]}]
            ),
            "spec.initContainers[0].restartPolicyRules: not supported yet",
        ),
        (
            pod({"restartPolicy": "Always"}),
            "spec.containers[0].restartPolicy: not supported yet outside init containers",
        ),
        (
            pod(ephemeralContainers=[{"name": "d", "volumeDevices": [{"name": "v", "devicePath": "/v"}]}]),
            "spec.ephemeralContainers[0].volumeDevices: not supported yet",
        ),
        (pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}), "spec.affinity: not"),
        (pod(topologySpreadConstraints=[{}]), "spec.topologySpreadConstraints: not supported yet"),
        (pod(shareProcessNamespace=True), "spec.shareProcessNamespace: not supported yet"),
        (pod(setHostnameAsFQDN=True), "spec.setHostnameAsFQDN: not supported yet"),
        (pod(imagePullSecrets=[{"name": "s"}]), "spec.imagePullSecrets: not supported yet"),
        (pod(activeDeadlineSeconds=10), "spec.activeDeadlineSeconds: not supported yet"),
        (pod(schedulerName="mine"), 'spec.schedulerName: "mine" is not supported yet; supported: "default-scheduler"'),
        (pod(hostUsers=False), "spec.hostUsers: false is not supported yet; supported: true"),
        (pod(os={"name": "windows"}), 'spec.os.name: "windows" is not supported yet; supported: "linux"'),
        (pod(securityContext={"sysctls": [{"name": "a"}]}), "spec.securityContext.sysctls: not supported yet"),
        (pod(volumes=[{"name": "a", "nfs": {}}]), "spec.volumes[0].nfs: not supported yet"),
        (
            pod(volumes=[{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "user": 5}}]}}]),
            "spec.volumes[0].projected.sources[0].serviceAccountToken.user: not supported yet",
        ),
        (
            pod({"ports": [{"containerPort": 80, "hostPort": 80}]}),
            "spec.containers[0].ports[0].hostPort: not supported yet outside the host's network",
        ),
        (
            pod({"livenessProbe": {"grpc": {"port": 1, "mode": "tls"}}}),
            "spec.containers[0].livenessProbe.grpc.mode: not supported yet",
        ),
        (pod({"lifecycle": {"postStart": {"tcpSocket": {"port": 1}}}}), "postStart.tcpSocket: not supported yet"),
        (pod({"lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}}), "preStop.tcpSocket: not supported yet"),
        (
            pod({"volumeMounts": [{"mountPropagation": "Bidirectional"}]}),
            'volumeMounts[0].mountPropagation: "Bidirectional" is not supported yet; supported: "None", "HostToContainer"',
        ),
        (pod({"resources": {"limits": {"nvidia.com/gpu": 1}}}), "limits[nvidia.com/gpu]: not supported yet; supported"),
        (pod({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {}}}]}), "valueFrom.fileKeyRef: not supported yet"),
    ],
)
def test_what_would_be_ignored_is_refused_by_name(tree, message):
    assert any(message in fault for fault in refused("pod", tree))


def test_templates_are_looked_into():
    tree = {"spec": {"template": pod(shareProcessNamespace=True)}}
    assert refused("deployment", tree) == ["spec.template.spec.shareProcessNamespace: not supported yet"]


@pytest.mark.parametrize(
    ("word", "tree", "message"),
    [
        (
            "service",
            {"spec": {"type": "NodePort"}},
            'spec.type: "NodePort" is not supported yet; supported: "ClusterIP"',
        ),
        ("service", {"spec": {"externalIPs": ["1.2.3.4"]}}, "spec.externalIPs: not supported yet"),
        ("service", {"spec": {"ports": [{"port": 1, "protocol": "SCTP"}]}}, 'protocol: "SCTP" is not supported yet'),
        ("service", {"spec": {"internalTrafficPolicy": "Local"}}, 'internalTrafficPolicy: "Local" is not supported'),
        ("service", {"spec": {"ipFamilies": ["IPv6"]}}, 'spec.ipFamilies: ["IPv6"] is not supported yet'),
        ("endpointslice", {"addressType": "IPv6"}, 'addressType: "IPv6" is not supported yet; supported: "IPv4"'),
        ("node", {"spec": {"configSource": {"configMap": {"name": "a"}}}}, "spec.configSource: not supported yet"),
        ("sa", {"imagePullSecrets": [{"name": "a"}]}, "imagePullSecrets: not supported yet"),
        (
            "endpointslice",
            {"addressType": "IPv4", "ports": [{"port": 1, "protocol": "SCTP"}]},
            'ports[0].protocol: "SCTP" is not supported yet',
        ),
        ("lease", {"spec": {"strategy": "OldestEmulationVersion"}}, "spec.strategy: not supported yet"),
    ],
)
def test_other_kinds_refuse_too(word, tree, message):
    assert any(message in fault for fault in refused(word, tree))


def test_a_headless_service_with_affinity_is_honoured():
    spec = {
        "clusterIP": "None",
        "sessionAffinity": "ClientIP",
        "publishNotReadyAddresses": True,
        "allocateLoadBalancerNodePorts": False,
    }
    assert refused("service", {"spec": spec}) == []


def test_status_and_metadata_are_never_refused():
    assert refused("node", {"metadata": {"generateName": "a"}, "status": {"config": {"error": "x"}}}) == []


def test_refusals_come_in_document_order():
    tree = pod(runtimeClassName="a", shareProcessNamespace=True)
    fields_refused = [fault.split(":")[0] for fault in refused("pod", copy.deepcopy(tree))]
    assert fields_refused == ["spec.runtimeClassName", "spec.shareProcessNamespace"]


def test_fields_that_no_type_has_are_left_to_the_strict_check():
    assert refusals(POD, {"spec": {"future": 1}}) == []


def test_every_name_in_the_table_is_a_field():
    for struct, table in HONOURED.items():
        assert set(table) <= set(fields(struct)), struct
