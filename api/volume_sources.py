"""Volumes on storage outside the cluster, most of them only kept for the record."""

from __future__ import annotations

import msgspec

from api.meta import LocalObjectReference, Resource, required


class AWSElasticBlockStoreVolumeSource(Resource):
    """An Amazon disk, by its id."""

    fs_type: str | None = None
    partition: int | None = None
    read_only: bool | None = None
    volume_id: str = required("", name="volumeID")


class AzureDiskVolumeSource(Resource):
    """An Azure data disk."""

    kind: str | None = None
    caching_mode: str | None = None
    disk_name: str = required("")
    disk_uri: str = required("", name="diskURI")
    fs_type: str | None = None
    read_only: bool | None = None


class AzureFileVolumeSource(Resource):
    """An Azure file share."""

    read_only: bool | None = None
    secret_name: str = required("")
    share_name: str = required("")


class CephFSVolumeSource(Resource):
    """A folder of a Ceph file system."""

    monitors: tuple[str, ...] = ()
    path: str | None = None
    read_only: bool | None = None
    secret_file: str | None = None
    secret_ref: LocalObjectReference | None = None
    user: str | None = None


class CinderVolumeSource(Resource):
    """An OpenStack block volume."""

    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_id: str = required("", name="volumeID")


class FCVolumeSource(Resource):
    """A Fibre Channel unit, by target names and number or by world wide ids."""

    fs_type: str | None = None
    lun: int | None = None
    read_only: bool | None = None
    target_wwns: tuple[str, ...] = msgspec.field(name="targetWWNs", default=())
    wwids: tuple[str, ...] = ()


class FlexVolumeSource(Resource):
    """A volume from an executable plugin on the node."""

    driver: str = required("")
    fs_type: str | None = None
    options: dict[str, str] = {}
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None


class FlockerVolumeSource(Resource):
    """A Flocker data set."""

    dataset_name: str | None = None
    dataset_uuid: str | None = msgspec.field(name="datasetUUID", default=None)


class GCEPersistentDiskVolumeSource(Resource):
    """A Google disk, by its name."""

    fs_type: str | None = None
    partition: int | None = None
    pd_name: str = required("")
    read_only: bool | None = None


class GitRepoVolumeSource(Resource):
    """A Git repository at one revision."""

    directory: str | None = None
    repository: str = required("")
    revision: str | None = None


class GlusterfsVolumeSource(Resource):
    """A Gluster volume, by the Endpoints of its servers."""

    endpoints: str = required("")
    path: str = required("")
    read_only: bool | None = None


class ISCSIVolumeSource(Resource):
    """An iSCSI unit."""

    chap_auth_discovery: bool | None = None
    chap_auth_session: bool | None = None
    fs_type: str | None = None
    initiator_name: str | None = None
    iqn: str = required("")
    iscsi_interface: str | None = None
    lun: int = required(0)
    portals: tuple[str, ...] = ()
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    target_portal: str = required("")


class NFSVolumeSource(Resource):
    """An exported folder of an NFS server."""

    path: str = required("")
    read_only: bool | None = None
    server: str = required("")


class PhotonPersistentDiskVolumeSource(Resource):
    """A disk of a Photon controller."""

    fs_type: str | None = None
    pd_id: str = required("", name="pdID")


class PortworxVolumeSource(Resource):
    """A Portworx volume."""

    fs_type: str | None = None
    read_only: bool | None = None
    volume_id: str = required("", name="volumeID")


class QuobyteVolumeSource(Resource):
    """A Quobyte volume."""

    group: str | None = None
    read_only: bool | None = None
    registry: str = required("")
    tenant: str | None = None
    user: str | None = None
    volume: str = required("")


class RBDVolumeSource(Resource):
    """A Ceph block image."""

    image: str = required("")
    fs_type: str | None = None
    keyring: str | None = None
    monitors: tuple[str, ...] = ()
    pool: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    user: str | None = None


class ScaleIOVolumeSource(Resource):
    """A ScaleIO volume."""

    fs_type: str | None = None
    gateway: str = required("")
    protection_domain: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    ssl_enabled: bool | None = None
    storage_mode: str | None = None
    storage_pool: str | None = None
    system: str = required("")
    volume_name: str | None = None


class StorageOSVolumeSource(Resource):
    """A StorageOS volume."""

    fs_type: str | None = None
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_name: str | None = None
    volume_namespace: str | None = None


class VsphereVirtualDiskVolumeSource(Resource):
    """A virtual disk of vSphere."""

    fs_type: str | None = None
    storage_policy_id: str | None = msgspec.field(name="storagePolicyID", default=None)
    storage_policy_name: str | None = None
    volume_path: str = required("")
