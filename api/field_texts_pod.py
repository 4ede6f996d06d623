"""Meanings of the fields of pods and what they are made of, as in `api.field_texts`. Only data."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
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
    "Volume": """
name  Unique in the pod; what mounts name.
""",
    "HTTPGetAction": """
port         Number or name of the container's port.
host         Whom to connect to; the pod when absent.
httpHeaders  Headers of the request.
path         The page.
scheme       HTTP or HTTPS. Certificates are not checked.
""",
    "TCPSocketAction": """
port  Number or name of the container's port.
host  Whom to connect to; the pod when absent.
""",
    "GRPCAction": """
port     Number of the container's port.
service  What is asked for; the server as a whole when absent.
""",
    "ExecAction": """
command  The program and its arguments; no shell.
""",
    "SleepAction": """
seconds  How long.
""",
    "Capabilities": """
add   Given in addition, without CAP_; ALL is all.
drop  Taken away; ALL is all.
""",
    "HostAlias": """
hostnames  Names for the address.
ip         The address.
""",
    "PodDNSConfig": """
nameservers  Addresses of resolvers.
options      Options of the resolver, such as ndots.
searches     Domains that are tried behind short names.
""",
    "PodReadinessGate": """
conditionType  The condition of the pod that must be True.
""",
    "NodeSelectorRequirement": """
key       The node's label or field.
operator  In, NotIn, Exists, DoesNotExist, Gt or Lt.
values    Values for In and NotIn; one number for Gt and Lt.
""",
    "PodAffinityTerm": """
labelSelector      Which pods are meant.
namespaceSelector  In namespaces of these labels, beside those named.
namespaces         In these namespaces; the pod's own when there are none.
topologyKey        The node label the values of which are the places.
""",
    "PreferredSchedulingTerm": """
weight  1 to 100.
""",
    "WeightedPodAffinityTerm": """
weight  1 to 100.
""",
    "EnvFromSource": """
prefix  In front of every key.
""",
    "ConfigMapKeySelector": """
key  The key.
""",
    "SecretKeySelector": """
key  The key.
""",
    "ObjectFieldSelector": """
fieldPath  Such as metadata.name, metadata.labels['app'], spec.nodeName or status.podIP.
""",
    "ResourceFieldSelector": """
containerName  The container; needed in volumes.
divisor        The unit of the result, such as 1Mi.
resource       limits.cpu, limits.memory, requests.cpu or requests.memory.
""",
    "KeyToPath": """
key   The key.
mode  Permission bits of the file.
path  The file, below the mount; no "..".
""",
    "DownwardAPIVolumeFile": """
mode  Permission bits of the file.
path  The file, below the mount.
""",
    "SecretVolumeSource": """
items       Only these keys, at these paths.
secretName  The Secret.
""",
    "ConfigMapVolumeSource": """
items  Only these keys, at these paths.
""",
    "EmptyDirVolumeSource": """
medium     Memory keeps it in memory, which counts as the containers' own.
sizeLimit  How large it may become.
""",
    "HostPathVolumeSource": """
type  What must be there, such as Directory or FileOrCreate.
path  The path on the node.
""",
    "PersistentVolumeClaimVolumeSource": """
claimName  The claim, in the pod's namespace.
""",
    "ServiceAccountTokenProjection": """
audience           For whom the token is; the API when absent.
expirationSeconds  How long it is good for, at least 600; it is renewed before. 3600 when absent.
path               The file, below the mount.
""",
    "EphemeralContainer": """
targetContainerName  The container, which must run, whose processes it sees; only its own when absent.
""",
    "ContainerStateRunning": """
startedAt  Since when.
""",
    "ContainerStateTerminated": """
containerID  The container, as the runtime names it.
exitCode     The exit code of its first process.
finishedAt   When it ended.
message      The end of its termination message.
reason       Completed, Error, OOMKilled or another word.
signal       The signal that ended it.
startedAt    When it was started.
""",
    "ContainerStateWaiting": """
message  What it waits for, for people.
reason   What it waits for, in one word.
""",
}
"""By type, a line a field."""
