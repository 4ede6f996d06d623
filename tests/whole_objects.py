"""One valid object of every kind with most of the fields that are honoured: what is mutated, and what must come back."""

from __future__ import annotations

import copy

import yaml

from tests.crontabs import definition

CONTAINER = """
name: main
image: registry.test/web:1
command: [/bin/web, --port, $(PORT)]
args: [serve]
workingDir: /srv
imagePullPolicy: IfNotPresent
stdin: true
tty: true
env:
- {name: PORT, value: "8080"}
- {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
- {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
- {name: MODE, valueFrom: {configMapKeyRef: {name: settings, key: mode, optional: true}}}
- {name: WORD, valueFrom: {secretKeyRef: {name: words, key: word}}}
envFrom:
- {prefix: S_, configMapRef: {name: settings}}
- {secretRef: {name: words, optional: true}}
ports:
- {name: http, containerPort: 8080, protocol: TCP}
- {name: dns, containerPort: 53, protocol: UDP}
resources: {limits: {cpu: "1", memory: 64Mi}, requests: {cpu: 100m, memory: 32Mi}}
volumeMounts:
- {name: scratch, mountPath: /scratch, subPath: a/b}
- {name: settings, mountPath: /etc/settings, readOnly: true}
- {name: all, mountPath: /all}
livenessProbe: {httpGet: {path: /live, port: http, scheme: HTTP, httpHeaders: [{name: X-A, value: b}]}, periodSeconds: 3}
readinessProbe: {tcpSocket: {port: 8080}, successThreshold: 2}
startupProbe: {exec: {command: ["true"]}, failureThreshold: 30, terminationGracePeriodSeconds: 5}
lifecycle: {postStart: {exec: {command: ["true"]}}, preStop: {httpGet: {path: /stop, port: 8080}}}
securityContext:
  runAsUser: 1000
  runAsNonRoot: true
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
terminationMessagePath: /dev/termination-log
terminationMessagePolicy: FallbackToLogsOnError
"""

POD_SPEC = f"""
initContainers:
- {{name: first, image: registry.test/first, command: [touch, /scratch/a], volumeMounts: [{{name: scratch, mountPath: /scratch}}]}}
- {{name: sidecar, image: registry.test/sidecar, restartPolicy: Always, startupProbe: {{tcpSocket: {{port: 15000}}}}}}
containers:
-{"".join(f"  {line}" + chr(10) for line in CONTAINER.strip().splitlines())[1:]}
volumes:
- {{name: scratch, emptyDir: {{sizeLimit: 1Gi}}}}
- {{name: settings, configMap: {{name: settings, defaultMode: 0o400, items: [{{key: mode, path: a/mode, mode: 0o444}}]}}}}
- {{name: words, secret: {{secretName: words, optional: true}}}}
- {{name: about, downwardAPI: {{items: [{{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}]}}}}
- {{name: host, hostPath: {{path: /var/log, type: Directory}}}}
- name: all
  projected:
    sources:
    - {{serviceAccountToken: {{path: token, expirationSeconds: 3600, audience: vault}}}}
    - {{configMap: {{name: settings}}}}
    - {{secret: {{name: words, items: [{{key: word, path: word}}]}}}}
    - {{downwardAPI: {{items: [{{path: cpu, resourceFieldRef: {{containerName: main, resource: requests.cpu}}}}]}}}}
restartPolicy: Always
terminationGracePeriodSeconds: 20
dnsPolicy: None
dnsConfig: {{nameservers: [10.0.0.10], searches: [test.local], options: [{{name: ndots, value: "2"}}]}}
hostAliases: [{{ip: 10.1.2.3, hostnames: [db.test]}}]
hostname: web-0
subdomain: web
enableServiceLinks: false
nodeSelector: {{disk: ssd}}
tolerations:
- {{key: spot, operator: Equal, value: "yes", effect: NoSchedule}}
- {{key: gone, operator: Exists, effect: NoExecute, tolerationSeconds: 60}}
readinessGates: [{{conditionType: test.local/ready}}]
serviceAccountName: default
automountServiceAccountToken: false
priorityClassName: system-cluster-critical
securityContext: {{runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000, fsGroupChangePolicy: OnRootMismatch, supplementalGroups: [3000]}}
"""

