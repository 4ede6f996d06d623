"""The messages of Kubernetes' protobuf form, which its clients send instead of JSON where they know a kind.

One line for each: `name=1s` is the field `name`, number 1, a string. The letters are string, integer (i), boolean, bytes (y), time (t),
time with microseconds (u), quantity, integer or string (o) and raw JSON (r); `:Name` is another message; `[` is a list and `{` a map from
strings. `*` marks a field that is sent only when it is set; others always come, also with nothing in them. `+` stands for a message whose
fields JSON shows as those of the message around it. Numbers and names are the API's own and never change; the types of `api` and this
table are compared in a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MESSAGES: Final[Mapping[str, str]] = {
    "AWSElasticBlockStoreVolumeSource": "volumeID=1s fsType=2s partition=3i readOnly=4b",
    "Affinity": "nodeAffinity=1:NodeAffinity* podAffinity=2:PodAffinity* podAntiAffinity=3:PodAntiAffinity*",
    "AggregationRule": "clusterRoleSelectors=1[:LabelSelector",
    "AppArmorProfile": "type=1s localhostProfile=2s*",
    "AttachedVolume": "name=1s devicePath=2s",
    "AzureDiskVolumeSource": "diskName=1s diskURI=2s cachingMode=3s* fsType=4s* readOnly=5b* kind=6s*",
    "AzureFileVolumeSource": "secretName=1s shareName=2s readOnly=3b",
    "Binding": "metadata=1:ObjectMeta target=2:ObjectReference",
    "BoundObjectReference": "kind=1s apiVersion=2s name=3s uid=4s",
    "CSIVolumeSource": (
        "driver=1s readOnly=2b* fsType=3s* volumeAttributes=4{s nodePublishSecretRef=5:LocalObjectReference*"
    ),
    "Capabilities": "add=1[s drop=2[s",
    "CephFSVolumeSource": "monitors=1[s path=2s user=3s secretFile=4s secretRef=5:LocalObjectReference* readOnly=6b",
    "CinderVolumeSource": "volumeID=1s fsType=2s readOnly=3b secretRef=4:LocalObjectReference*",
    "ClientIPConfig": "timeoutSeconds=1i*",
    "ClusterRole": "metadata=1:ObjectMeta rules=2[:PolicyRule aggregationRule=3:AggregationRule*",
    "ClusterRoleBinding": "metadata=1:ObjectMeta subjects=2[:Subject roleRef=3:RoleRef",
    "ClusterTrustBundleProjection": (
        "name=1s* signerName=2s* labelSelector=3:LabelSelector* optional=5b* path=4s user=6i*"
    ),
    "Condition": "type=1s status=2s observedGeneration=3i lastTransitionTime=4t reason=5s message=6s",
    "ConfigMap": "metadata=1:ObjectMeta immutable=4b* data=2{s binaryData=3{y",
    "ConfigMapEnvSource": "+=1:LocalObjectReference optional=2b*",
    "ConfigMapKeySelector": "+=1:LocalObjectReference key=2s optional=3b*",
    "ConfigMapNodeConfigSource": "namespace=1s name=2s uid=3s resourceVersion=4s kubeletConfigKey=5s",
    "ConfigMapProjection": "+=1:LocalObjectReference items=2[:KeyToPath optional=4b*",
    "ConfigMapVolumeSource": "+=1:LocalObjectReference items=2[:KeyToPath defaultMode=3i* optional=4b* defaultUser=5i*",
    "Container": (
        "name=1s image=2s command=3[s args=4[s workingDir=5s ports=6[:ContainerPort envFrom=19[:EnvFromSource "
        "env=7[:EnvVar resources=8:ResourceRequirements resizePolicy=23[:ContainerResizePolicy restartPolicy=24s* "
        "restartPolicyRules=25[:ContainerRestartRule volumeMounts=9[:VolumeMount volumeDevices=21[:VolumeDevice "
        "livenessProbe=10:Probe* readinessProbe=11:Probe* startupProbe=22:Probe* lifecycle=12:Lifecycle* "
        "terminationMessagePath=13s terminationMessagePolicy=20s imagePullPolicy=14s "
        "securityContext=15:SecurityContext* stdin=16b stdinOnce=17b tty=18b"
    ),
    "ContainerExtendedResourceRequest": "containerName=1s resourceName=2s requestName=3s",
    "ContainerImage": "names=1[s sizeBytes=2i",
    "ContainerPort": "name=1s hostPort=2i containerPort=3i protocol=4s hostIP=5s",
    "ContainerResizePolicy": "resourceName=1s restartPolicy=2s",
    "ContainerRestartRule": "action=1s exitCodes=2:ContainerRestartRuleOnExitCodes*",
    "ContainerRestartRuleOnExitCodes": "operator=1s values=2[i",
    "ContainerState": (
        "waiting=1:ContainerStateWaiting* running=2:ContainerStateRunning* terminated=3:ContainerStateTerminated*"
    ),
    "ContainerStateRunning": "startedAt=1t",
    "ContainerStateTerminated": "exitCode=1i signal=2i reason=3s message=4s startedAt=5t finishedAt=6t containerID=7s",
    "ContainerStateWaiting": "reason=1s message=2s",
    "ContainerStatus": (
        "name=1s state=2:ContainerState lastState=3:ContainerState ready=4b restartCount=5i image=6s imageID=7s "
        "containerID=8s started=9b* allocatedResources=10{q resources=11:ResourceRequirements* "
        "volumeMounts=12[:VolumeMountStatus user=13:ContainerUser* allocatedResourcesStatus=14[:ResourceStatus "
        "stopSignal=15s*"
    ),
    "ContainerUser": "linux=1:LinuxContainerUser*",
    "DaemonEndpoint": "Port=1i",
    "DeleteOptions": (
        "gracePeriodSeconds=1i* preconditions=2:Preconditions* orphanDependents=3b* propagationPolicy=4s* "
        "dryRun=5[s ignoreStoreReadErrorWithClusterBreakingPotential=6b*"
    ),
    "Deployment": "metadata=1:ObjectMeta spec=2:DeploymentSpec status=3:DeploymentStatus",
    "DeploymentCondition": "type=1s status=2s lastUpdateTime=6t lastTransitionTime=7t reason=4s message=5s",
    "DeploymentSpec": (
        "replicas=1i* selector=2:LabelSelector* template=3:PodTemplateSpec strategy=4:DeploymentStrategy "
        "minReadySeconds=5i revisionHistoryLimit=6i* paused=7b progressDeadlineSeconds=9i*"
    ),
    "DeploymentStatus": (
        "observedGeneration=1i replicas=2i updatedReplicas=3i readyReplicas=7i availableReplicas=4i "
        "unavailableReplicas=5i terminatingReplicas=9i* conditions=6[:DeploymentCondition collisionCount=8i*"
    ),
    "DeploymentStrategy": "type=1s rollingUpdate=2:RollingUpdateDeployment*",
    "DownwardAPIProjection": "items=1[:DownwardAPIVolumeFile",
    "DownwardAPIVolumeFile": (
        "path=1s fieldRef=2:ObjectFieldSelector* resourceFieldRef=3:ResourceFieldSelector* mode=4i* user=5i*"
    ),
    "DownwardAPIVolumeSource": "items=1[:DownwardAPIVolumeFile defaultMode=2i* defaultUser=3i*",
    "EmptyDirVolumeSource": "medium=1s sizeLimit=2q* mode=3i*",
    "Endpoint": (
        "addresses=1[s conditions=2:EndpointConditions hostname=3s* targetRef=4:ObjectReference* "
        "deprecatedTopology=5{s nodeName=6s* zone=7s* hints=8:EndpointHints*"
    ),
    "EndpointAddress": "ip=1s targetRef=2:ObjectReference* hostname=3s nodeName=4s*",
    "EndpointConditions": "ready=1b* serving=2b* terminating=3b*",
    "EndpointHints": "forZones=1[:ForZone forNodes=2[:ForNode",
    "EndpointPort": "name=1s port=2i protocol=3s appProtocol=4s*",
    "EndpointSlice": "metadata=1:ObjectMeta addressType=4s endpoints=2[:Endpoint ports=3[:EndpointSlicePort",
    "EndpointSlicePort": "name=1s* protocol=2s* port=3i* appProtocol=4s*",
    "EndpointSubset": "addresses=1[:EndpointAddress notReadyAddresses=2[:EndpointAddress ports=3[:EndpointPort",
    "Endpoints": "metadata=1:ObjectMeta subsets=2[:EndpointSubset",
    "EnvFromSource": "prefix=1s configMapRef=2:ConfigMapEnvSource* secretRef=3:SecretEnvSource*",
    "EnvVar": "name=1s value=2s valueFrom=3:EnvVarSource*",
    "EnvVarSource": (
        "fieldRef=1:ObjectFieldSelector* resourceFieldRef=2:ResourceFieldSelector* "
        "configMapKeyRef=3:ConfigMapKeySelector* secretKeyRef=4:SecretKeySelector* fileKeyRef=5:FileKeySelector*"
    ),
    "EphemeralContainer": "+=1:EphemeralContainerCommon targetContainerName=2s",
    "EphemeralContainerCommon": (
        "name=1s image=2s command=3[s args=4[s workingDir=5s ports=6[:ContainerPort envFrom=19[:EnvFromSource "
        "env=7[:EnvVar resources=8:ResourceRequirements resizePolicy=23[:ContainerResizePolicy restartPolicy=24s* "
        "restartPolicyRules=25[:ContainerRestartRule volumeMounts=9[:VolumeMount volumeDevices=21[:VolumeDevice "
        "livenessProbe=10:Probe* readinessProbe=11:Probe* startupProbe=22:Probe* lifecycle=12:Lifecycle* "
        "terminationMessagePath=13s terminationMessagePolicy=20s imagePullPolicy=14s "
        "securityContext=15:SecurityContext* stdin=16b stdinOnce=17b tty=18b"
    ),
    "EphemeralVolumeSource": "volumeClaimTemplate=1:PersistentVolumeClaimTemplate*",
    "Event": (
        "metadata=1:ObjectMeta involvedObject=2:ObjectReference reason=3s message=4s source=5:EventSource "
        "firstTimestamp=6t lastTimestamp=7t count=8i type=9s eventTime=10u series=11:EventSeries* action=12s "
        "related=13:ObjectReference* reportingComponent=14s reportingInstance=15s"
    ),
    "EventSeries": "count=1i lastObservedTime=2u",
    "EventSource": "component=1s host=2s",
    "Eviction": "metadata=1:ObjectMeta deleteOptions=2:DeleteOptions*",
    "EvictionResponder": "name=1s priority=2i*",
    "ExecAction": "command=1[s",
    "ExtraValue": "items=1[s",
    "FCVolumeSource": "targetWWNs=1[s lun=2i* fsType=3s readOnly=4b wwids=5[s",
    "FieldSelectorAttributes": "rawSelector=1s requirements=2[:FieldSelectorRequirement",
    "FieldSelectorRequirement": "key=1s operator=2s values=3[s",
    "FileKeySelector": "volumeName=1s path=2s key=3s optional=4b*",
    "FlexVolumeSource": "driver=1s fsType=2s secretRef=3:LocalObjectReference* readOnly=4b options=5{s",
    "FlockerVolumeSource": "datasetName=1s datasetUUID=2s",
    "ForNode": "name=1s",
    "ForZone": "name=1s",
    "GCEPersistentDiskVolumeSource": "pdName=1s fsType=2s partition=3i readOnly=4b",
    "GRPCAction": "port=1i service=2s* mode=3s*",
    "GitRepoVolumeSource": "repository=1s revision=2s directory=3s",
    "GlusterfsVolumeSource": "endpoints=1s path=2s readOnly=3b",
    "HTTPGetAction": "path=1s port=2o host=3s scheme=4s httpHeaders=5[:HTTPHeader protocol=6s*",
    "HTTPHeader": "name=1s value=2s",
    "HostAlias": "ip=1s hostnames=2[s",
    "HostIP": "ip=1s",
    "HostPathVolumeSource": "path=1s type=2s*",
    "ISCSIVolumeSource": (
        "targetPortal=1s iqn=2s lun=3i iscsiInterface=4s fsType=5s readOnly=6b portals=7[s chapAuthDiscovery=8b "
        "chapAuthSession=11b secretRef=10:LocalObjectReference* initiatorName=12s*"
    ),
    "ImageVolumeSource": "reference=1s pullPolicy=2s",
    "ImageVolumeStatus": "imageRef=1s",
    "KeyToPath": "key=1s path=2s mode=3i* user=4i*",
    "LabelSelector": "matchLabels=1{s matchExpressions=2[:LabelSelectorRequirement",
    "LabelSelectorAttributes": "rawSelector=1s requirements=2[:LabelSelectorRequirement",
    "LabelSelectorRequirement": "key=1s operator=2s values=3[s",
    "Lease": "metadata=1:ObjectMeta spec=2:LeaseSpec",
    "LeaseSpec": (
        "holderIdentity=1s* leaseDurationSeconds=2i* acquireTime=3u* renewTime=4u* leaseTransitions=5i* "
        "strategy=6s* preferredHolder=7s*"
    ),
    "Lifecycle": "postStart=1:LifecycleHandler* preStop=2:LifecycleHandler* stopSignal=3s*",
    "LifecycleHandler": "exec=1:ExecAction* httpGet=2:HTTPGetAction* tcpSocket=3:TCPSocketAction* sleep=4:SleepAction*",
    "LimitRange": "metadata=1:ObjectMeta spec=2:LimitRangeSpec",
    "LimitRangeItem": "type=1s max=2{q min=3{q default=4{q defaultRequest=5{q maxLimitRequestRatio=6{q",
    "LimitRangeSpec": "limits=1[:LimitRangeItem",
    "LinuxContainerUser": "uid=1i gid=2i supplementalGroups=3[i",
    "LoadBalancerIngress": "ip=1s hostname=2s ipMode=3s* ports=4[:PortStatus",
    "LoadBalancerStatus": "ingress=1[:LoadBalancerIngress",
    "LocalObjectReference": "name=1s",
    "LocalSubjectAccessReview": "metadata=1:ObjectMeta spec=2:SubjectAccessReviewSpec status=3:SubjectAccessReviewStatus",
    "ManagedFieldsEntry": "manager=1s operation=2s apiVersion=3s time=4t* fieldsType=6s fieldsV1=7r* subresource=8s",
    "MatchCondition": "name=1s expression=2s",
    "MutatingWebhook": (
        "name=1s clientConfig=2:WebhookClientConfig rules=3[:RuleWithOperations failurePolicy=4s* namespaceSelector=5:LabelSelector* "
        "sideEffects=6s* timeoutSeconds=7i* admissionReviewVersions=8[s matchPolicy=9s* reinvocationPolicy=10s* "
        "objectSelector=11:LabelSelector* matchConditions=12[:MatchCondition"
    ),
    "MutatingWebhookConfiguration": "metadata=1:ObjectMeta webhooks=2[:MutatingWebhook",
    "NFSVolumeSource": "server=1s path=2s readOnly=3b",
    "Namespace": "metadata=1:ObjectMeta spec=2:NamespaceSpec status=3:NamespaceStatus",
    "NamespaceCondition": "type=1s status=2s lastTransitionTime=4t reason=5s message=6s",
    "NamespaceSpec": "finalizers=1[s",
    "NamespaceStatus": "phase=1s conditions=2[:NamespaceCondition",
    "Node": "metadata=1:ObjectMeta spec=2:NodeSpec status=3:NodeStatus",
    "NodeAddress": "type=1s address=2s",
    "NodeAffinity": (
        "requiredDuringSchedulingIgnoredDuringExecution=1:NodeSelector* "
        "preferredDuringSchedulingIgnoredDuringExecution=2[:PreferredSchedulingTerm"
    ),
    "NodeAllocatableMappedResources": "name=1s quantity=2q*",
    "NodeAllocatableOverheadResources": "name=1s perPod=2q* perContainer=3q*",
    "NodeAllocatableResourceClaimStatus": (
        "resourceClaimName=1s containers=2[s mapping=4[:NodeAllocatableMappedResources "
        "overhead=5[:NodeAllocatableOverheadResources"
    ),
    "NodeCondition": "type=1s status=2s lastHeartbeatTime=3t lastTransitionTime=4t reason=5s message=6s",
    "NodeConfigSource": "configMap=2:ConfigMapNodeConfigSource*",
    "NodeConfigStatus": (
        "assigned=1:NodeConfigSource* active=2:NodeConfigSource* lastKnownGood=3:NodeConfigSource* error=4s"
    ),
    "NodeDaemonEndpoints": "kubeletEndpoint=1:DaemonEndpoint",
    "NodeFeatures": "supplementalGroupsPolicy=1b*",
    "NodePodPreemptionPolicy": "disableResizePreemption=1[s",
    "NodeRuntimeHandler": "name=1s features=2:NodeRuntimeHandlerFeatures*",
    "NodeRuntimeHandlerFeatures": "recursiveReadOnlyMounts=1b* userNamespaces=2b*",
    "NodeSelector": "nodeSelectorTerms=1[:NodeSelectorTerm",
    "NodeSelectorRequirement": "key=1s operator=2s values=3[s",
    "NodeSelectorTerm": "matchExpressions=1[:NodeSelectorRequirement matchFields=2[:NodeSelectorRequirement",
    "NodeSpec": (
        "podCIDR=1s podCIDRs=7[s providerID=3s unschedulable=4b taints=5[:Taint configSource=6:NodeConfigSource* "
        "externalID=2s podPreemptionPolicy=8:NodePodPreemptionPolicy*"
    ),
    "NodeStatus": (
        "capacity=1{q allocatable=2{q phase=3s conditions=4[:NodeCondition addresses=5[:NodeAddress "
        "daemonEndpoints=6:NodeDaemonEndpoints nodeInfo=7:NodeSystemInfo images=8[:ContainerImage volumesInUse=9[s "
        "volumesAttached=10[:AttachedVolume config=11:NodeConfigStatus* runtimeHandlers=12[:NodeRuntimeHandler "
        "features=13:NodeFeatures* declaredFeatures=14[s"
    ),
    "NodeSwapStatus": "capacity=1i*",
    "NodeSystemInfo": (
        "machineID=1s systemUUID=2s bootID=3s kernelVersion=4s osImage=5s containerRuntimeVersion=6s "
        "kubeletVersion=7s kubeProxyVersion=8s operatingSystem=9s architecture=10s swap=11:NodeSwapStatus*"
    ),
    "NonResourceAttributes": "path=1s verb=2s",
    "NonResourceRule": "verbs=1[s nonResourceURLs=2[s",
    "ObjectFieldSelector": "apiVersion=1s fieldPath=2s",
    "ObjectMeta": (
        "name=1s generateName=2s namespace=3s selfLink=4s uid=5s resourceVersion=6s generation=7i "
        "creationTimestamp=8t deletionTimestamp=9t* deletionGracePeriodSeconds=10i* labels=11{s annotations=12{s "
        "ownerReferences=13[:OwnerReference finalizers=14[s managedFields=17[:ManagedFieldsEntry"
    ),
    "ObjectReference": "kind=1s namespace=2s name=3s uid=4s apiVersion=5s resourceVersion=6s fieldPath=7s",
    "OwnerReference": "apiVersion=5s kind=1s name=3s uid=4s controller=6b* blockOwnerDeletion=7b*",
    "PersistentVolumeClaimSpec": (
        "accessModes=1[s selector=4:LabelSelector* resources=2:VolumeResourceRequirements volumeName=3s "
        "storageClassName=5s* volumeMode=6s* dataSource=7:TypedLocalObjectReference* "
        "dataSourceRef=8:TypedObjectReference* volumeAttributesClassName=9s*"
    ),
    "PersistentVolumeClaimTemplate": "metadata=1:ObjectMeta spec=2:PersistentVolumeClaimSpec",
    "PersistentVolumeClaimVolumeSource": "claimName=1s readOnly=2b",
    "PhotonPersistentDiskVolumeSource": "pdID=1s fsType=2s",
    "Pod": "metadata=1:ObjectMeta spec=2:PodSpec status=3:PodStatus",
    "PodAffinity": (
        "requiredDuringSchedulingIgnoredDuringExecution=1[:PodAffinityTerm "
        "preferredDuringSchedulingIgnoredDuringExecution=2[:WeightedPodAffinityTerm"
    ),
    "PodAffinityTerm": (
        "labelSelector=1:LabelSelector* namespaces=2[s topologyKey=3s namespaceSelector=4:LabelSelector* "
        "matchLabelKeys=5[s mismatchLabelKeys=6[s"
    ),
    "PodAntiAffinity": (
        "requiredDuringSchedulingIgnoredDuringExecution=1[:PodAffinityTerm "
        "preferredDuringSchedulingIgnoredDuringExecution=2[:WeightedPodAffinityTerm"
    ),
    "PodCertificateProjection": (
        "signerName=1s keyType=2s maxExpirationSeconds=3i* credentialBundlePath=4s keyPath=5s "
        "certificateChainPath=6s userAnnotations=7{s user=8i*"
    ),
    "PodCondition": "type=1s observedGeneration=7i status=2s lastProbeTime=3t lastTransitionTime=4t reason=5s message=6s",
    "PodDNSConfig": "nameservers=1[s searches=2[s options=3[:PodDNSConfigOption",
    "PodDNSConfigOption": "name=1s value=2s*",
    "PodExtendedResourceClaimStatus": "requestMappings=1[:ContainerExtendedResourceRequest resourceClaimName=2s",
    "PodIP": "ip=1s",
    "PodOS": "name=1s",
    "PodReadinessGate": "conditionType=1s",
    "PodResourceClaim": "name=1s resourceClaimName=3s* resourceClaimTemplateName=4s*",
    "PodResourceClaimStatus": "name=1s resourceClaimName=2s*",
    "PodSchedulingGate": "name=1s",
    "PodSchedulingGroup": "podGroupName=1s*",
    "PodSecurityContext": (
        "seLinuxOptions=1:SELinuxOptions* windowsOptions=8:WindowsSecurityContextOptions* runAsUser=2i* "
        "runAsGroup=6i* runAsNonRoot=3b* supplementalGroups=4[i supplementalGroupsPolicy=12s* fsGroup=5i* "
        "sysctls=7[:Sysctl fsGroupChangePolicy=9s* seccompProfile=10:SeccompProfile* "
        "appArmorProfile=11:AppArmorProfile* seLinuxChangePolicy=13s*"
    ),
    "PodSpec": (
        "volumes=1[:Volume initContainers=20[:Container containers=2[:Container "
        "ephemeralContainers=34[:EphemeralContainer restartPolicy=3s terminationGracePeriodSeconds=4i* "
        "activeDeadlineSeconds=5i* dnsPolicy=6s nodeSelector=7{s serviceAccountName=8s serviceAccount=9s "
        "automountServiceAccountToken=21b* nodeName=10s hostNetwork=11b hostPID=12b hostIPC=13b "
        "shareProcessNamespace=27b* securityContext=14:PodSecurityContext* "
        "imagePullSecrets=15[:LocalObjectReference hostname=16s subdomain=17s affinity=18:Affinity* "
        "schedulerName=19s tolerations=22[:Toleration hostAliases=23[:HostAlias priorityClassName=24s priority=25i* "
        "dnsConfig=26:PodDNSConfig* readinessGates=28[:PodReadinessGate runtimeClassName=29s* "
        "enableServiceLinks=30b* preemptionPolicy=31s* overhead=32{q "
        "topologySpreadConstraints=33[:TopologySpreadConstraint setHostnameAsFQDN=35b* os=36:PodOS* hostUsers=37b* "
        "schedulingGates=38[:PodSchedulingGate resourceClaims=39[:PodResourceClaim "
        "resources=40:ResourceRequirements* hostnameOverride=41s* schedulingGroup=43:PodSchedulingGroup* "
        "evictionResponders=44[:EvictionResponder"
    ),
    "PodStatus": (
        "observedGeneration=17i phase=1s conditions=2[:PodCondition message=3s reason=4s nominatedNodeName=11s "
        "hostIP=5s hostIPs=16[:HostIP podIP=6s podIPs=12[:PodIP startTime=7t* "
        "initContainerStatuses=10[:ContainerStatus containerStatuses=8[:ContainerStatus qosClass=9s "
        "ephemeralContainerStatuses=13[:ContainerStatus resize=14s resourceClaimStatuses=15[:PodResourceClaimStatus "
        "extendedResourceClaimStatus=18:PodExtendedResourceClaimStatus* allocatedResources=19{q "
        "resources=20:ResourceRequirements* "
        "nodeAllocatableResourceClaimStatuses=21[:NodeAllocatableResourceClaimStatus "
        "volumeHealth=22[:PodVolumeHealth"
    ),
    "PodTemplateSpec": "metadata=1:ObjectMeta spec=2:PodSpec",
    "PodVolumeHealth": "name=1s healthConditions=2[:VolumeHealthCondition lastTransitionTime=3t",
    "PolicyRule": "verbs=1[s apiGroups=2[s resources=3[s resourceNames=4[s nonResourceURLs=5[s",
    "PortStatus": "port=1i protocol=2s error=3s*",
    "PortworxVolumeSource": "volumeID=1s fsType=2s readOnly=3b",
    "Preconditions": "uid=1s*",
    "PreferredSchedulingTerm": "weight=1i preference=2:NodeSelectorTerm",
    "PriorityClass": "metadata=1:ObjectMeta value=2i globalDefault=3b description=4s preemptionPolicy=5s*",
    "Probe": (
        "+=1:ProbeHandler initialDelaySeconds=2i timeoutSeconds=3i periodSeconds=4i successThreshold=5i "
        "failureThreshold=6i terminationGracePeriodSeconds=7i*"
    ),
    "ProbeHandler": "exec=1:ExecAction* httpGet=2:HTTPGetAction* tcpSocket=3:TCPSocketAction* grpc=4:GRPCAction*",
    "ProjectedVolumeSource": "sources=1[:VolumeProjection defaultMode=2i* defaultUser=3i*",
    "QuobyteVolumeSource": "registry=1s volume=2s readOnly=3b user=4s group=5s tenant=6s",
    "RBDVolumeSource": (
        "monitors=1[s image=2s fsType=3s pool=4s user=5s keyring=6s secretRef=7:LocalObjectReference* readOnly=8b"
    ),
    "ReplicaSet": "metadata=1:ObjectMeta spec=2:ReplicaSetSpec status=3:ReplicaSetStatus",
    "ReplicaSetCondition": "type=1s status=2s lastTransitionTime=3t reason=4s message=5s",
    "ReplicaSetSpec": "replicas=1i* minReadySeconds=4i selector=2:LabelSelector* template=3:PodTemplateSpec",
    "ReplicaSetStatus": (
        "replicas=1i fullyLabeledReplicas=2i readyReplicas=4i availableReplicas=5i terminatingReplicas=7i* "
        "observedGeneration=3i conditions=6[:ReplicaSetCondition"
    ),
    "ResourceAttributes": (
        "namespace=1s verb=2s group=3s version=4s resource=5s subresource=6s name=7s "
        "fieldSelector=8:FieldSelectorAttributes* labelSelector=9:LabelSelectorAttributes*"
    ),
    "ResourceClaim": "name=1s request=2s",
    "ResourceFieldSelector": "containerName=1s resource=2s divisor=3q",
    "ResourceHealth": "resourceID=1s health=2s message=6s*",
    "ResourceQuota": "metadata=1:ObjectMeta spec=2:ResourceQuotaSpec status=3:ResourceQuotaStatus",
    "ResourceQuotaSpec": "hard=1{q scopes=2[s scopeSelector=3:ScopeSelector*",
    "ResourceQuotaStatus": "hard=1{q used=2{q",
    "ResourceRequirements": "limits=1{q requests=2{q claims=3[:ResourceClaim",
    "ResourceRule": "verbs=1[s apiGroups=2[s resources=3[s resourceNames=4[s",
    "ResourceStatus": "name=1s resources=2[:ResourceHealth",
    "Role": "metadata=1:ObjectMeta rules=2[:PolicyRule",
    "RoleBinding": "metadata=1:ObjectMeta subjects=2[:Subject roleRef=3:RoleRef",
    "RoleRef": "apiGroup=1s kind=2s name=3s",
    "RollingUpdateDeployment": "maxUnavailable=1o* maxSurge=2o*",
    "Rule": "apiGroups=1[s apiVersions=2[s resources=3[s scope=4s*",
    "RuleWithOperations": "operations=1[s +=2:Rule",
    "SELinuxOptions": "user=1s role=2s type=3s level=4s",
    "Scale": "metadata=1:ObjectMeta spec=2:ScaleSpec status=3:ScaleStatus",
    "ScaleIOVolumeSource": (
        "gateway=1s system=2s secretRef=3:LocalObjectReference* sslEnabled=4b protectionDomain=5s storagePool=6s "
        "storageMode=7s volumeName=8s fsType=9s readOnly=10b"
    ),
    "ScaleSpec": "replicas=1i",
    "ScaleStatus": "replicas=1i selector=2s",
    "ScopeSelector": "matchExpressions=1[:ScopedResourceSelectorRequirement",
    "ScopedResourceSelectorRequirement": "scopeName=1s operator=2s values=3[s",
    "SeccompProfile": "type=1s localhostProfile=2s*",
    "Secret": "metadata=1:ObjectMeta immutable=5b* data=2{y stringData=4{s type=3s",
    "SecretEnvSource": "+=1:LocalObjectReference optional=2b*",
    "SecretKeySelector": "+=1:LocalObjectReference key=2s optional=3b*",
    "SecretProjection": "+=1:LocalObjectReference items=2[:KeyToPath optional=4b*",
    "SecretVolumeSource": "secretName=1s items=2[:KeyToPath defaultMode=3i* optional=4b* defaultUser=5i*",
    "SecurityContext": (
        "capabilities=1:Capabilities* privileged=2b* seLinuxOptions=3:SELinuxOptions* "
        "windowsOptions=10:WindowsSecurityContextOptions* runAsUser=4i* runAsGroup=8i* runAsNonRoot=5b* "
        "readOnlyRootFilesystem=6b* allowPrivilegeEscalation=7b* procMount=9s* seccompProfile=11:SeccompProfile* "
        "appArmorProfile=12:AppArmorProfile*"
    ),
    "SelfSubjectAccessReview": (
        "metadata=1:ObjectMeta spec=2:SelfSubjectAccessReviewSpec status=3:SubjectAccessReviewStatus"
    ),
    "SelfSubjectAccessReviewSpec": (
        "resourceAttributes=1:ResourceAttributes* nonResourceAttributes=2:NonResourceAttributes*"
    ),
    "SelfSubjectReview": "metadata=1:ObjectMeta status=2:SelfSubjectReviewStatus",
    "SelfSubjectReviewStatus": "userInfo=1:UserInfo",
    "SelfSubjectRulesReview": "metadata=1:ObjectMeta spec=2:SelfSubjectRulesReviewSpec status=3:SubjectRulesReviewStatus",
    "SelfSubjectRulesReviewSpec": "namespace=1s",
    "Service": "metadata=1:ObjectMeta spec=2:ServiceSpec status=3:ServiceStatus",
    "ServiceAccount": (
        "metadata=1:ObjectMeta secrets=2[:ObjectReference imagePullSecrets=3[:LocalObjectReference "
        "automountServiceAccountToken=4b*"
    ),
    "ServiceAccountTokenProjection": "audience=1s expirationSeconds=2i* path=3s user=4i*",
    "ServicePort": "name=1s protocol=2s appProtocol=6s* port=3i targetPort=4o nodePort=5i",
    "ServiceReference": "namespace=1s name=2s path=3s* port=4i*",
    "ServiceSpec": (
        "ports=1[:ServicePort selector=2{s clusterIP=3s clusterIPs=18[s type=4s externalIPs=5[s sessionAffinity=7s "
        "loadBalancerIP=8s loadBalancerSourceRanges=9[s externalName=10s externalTrafficPolicy=11s "
        "healthCheckNodePort=12i publishNotReadyAddresses=13b sessionAffinityConfig=14:SessionAffinityConfig* "
        "ipFamilies=19[s ipFamilyPolicy=17s* allocateLoadBalancerNodePorts=20b* loadBalancerClass=21s* "
        "internalTrafficPolicy=22s* trafficDistribution=23s*"
    ),
    "ServiceStatus": "loadBalancer=1:LoadBalancerStatus conditions=2[:Condition",
    "SessionAffinityConfig": "clientIP=1:ClientIPConfig*",
    "SleepAction": "seconds=1i",
    "StorageOSVolumeSource": "volumeName=1s volumeNamespace=2s fsType=3s readOnly=4b secretRef=5:LocalObjectReference*",
    "Subject": "kind=1s apiGroup=2s name=3s namespace=4s",
    "SubjectAccessReview": "metadata=1:ObjectMeta spec=2:SubjectAccessReviewSpec status=3:SubjectAccessReviewStatus",
    "SubjectAccessReviewSpec": (
        "resourceAttributes=1:ResourceAttributes* nonResourceAttributes=2:NonResourceAttributes* user=3s groups=4[s "
        "extra=5{:ExtraValue uid=6s"
    ),
    "SubjectAccessReviewStatus": "allowed=1b denied=4b reason=2s evaluationError=3s",
    "SubjectRulesReviewStatus": (
        "resourceRules=1[:ResourceRule nonResourceRules=2[:NonResourceRule incomplete=3b evaluationError=4s"
    ),
    "Sysctl": "name=1s value=2s",
    "TCPSocketAction": "port=1o host=2s",
    "Taint": "key=1s value=2s effect=3s timeAdded=4t*",
    "TokenRequest": "metadata=1:ObjectMeta spec=2:TokenRequestSpec status=3:TokenRequestStatus",
    "TokenRequestSpec": "audiences=1[s expirationSeconds=4i* boundObjectRef=3:BoundObjectReference*",
    "TokenRequestStatus": "token=1s expirationTimestamp=2t",
    "TokenReview": "metadata=1:ObjectMeta spec=2:TokenReviewSpec status=3:TokenReviewStatus",
    "TokenReviewSpec": "token=1s audiences=2[s",
    "TokenReviewStatus": "authenticated=1b user=2:UserInfo audiences=4[s error=3s",
    "Toleration": "key=1s operator=2s value=3s effect=4s tolerationSeconds=5i*",
    "TopologySpreadConstraint": (
        "maxSkew=1i topologyKey=2s whenUnsatisfiable=3s labelSelector=4:LabelSelector* minDomains=5i* "
        "nodeAffinityPolicy=6s* nodeTaintsPolicy=7s* matchLabelKeys=8[s"
    ),
    "TypedLocalObjectReference": "apiGroup=1s* kind=2s name=3s",
    "TypedObjectReference": "apiGroup=1s* kind=2s name=3s namespace=4s*",
    "UserInfo": "username=1s uid=2s groups=3[s extra=4{:ExtraValue",
    "ValidatingWebhook": (
        "name=1s clientConfig=2:WebhookClientConfig rules=3[:RuleWithOperations failurePolicy=4s* namespaceSelector=5:LabelSelector* "
        "sideEffects=6s* timeoutSeconds=7i* admissionReviewVersions=8[s matchPolicy=9s* objectSelector=10:LabelSelector* "
        "matchConditions=11[:MatchCondition"
    ),
    "ValidatingWebhookConfiguration": "metadata=1:ObjectMeta webhooks=2[:ValidatingWebhook",
    "Volume": "name=1s +=2:VolumeSource",
    "VolumeDevice": "name=1s devicePath=2s",
    "VolumeHealthCondition": "status=1s reason=2s message=3s",
    "VolumeMount": (
        "name=1s readOnly=2b recursiveReadOnly=7s* mountPath=3s subPath=4s mountPropagation=5s* subPathExpr=6s "
        "bindMountOptions=8[s"
    ),
    "VolumeMountStatus": "name=1s mountPath=2s readOnly=3b recursiveReadOnly=4s* volumeStatus=5:VolumeStatus*",
    "VolumeProjection": (
        "secret=1:SecretProjection* downwardAPI=2:DownwardAPIProjection* configMap=3:ConfigMapProjection* "
        "serviceAccountToken=4:ServiceAccountTokenProjection* clusterTrustBundle=5:ClusterTrustBundleProjection* "
        "podCertificate=6:PodCertificateProjection*"
    ),
    "VolumeResourceRequirements": "limits=1{q requests=2{q",
    "VolumeSource": (
        "hostPath=1:HostPathVolumeSource* emptyDir=2:EmptyDirVolumeSource* "
        "gcePersistentDisk=3:GCEPersistentDiskVolumeSource* "
        "awsElasticBlockStore=4:AWSElasticBlockStoreVolumeSource* gitRepo=5:GitRepoVolumeSource* "
        "secret=6:SecretVolumeSource* nfs=7:NFSVolumeSource* iscsi=8:ISCSIVolumeSource* "
        "glusterfs=9:GlusterfsVolumeSource* persistentVolumeClaim=10:PersistentVolumeClaimVolumeSource* "
        "rbd=11:RBDVolumeSource* flexVolume=12:FlexVolumeSource* cinder=13:CinderVolumeSource* "
        "cephfs=14:CephFSVolumeSource* flocker=15:FlockerVolumeSource* downwardAPI=16:DownwardAPIVolumeSource* "
        "fc=17:FCVolumeSource* azureFile=18:AzureFileVolumeSource* configMap=19:ConfigMapVolumeSource* "
        "vsphereVolume=20:VsphereVirtualDiskVolumeSource* quobyte=21:QuobyteVolumeSource* "
        "azureDisk=22:AzureDiskVolumeSource* photonPersistentDisk=23:PhotonPersistentDiskVolumeSource* "
        "projected=26:ProjectedVolumeSource* portworxVolume=24:PortworxVolumeSource* "
        "scaleIO=25:ScaleIOVolumeSource* storageos=27:StorageOSVolumeSource* csi=28:CSIVolumeSource* "
        "ephemeral=29:EphemeralVolumeSource* image=30:ImageVolumeSource*"
    ),
    "VolumeStatus": "image=1:ImageVolumeStatus*",
    "VsphereVirtualDiskVolumeSource": "volumePath=1s fsType=2s storagePolicyName=3s storagePolicyID=4s",
    "WebhookClientConfig": "service=1:ServiceReference* caBundle=2y url=3s*",
    "WeightedPodAffinityTerm": "weight=1i podAffinityTerm=2:PodAffinityTerm",
    "WindowsSecurityContextOptions": (
        "gmsaCredentialSpecName=1s* gmsaCredentialSpec=2s* runAsUserName=3s* hostProcess=4b*"
    ),
}
