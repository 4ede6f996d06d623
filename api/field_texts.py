"""Meanings of fields, a line each, in the table of their type. Only data: `api.field_docs` reads it.

Times are RFC 3339 text. What needs no word (`name` of a thing that has one) has none.
"""

from __future__ import annotations

from collections.abc import Mapping

COMMON: Mapping[str, str] = {
    "apiVersion": "Group and version of the kind, such as apps/v1; the core group is v1.",
    "kind": "What kind of object this is, such as Pod.",
    "metadata": "Name, namespace, labels and bookkeeping.",
    "spec": "What is wanted.",
    "status": "What there is; ignored in manifests.",
}
"""Fields that whole objects share."""

TEXTS: Mapping[str, str] = {
    "ObjectMeta": """
name                        Unique among objects of the kind in a namespace; cannot change.
namespace                   Where the name counts; empty for kinds outside namespaces.
annotations                 Free notes for programs; nothing is selected by them.
creationTimestamp           When the object was created. Set by the server.
deletionGracePeriodSeconds  Seconds that a graceful deletion was given. Set by the server.
deletionTimestamp           When deletion was asked for, plus the grace. Set by the server; never taken back.
finalizers                  Who must act before a deleted object goes; it goes when the list is empty.
generateName                Beginning of a name that the server completes when `name` is empty.
generation                  Counts changes of the desired state. Set by the server.
labels                      Keys and values by which objects are selected.
managedFields               Which manager set which fields last.
ownerReferences             Objects that this one belongs to; it is collected when none is left.
resourceVersion             Version of this object; an update that names it fails when another came before. Opaque.
selfLink                    Not used any more.
uid                         Tells this object from a later one of the same name. Set by the server.
""",
    "OwnerReference": """
blockOwnerDeletion  Whether a foreground deletion of the owner waits for this object.
controller          Whether this owner is the one that creates and deletes the object.
uid                 The owner's uid: a later object of the same name is not meant.
""",
    "LabelSelector": """
matchExpressions  Conditions on labels; all must hold.
matchLabels       Labels and their values; all must be there.
""",
    "LabelSelectorRequirement": """
key       The label.
operator  In, NotIn, Exists or DoesNotExist.
values    Values for In and NotIn; empty for the others.
""",
    "Condition": """
status              True, False or Unknown.
type                Which aspect of the object this is.
lastTransitionTime  When `status` changed last.
message             What happened, for people.
observedGeneration  The generation that was looked at.
reason              What happened, in one CamelCase word for programs.
""",
    "PodTemplateSpec": """
metadata  Labels and annotations for the pods.
spec      What the pods are to be.
""",
    "PodSpec": """
containers                     What runs in the pod; at least one. They start together.
initContainers                 Run one after the other, each to its end, before the containers start.
activeDeadlineSeconds          Seconds after its start when the pod is ended and counts as failed.
affinity                       Which nodes and neighbours the pod needs, likes or avoids.
automountServiceAccountToken   Whether containers get a token of the service account.
dnsConfig                      Resolver settings added to what `dnsPolicy` gives.
dnsPolicy                      Whose resolver the pod uses: ClusterFirst, ClusterFirstWithHostNet, Default or None.
enableServiceLinks             Whether variables name the Services of the namespace. True when absent.
ephemeralContainers            Containers added while the pod runs, for debugging.
hostAliases                    More lines for the hosts file of the containers.
hostIPC                        Use the node's IPC namespace.
hostNetwork                    Use the node's network: its addresses, ports and interfaces.
hostPID                        See the node's processes.
hostUsers                      False asks for a user namespace of the pod's own.
hostname                       Host name inside; the pod's name when absent.
imagePullSecrets               Secrets with credentials for registries.
nodeName                       The node that runs the pod. Set by the scheduler; set by hand, it passes the scheduler by.
nodeSelector                   Labels that the node must have.
os                             The operating system that the pod needs.
overhead                       What the pod takes beside its containers.
preemptionPolicy               PreemptLowerPriority or Never.
priority                       Higher ones are scheduled first. Set from `priorityClassName`.
priorityClassName              The PriorityClass of the pod.
readinessGates                 Conditions that must be True, beside ready containers, for the pod to be ready.
restartPolicy                  What happens to containers that end: Always, OnFailure or Never.
runtimeClassName               Which runtime of the node runs the pod.
schedulerName                  The scheduler that is to place the pod.
schedulingGates                The pod is not scheduled while there are any.
securityContext                Users, groups and privileges for all containers.
serviceAccount                 Old name of `serviceAccountName`.
serviceAccountName             The identity under which the pod speaks to the API.
shareProcessNamespace          Containers see each other's processes.
subdomain                      With the Service of that name, gives the pod a DNS name of its own.
terminationGracePeriodSeconds  Seconds between the stop signal and the kill. 30 when absent.
tolerations                    Taints of nodes that the pod endures.
topologySpreadConstraints      How evenly pods are spread over zones or nodes.
volumes                        Storage that containers may mount.
""",
    "Container": """
name                      Unique in the pod; cannot change.
image                     What to run, such as registry.example/web:1.2.
command                   Replaces the image's entry point; $(NAME) is a variable's value.
args                      Replaces the image's default arguments.
env                       Variables of the environment.
envFrom                   ConfigMaps and Secrets all keys of which become variables.
imagePullPolicy           Always, IfNotPresent or Never. Always when absent and the tag is latest.
lifecycle                 Hooks after the start and before the stop.
livenessProbe             The container is restarted when this fails.
ports                     Ports that it listens on; names for them.
readinessProbe            Services send traffic only while this succeeds.
resources                 What is reserved for the container, and what it may use at most.
restartPolicy             For init containers: Always makes it run beside the containers, as a sidecar.
securityContext           User, group and privileges.
startupProbe              Other probes wait until this has succeeded.
stdin                     Keep standard input open.
stdinOnce                 Close standard input after the first session.
terminationMessagePath    File the end of which is shown as the reason of the container's end.
terminationMessagePolicy  File, or FallbackToLogsOnError.
tty                       Give the container a terminal; needs `stdin`.
volumeDevices             Raw block devices of the pod.
volumeMounts              Volumes of the pod, and where they appear.
workingDir                Where the command starts.
""",
    "ContainerPort": """
name           Services may name the port instead of its number; unique in the pod.
containerPort  The number, 1 to 65535.
protocol       TCP, UDP or SCTP. TCP when absent.
hostIP         Address of the node for `hostPort`.
hostPort       Port of the node that leads here.
""",
    "EnvVar": """
name       The variable.
value      Its value; $(NAME) stands for an earlier variable, $$ for a dollar sign.
valueFrom  Where the value comes from instead.
""",
    "ResourceRequirements": """
claims    Entries of the pod's resource claims that are used.
limits    At most so much: more memory ends the container, CPU is throttled.
requests  At least so much: the scheduler reserves it. The limit when absent.
""",
    "VolumeMount": """
name              The pod's volume.
mountPath         Where it appears.
mountPropagation  Whether mounts made later pass between node and container.
readOnly          Mount without writing.
subPath           Mount only this path of the volume.
subPathExpr       As `subPath`, with $(NAME) for variables.
""",
    "Probe": """
exec                           Run this command; exit code 0 is success.
failureThreshold               Failures in a row that count. 3 when absent.
grpc                           Ask the gRPC health service.
httpGet                        Get this page; 200 to 399 is success.
initialDelaySeconds            Seconds after the start before the first check.
periodSeconds                  Seconds between checks. 10 when absent.
successThreshold               Successes in a row that count. 1 when absent.
tcpSocket                      Open a connection to this port.
terminationGracePeriodSeconds  Grace for a container that is stopped by this probe.
timeoutSeconds                 Seconds until a check has failed. 1 when absent.
""",
    "SecurityContext": """
allowPrivilegeEscalation  Whether processes may gain privileges that their parent lacks.
capabilities              Capabilities to add and to drop.
privileged                All privileges of root on the node.
readOnlyRootFilesystem    Mount the image without writing.
runAsGroup                Group id of the first process.
runAsNonRoot              Refuse to start as root.
runAsUser                 User id of the first process.
""",
    "PodSecurityContext": """
fsGroup              Group that owns the pod's volumes; all processes are in it.
fsGroupChangePolicy  Always, or OnRootMismatch: leave volumes alone that look right.
runAsGroup           Group id of the first processes.
runAsNonRoot         Refuse to start containers as root.
runAsUser            User id of the first processes.
supplementalGroups   More groups of the first processes.
sysctls              Kernel parameters of the pod's namespaces.
""",
    "Toleration": """
key                The taint's key; empty with Exists means all.
operator           Equal or Exists. Equal when absent.
effect             NoSchedule, PreferNoSchedule or NoExecute; empty means all.
tolerationSeconds  For NoExecute: seconds until the pod goes all the same.
value              The taint's value, for Equal.
""",
    "TopologySpreadConstraint": """
labelSelector      Which pods are counted.
maxSkew            Largest difference in pods between two places.
minDomains         At least so many places.
topologyKey        The node label the values of which are the places.
whenUnsatisfiable  DoNotSchedule or ScheduleAnyway.
""",
    "PodStatus": """
conditions             PodScheduled, Initialized, ContainersReady, Ready and others.
containerStatuses      Each container as it was seen last.
hostIP                 The node's address.
initContainerStatuses  Each init container as it was seen last.
message                Why the pod is as it is, for people.
nominatedNodeName      The node where others are ended to make room.
phase                  Pending, Running, Succeeded, Failed or Unknown.
podIP                  The pod's address.
podIPs                 The pod's addresses, one a family.
qosClass               Guaranteed, Burstable or BestEffort: who goes last when memory runs out.
reason                 Why the pod is as it is, in one word.
startTime              When the node took the pod.
""",
    "ContainerStatus": """
containerID   The container, as the runtime names it.
image         The image that runs.
imageID       The image's digest.
lastState     How the container before this one ended.
ready         Whether it may receive traffic.
restartCount  How often it was started again; never goes down.
started       Whether the startup probe has succeeded.
state         Waiting, running or terminated, with details.
""",
    "DeploymentSpec": """
minReadySeconds          Seconds that a pod must stay ready to count as available.
paused                   Changes of the template wait.
progressDeadlineSeconds  Seconds without progress after which the roll-out has failed. 600 when absent.
replicas                 How many pods there should be. 1 when absent.
revisionHistoryLimit     How many old replica sets stay for going back. 10 when absent.
selector                 Which pods belong to the deployment; must match the template's labels and cannot change.
strategy                 How pods are replaced by new ones.
template                 What the pods are to be; a change of it is rolled out.
""",
    "DeploymentStrategy": """
type           RollingUpdate or Recreate.
rollingUpdate  How many pods more and fewer there may be meanwhile.
""",
    "RollingUpdateDeployment": """
maxSurge        Pods above the wanted number, as a count or percentage. 25% when absent.
maxUnavailable  Pods below the wanted number, as a count or percentage. 25% when absent.
""",
    "DeploymentStatus": """
availableReplicas    Pods that have been ready for long enough.
collisionCount       How often the name of a replica set was taken.
conditions           Available, Progressing and ReplicaFailure.
observedGeneration   The generation that this status is about.
readyReplicas        Pods that are ready.
replicas             Pods that are not ending.
unavailableReplicas  Pods that are still missing.
updatedReplicas      Pods of the newest template.
""",
    "ReplicaSetSpec": """
minReadySeconds  Seconds that a pod must stay ready to count as available.
replicas         How many pods there should be. 1 when absent.
selector         Which pods are counted; must match the template's labels and cannot change.
template         What new pods are to be.
""",
    "ServiceSpec": """
type                           ClusterIP, NodePort, LoadBalancer or ExternalName.
allocateLoadBalancerNodePorts  Whether a load balancer also gets node ports.
clusterIP                      The virtual address; "None" for a headless Service. Given by the server when absent.
clusterIPs                     The virtual addresses, one a family.
externalIPs                    Addresses of nodes at which the Service is served too.
externalName                   The name that ExternalName leads to.
externalTrafficPolicy          Cluster, or Local: only pods of the node that was reached.
healthCheckNodePort            Port where nodes say whether they have pods of the Service.
internalTrafficPolicy          Cluster, or Local: only pods of the client's node.
ipFamilies                     IPv4, IPv6 or both.
ipFamilyPolicy                 SingleStack, PreferDualStack or RequireDualStack.
loadBalancerSourceRanges       Who may use the load balancer.
ports                          The ports of the Service, and where they lead.
publishNotReadyAddresses       Send traffic to pods before they are ready, too.
selector                       Labels of the pods behind the Service; without, somebody else keeps its EndpointSlices.
sessionAffinity                None, or ClientIP: a client stays with its pod.
sessionAffinityConfig          How long a client stays.
trafficDistribution            Which endpoints are preferred, such as those in the same zone.
""",
    "ServicePort": """
name         Needed when there are several ports; unique in the Service.
port         The number at the virtual address.
targetPort   The pods' port, by number or name. `port` when absent.
protocol     TCP, UDP or SCTP. TCP when absent.
appProtocol  What is spoken there; a hint.
nodePort     The port at every node, for NodePort and LoadBalancer.
""",
    "ConfigMap": """
binaryData  Keys and base64 values.
data        Keys and text values.
immutable   Nothing but the metadata can change any more.
""",
    "Secret": """
type        What the keys mean, such as kubernetes.io/tls. Opaque when absent; cannot change.
data        Keys and base64 values.
immutable   Nothing but the metadata can change any more.
stringData  Keys and plain text, which the server moves to `data`; never shown.
""",
    "ServiceAccount": """
automountServiceAccountToken  Whether pods get a token unless they say so themselves.
imagePullSecrets              Registry credentials for pods of this account.
secrets                       Secrets that pods of this account may use.
""",
    "NodeSpec": """
podCIDR        Addresses for pods of the node.
podCIDRs       Addresses for pods of the node, one range a family.
providerID     The machine, as its provider names it.
taints         Keep pods away that do not tolerate them.
unschedulable  Takes no new pods; what cordon sets.
""",
    "NodeStatus": """
addresses    Where the node is reached.
allocatable  What pods may take.
capacity     What the machine has.
conditions   Ready, MemoryPressure, DiskPressure, PIDPressure and others.
images       Images on the node.
nodeInfo     Identity and versions of the machine.
""",
    "EndpointSlice": """
addressType  IPv4, IPv6 or FQDN; cannot change.
endpoints    The backends.
ports        Ports that all of them serve.
""",
    "Event": """
type                Normal or Warning.
count               How often it happened.
eventTime           When it was seen first.
firstTimestamp      When it happened first.
involvedObject      What it is about.
lastTimestamp       When it happened last.
message             What happened, for people.
reason              What happened, in one word.
reportingComponent  Who reports it.
source              Who reports it, and from which host.
""",
    "PolicyRule": """
apiGroups        Groups of the resources; "" is the core group, * all.
nonResourceURLs  Paths outside resources; may end with *.
resourceNames    Only objects of these names; all when empty.
resources        Plurals, with a subresource as pods/log; * is all.
verbs            get, list, watch, create, update, patch, delete and others; * is all.
""",
    "RoleBinding": """
roleRef   The role that is given; cannot change.
subjects  Who gets it.
""",
    "ClusterRoleBinding": """
roleRef   The ClusterRole that is given; cannot change.
subjects  Who gets it.
""",
    "Subject": """
apiGroup   rbac.authorization.k8s.io for users and groups, empty for service accounts.
kind       User, Group or ServiceAccount.
namespace  Of the service account.
""",
    "LeaseSpec": """
acquireTime           When the holder got it.
holderIdentity        Who has it.
leaseDurationSeconds  How long it lasts after `renewTime`.
leaseTransitions      How often it changed hands.
renewTime             When the holder renewed it last.
""",
}
"""By type, a line a field."""
