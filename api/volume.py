"""Volumes that the cluster itself fills: scratch space, configuration, claims, projections."""

from __future__ import annotations

import msgspec

from api.env import ObjectFieldSelector, ResourceFieldSelector
from api.meta import (
    LabelSelector,
    LocalObjectReference,
    ObjectMeta,
    Quantity,
    Resource,
    TypedLocalObjectReference,
    TypedObjectReference,
    required,
)
from api.volume_sources import (
    AWSElasticBlockStoreVolumeSource,
    AzureDiskVolumeSource,
    AzureFileVolumeSource,
    CephFSVolumeSource,
    CinderVolumeSource,
    FCVolumeSource,
    FlexVolumeSource,
    FlockerVolumeSource,
    GCEPersistentDiskVolumeSource,
    GitRepoVolumeSource,
    GlusterfsVolumeSource,
    ISCSIVolumeSource,
    NFSVolumeSource,
    PhotonPersistentDiskVolumeSource,
    PortworxVolumeSource,
    QuobyteVolumeSource,
    RBDVolumeSource,
    ScaleIOVolumeSource,
    StorageOSVolumeSource,
    VsphereVirtualDiskVolumeSource,
)


class KeyToPath(Resource):
    """One key and the relative path of its file; `mode` is the file's permission bits."""

    key: str = required("")
    mode: int | None = None
    path: str = required("")
    user: int | None = None


class ConfigMapVolumeSource(Resource):
    """Files from the keys of a ConfigMap; `default_mode` is permission bits (octal 644 is 420)."""

    name: str | None = None
    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class SecretVolumeSource(Resource):
    """Files from the keys of a Secret, kept in memory on the node."""

    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None
    secret_name: str | None = None


class DownwardAPIVolumeFile(Resource):
    """A file holding a field or a resource amount of the pod."""

    field_ref: ObjectFieldSelector | None = None
    mode: int | None = None
    path: str = required("")
    resource_field_ref: ResourceFieldSelector | None = None
    user: int | None = None


class DownwardAPIVolumeSource(Resource):
    """Files about the pod itself."""

    default_mode: int | None = None
    default_user: int | None = None
    items: tuple[DownwardAPIVolumeFile, ...] = ()


class EmptyDirVolumeSource(Resource):
    """Scratch space that lives as long as the pod on its node; medium Memory is a tmpfs."""

    medium: str | None = None
    mode: int | None = None
    size_limit: Quantity | None = None


class HostPathVolumeSource(Resource):
    """A path of the node; `type` says what must or shall be there."""

    type: str | None = None
    path: str = required("")


class ImageVolumeSource(Resource):
    """The files of an image, read only."""

    pull_policy: str | None = None
    reference: str | None = None


class PersistentVolumeClaimVolumeSource(Resource):
    """A claim in the pod's namespace."""

    claim_name: str = required("")
    read_only: bool | None = None


class VolumeResourceRequirements(Resource):
    """The smallest and largest size of a volume."""

    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class PersistentVolumeClaimSpec(Resource):
    """What kind of storage is wanted."""

    access_modes: tuple[str, ...] = ()
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    resources: VolumeResourceRequirements | None = None
    selector: LabelSelector | None = None
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    volume_mode: str | None = None
    volume_name: str | None = None


class PersistentVolumeClaimTemplate(Resource):
    """The claim made for one pod."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()


class EphemeralVolumeSource(Resource):
    """A claim that is created and deleted with the pod."""

    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class CSIVolumeSource(Resource):
    """Storage that an external driver provides inline."""

    driver: str = required("")
    fs_type: str | None = None
    node_publish_secret_ref: LocalObjectReference | None = None
    read_only: bool | None = None
    volume_attributes: dict[str, str] = {}


class ClusterTrustBundleProjection(Resource):
    """Trust anchors written to one file."""

    name: str | None = None
    label_selector: LabelSelector | None = None
    optional: bool | None = None
    path: str = required("")
    signer_name: str | None = None
    user: int | None = None


class ConfigMapProjection(Resource):
    """Keys of a ConfigMap."""

    name: str | None = None
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class DownwardAPIProjection(Resource):
    """Fields of the pod."""

    items: tuple[DownwardAPIVolumeFile, ...] = ()


class PodCertificateProjection(Resource):
    """A private key and a certificate issued for the pod."""

    certificate_chain_path: str | None = None
    credential_bundle_path: str | None = None
    key_path: str | None = None
    key_type: str = required("")
    max_expiration_seconds: int | None = None
    signer_name: str = required("")
    user: int | None = None
    user_annotations: dict[str, str] = {}


class SecretProjection(Resource):
    """Keys of a Secret."""

    name: str | None = None
    items: tuple[KeyToPath, ...] = ()
    optional: bool | None = None


class ServiceAccountTokenProjection(Resource):
    """A token for the pod's identity, renewed before it expires (seconds)."""

    audience: str | None = None
    expiration_seconds: int | None = None
    path: str = required("")
    user: int | None = None


class VolumeProjection(Resource):
    """One source of a projected volume; exactly one is given."""

    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardAPIProjection | None = msgspec.field(name="downwardAPI", default=None)
    pod_certificate: PodCertificateProjection | None = None
    secret: SecretProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None


class ProjectedVolumeSource(Resource):
    """Several sources in one folder."""

    default_mode: int | None = None
    default_user: int | None = None
    sources: tuple[VolumeProjection, ...] = ()


class Volume(Resource):
    """A named volume of a pod; exactly one source is given, none means an emptyDir."""

    name: str = required("")
    image: ImageVolumeSource | None = None
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    azure_file: AzureFileVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = msgspec.field(name="downwardAPI", default=None)
    empty_dir: EmptyDirVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flex_volume: FlexVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    git_repo: GitRepoVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    nfs: NFSVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    scale_io: ScaleIOVolumeSource | None = msgspec.field(name="scaleIO", default=None)
    secret: SecretVolumeSource | None = None
    storageos: StorageOSVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None
