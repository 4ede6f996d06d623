"""Meanings of fields, a line each, in the table of their type. Only data: `api.field_docs` reads it. Pods: `api.field_texts_pod`.

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

ANYWHERE: Mapping[str, str] = {
    "lastTransitionTime": "When `status` changed last.",
    "message": "What happened, for people.",
    "observedGeneration": "The generation that was looked at.",
    "optional": "Whether it may be missing.",
    "defaultMode": "Permission bits of files that have none of their own. 0644 when absent.",
    "readOnly": "Without writing.",
}
"""Fields that mean the same in every type that has no line for them."""

SAME: Mapping[str, str] = {
    **dict.fromkeys(
        ("PodCondition", "NodeCondition", "NamespaceCondition", "DeploymentCondition", "ReplicaSetCondition"),
        "Condition",
    ),
    "EphemeralContainer": "Container",
    "MutatingWebhook": "ValidatingWebhook",
}
"""Types whose fields mean what they mean in another one."""

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
    "LimitRangeSpec": """
limits  Bounds and defaults, one item for each type.
""",
    "LimitRangeItem": """
type                  What is bounded: Container or Pod.
default               Limits for containers that name none, by resource.
defaultRequest        Requests for containers that name none, by resource.
max                   The most that may be asked for, by resource.
maxLimitRequestRatio  The most that a limit may be of the request beside it, by resource.
min                   The least that may be asked for, by resource.
""",
    "ResourceQuotaSpec": """
hard           What all objects may take together, by resource; count/PLURAL.GROUP bounds the number of any kind.
scopeSelector  Conditions on pods; only those that meet all of them count. Cannot change.
scopes         Only pods that are within all of these count. Cannot change.
""",
    "ResourceQuotaStatus": """
hard  The bounds that are enforced.
used  What the objects take of them.
""",
    "ScopeSelector": """
matchExpressions  Conditions; all must hold.
""",
    "ScopedResourceSelectorRequirement": """
operator   In, NotIn, Exists or DoesNotExist.
scopeName  PriorityClass, BestEffort, NotBestEffort, Terminating or NotTerminating.
values     Values for In and NotIn; empty for the others.
""",
    "PriorityClass": """
description       When to use the class.
globalDefault     Whether pods that name no class are of this one.
preemptionPolicy  PreemptLowerPriority or Never; nothing is preempted yet.
value             Pods of higher values are placed first. Cannot change.
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
    "Endpoints": """
subsets  The addresses, by the ports that they have.
""",
    "EndpointSubset": """
addresses          Those that are ready.
notReadyAddresses  Those that are not, or not yet.
ports              Ports that all of them serve.
""",
    "EndpointAddress": """
hostname   Its name below the Service's.
ip         The address.
nodeName   Node that it is on.
targetRef  Pod behind it.
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
deprecatedCount     How often it happened, as the core form counts.
deprecatedFirstTimestamp  When it happened first, as the core form says it.
deprecatedLastTimestamp   When it happened last, as the core form says it.
deprecatedSource    Who reports it, as the core form says it.
note                What happened, for people.
regarding           What it is about.
reportingController Who reports it.
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
    "ObjectReference": """
apiVersion       Its api version.
kind             Its kind.
fieldPath        The part of it that is meant, such as spec.containers{web}.
resourceVersion  The version that was seen.
uid              Its uid: a later object of the same name is not meant.
""",
    "ReplicaSetStatus": """
availableReplicas     Pods that have been ready for long enough.
fullyLabeledReplicas  Pods with all labels of the template.
readyReplicas         Pods that are ready.
replicas              Pods that are not ending.
""",
    "NamespaceStatus": """
phase  Active or Terminating.
""",
    "NamespaceSpec": """
finalizers  Who must empty the namespace before it goes.
""",
    "Taint": """
key        What kind of pods are to stay away, such as dedicated.
effect     NoSchedule, PreferNoSchedule or NoExecute, which also sends running pods away.
timeAdded  Since when, for NoExecute.
value      Compared by tolerations with Equal.
""",
    "NodeAddress": """
type     InternalIP, ExternalIP, Hostname, InternalDNS or ExternalDNS.
address  The address.
""",
    "NodeSystemInfo": """
architecture             Such as amd64.
bootID                   Changes with every start of the machine.
containerRuntimeVersion  Runtime and its version.
kernelVersion            The kernel.
kubeletVersion           Version of the agent.
machineID                Identity of the installation.
operatingSystem          Such as linux.
osImage                  The distribution.
systemUUID               Identity of the machine.
""",
    "ClientIPConfig": """
timeoutSeconds  How long after its last connection. 10800 when absent.
""",
    "Endpoint": """
addresses  Addresses of one backend.
hostname   Its host name, for DNS.
nodeName   The node that runs it.
zone       The zone that it is in.
""",
    "EndpointConditions": """
ready        Whether it takes traffic: serving and not ending.
serving      Whether it answers, ending or not.
terminating  Whether it is ending.
""",
    "EndpointPort": """
port         The number.
protocol     TCP, UDP or SCTP. TCP when absent.
appProtocol  What is spoken there; a hint.
""",
    "EventSource": """
component  Who.
host       From where.
""",
    "RoleRef": """
apiGroup  rbac.authorization.k8s.io.
kind      Role or ClusterRole.
""",
    "UserInfo": """
extra     More that is known of the caller.
groups    The groups of the caller.
uid       Tells the caller from a later one of the same name.
username  The name of the caller.
""",
    "ResourceAttributes": """
group        The group of the resource; * is all.
resource     The plural; * is all.
subresource  Such as log; * is all.
verb         get, list, watch, create, update, patch, delete and others; * is all.
version      The version of the group; * is all.
""",
    "NonResourceAttributes": """
path  The path.
verb  get, post and others.
""",
    "SubjectAccessReviewSpec": """
extra   More that is known of the caller.
groups  The groups of the caller.
uid     The uid of the caller.
user    The name of the caller.
""",
    "SubjectAccessReviewStatus": """
allowed          Whether it is allowed.
denied           Whether it is refused for good.
evaluationError  What went wrong while this was decided.
reason           Why.
""",
}
"""By type, a line a field."""