_NESTED = "".join(f"  {line}\n" for line in POD_SPEC.strip().splitlines())
_TEMPLATE = f"""
  selector:
    matchLabels: {{app: web}}
    matchExpressions: [{{key: tier, operator: In, values: [front, back]}}, {{key: old, operator: DoesNotExist}}]
  template:
    metadata: {{labels: {{app: web, tier: front}}, annotations: {{test.local/note: "x y"}}}}
    spec:
{"".join(f"    {line}" + chr(10) for line in _NESTED.splitlines())}
"""

MANIFESTS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: made, labels: {{team: a, pod-security.kubernetes.io/enforce: privileged}}}}
---
apiVersion: v1
kind: Node
metadata: {{name: machine, labels: {{disk: ssd}}}}
spec:
  unschedulable: true
  providerID: test://machine
  taints: [{{key: spot, value: "yes", effect: NoSchedule}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: default, labels: {{app: web}}, annotations: {{a: b}}, finalizers: [test.local/hold]}}
spec:
{_NESTED}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: default}}
spec:
  selector: {{app: web}}
  ports:
  - {{name: http, port: 80, targetPort: http, protocol: TCP, appProtocol: kubernetes.io/h2c}}
  - {{name: dns, port: 53, targetPort: 5353, protocol: UDP}}
  sessionAffinity: ClientIP
  sessionAffinityConfig: {{clientIP: {{timeoutSeconds: 60}}}}
  publishNotReadyAddresses: true
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: default, labels: {{app: web}}}}
data: {{mode: fast, a.txt: "one\\ntwo"}}
binaryData: {{logo: AAEC}}
immutable: false
---
apiVersion: v1
kind: Secret
metadata: {{name: words, namespace: default}}
type: Opaque
data: {{word: aHVzaA==}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: worker, namespace: default}}
automountServiceAccountToken: false
secrets: [{{name: words}}]
---
apiVersion: v1
kind: LimitRange
metadata: {{name: limits, namespace: default}}
spec:
  limits:
  - type: Container
    min: {{cpu: 10m, memory: 1Mi}}
    max: {{cpu: "4", memory: 4Gi}}
    default: {{cpu: "1"}}
    defaultRequest: {{cpu: 100m}}
    maxLimitRequestRatio: {{cpu: "20"}}
  - type: Pod
    max: {{cpu: "8"}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {{name: quota, namespace: default}}
spec:
  hard: {{pods: "100", requests.cpu: "40", limits.memory: 100Gi}}
  scopes: [NotBestEffort]
  scopeSelector: {{matchExpressions: [{{scopeName: PriorityClass, operator: NotIn, values: [system-node-critical]}}]}}
---
apiVersion: v1
kind: Event
metadata: {{name: web.1, namespace: default}}
involvedObject: {{apiVersion: v1, kind: Pod, namespace: default, name: web}}
reason: Started
message: the container started
type: Normal
count: 2
source: {{component: test, host: machine}}
firstTimestamp: "2030-01-31T12:00:00Z"
lastTimestamp: "2030-01-31T12:00:00Z"
reportingComponent: test.local/test
reportingInstance: test-1
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: web, namespace: default}}
spec:
  replicas: 1
  minReadySeconds: 2
{_TEMPLATE}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: default, labels: {{app: web}}}}
spec:
  replicas: 1
  minReadySeconds: 2
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 100
  paused: true
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 1, maxUnavailable: 25%}}}}
{_TEMPLATE}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: elsewhere, namespace: default}}
subsets:
- addresses:
  - {{ip: 10.1.2.3, hostname: web-0, nodeName: machine, targetRef: {{kind: Pod, namespace: default, name: web}}}}
  notReadyAddresses: [{{ip: 10.1.2.4}}]
  ports: [{{name: http, port: 80, protocol: TCP, appProtocol: http}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: default, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
endpoints:
- addresses: [10.1.2.3]
  conditions: {{ready: true, serving: true, terminating: false}}
  hostname: web-0
  nodeName: machine
  zone: a
  targetRef: {{kind: Pod, namespace: default, name: web}}
ports: [{{name: http, port: 80, protocol: TCP, appProtocol: http}}]
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {{name: high}}
value: 1000
globalDefault: false
preemptionPolicy: Never
description: of tests
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: leader, namespace: default}}
spec:
  holderIdentity: one
  leaseDurationSeconds: 15
  leaseTransitions: 1
  acquireTime: "2030-01-31T12:00:00.000000Z"
  renewTime: "2030-01-31T12:00:00.000000Z"
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: "read:pods", namespace: default}}
rules: [{{apiGroups: [""], resources: [pods, pods/log], resourceNames: [web], verbs: [get, list]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: "read:all", labels: {{part: "yes"}}}}
rules:
- {{apiGroups: ["*"], resources: ["*"], verbs: [get]}}
- {{nonResourceURLs: [/healthz, /version/*], verbs: [get]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: readers, namespace: default}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: "read:pods"}}
subjects:
- {{kind: ServiceAccount, name: worker, namespace: default}}
- {{kind: User, apiGroup: rbac.authorization.k8s.io, name: jane}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: readers}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "read:all"}}
subjects: [{{kind: Group, apiGroup: rbac.authorization.k8s.io, name: ops}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: checks}}
webhooks:
- name: one.test.local
  admissionReviewVersions: [v1]
  clientConfig: {{url: "https://127.0.0.1:9/check", caBundle: YQ==}}
  rules: [{{apiGroups: [test.local], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [things, things/status], scope: Namespaced}}]
  failurePolicy: Ignore
  matchPolicy: Equivalent
  sideEffects: None
  timeoutSeconds: 2
  namespaceSelector: {{matchLabels: {{team: a}}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {{name: changes}}
webhooks:
- name: two.test.local
  admissionReviewVersions: [v1]
  clientConfig: {{service: {{namespace: default, name: web, path: /change, port: 443}}}}
  rules: [{{apiGroups: [test.local], apiVersions: ["*"], operations: ["*"], resources: ["*"]}}]
  failurePolicy: Ignore
  sideEffects: NoneOnDryRun
  reinvocationPolicy: IfNeeded
  objectSelector: {{matchExpressions: [{{key: a, operator: Exists}}]}}
"""

_TREES = [tree for tree in yaml.safe_load_all(MANIFESTS.replace("0o400", "256").replace("0o444", "292")) if tree]


def whole_objects() -> list[dict]:
    """Fresh copies of all."""
    return [*copy.deepcopy(_TREES), definition()]


STATUSES = """
Node:
  phase: Running
  addresses: [{type: InternalIP, address: 10.0.0.1}, {type: Hostname, address: machine}]
  capacity: {cpu: "4", memory: 8Gi, pods: "110"}
  allocatable: {cpu: "4", memory: 8Gi, pods: "110"}
  conditions:
  - type: Ready
    status: "True"
    reason: KubeletReady
    message: ready
    lastHeartbeatTime: "2030-01-31T12:00:00Z"
    lastTransitionTime: "2030-01-31T12:00:00Z"
  daemonEndpoints: {kubeletEndpoint: {Port: 10250}}
  images: [{names: ["registry.test/web:1"], sizeBytes: 1000000}]
  nodeInfo:
    machineID: a
    systemUUID: b
    bootID: c
    kernelVersion: "6.1"
    osImage: Debian
    containerRuntimeVersion: podman://4
    kubeletVersion: v1
    kubeProxyVersion: v1
    operatingSystem: linux
    architecture: amd64
Pod:
  phase: Running
  hostIP: 10.0.0.1
  hostIPs: [{ip: 10.0.0.1}]
  podIP: 10.244.0.5
  podIPs: [{ip: 10.244.0.5}]
  qosClass: Burstable
  startTime: "2030-01-31T12:00:00Z"
  conditions: [{type: Ready, status: "True", lastTransitionTime: "2030-01-31T12:00:00Z"}]
  containerStatuses:
  - name: main
    image: registry.test/web:1
    imageID: sha256:0
    containerID: podman://1
    ready: true
    started: true
    restartCount: 3
    state: {running: {startedAt: "2030-01-31T12:00:00Z"}}
    lastState: {terminated: {exitCode: 137, signal: 9, reason: OOMKilled, finishedAt: "2030-01-31T12:00:00Z"}}
  initContainerStatuses: [{name: first, image: a, imageID: b, ready: true, restartCount: 0, state: {waiting: {reason: x}}}]
Deployment:
  observedGeneration: 1
  replicas: 1
  updatedReplicas: 1
  readyReplicas: 1
  availableReplicas: 1
  collisionCount: 1
  conditions: [{type: Progressing, status: "True", reason: a, lastUpdateTime: "2030-01-31T12:00:00Z"}]
ReplicaSet: {replicas: 1, fullyLabeledReplicas: 1, readyReplicas: 1, availableReplicas: 1, observedGeneration: 1}
"""


def with_statuses() -> list[dict]:
    """Those of the kinds whose status says much, with one."""
    found = yaml.safe_load(STATUSES)
    return [{**tree, "status": found[tree["kind"]]} for tree in whole_objects() if tree["kind"] in found]
