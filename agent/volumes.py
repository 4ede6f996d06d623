"""Makes and removes the volumes and files of pods on this node. Blocking: callers run it in a thread.

Which files stand in a volume is decided in `agent.volume_content`; this module only touches the disk.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.environment import ConfigError, Sources
from agent.file_swap import write_files
from agent.file_trees import remove_tree
from agent.mounts import mount_tmpfs, mounts_below, unmount
from agent.paths import SECRET_FOLDER_MODE, Paths
from agent.pod_files import hostname, hosts
from agent.runtime.protocol import Mount
from agent.sub_paths import bind_sub_path
from agent.volume_content import confidential, payload
from api import quantity
from api.core import Container, EmptyDirVolumeSource, HostPathVolumeSource, Pod, Volume

EMPTY_DIR_MODE = 0o777
_UNEXPANDED = re.compile(r"\$\(([A-Za-z_][-._A-Za-z0-9]*)\)")
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}


class VolumeFailure(Exception):
    """A volume could not be made; the message names it. A retry may help."""


def make_volumes(paths: Paths, pod: Pod, sources: Sources) -> None:
    """Make all volumes of the pod ready. Safe to repeat; live volumes are brought up to date.

    Raises ConfigError when an object is missing, VolumeFailure when the node is not as the pod needs it.
    """
    group = pod.spec.security_context.fs_group if pod.spec.security_context is not None else None
    for volume in pod.spec.volumes:
        try:
            _make(paths, pod, volume, sources, group)
        except ConfigError as error:
            raise ConfigError(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error
        except OSError as error:
            message = f'MountVolume.SetUp failed for volume "{volume.name}" : {error.filename}: {error.strerror}'
            raise VolumeFailure(message) from error


def refresh_volumes(paths: Paths, pod: Pod, sources: Sources) -> None:
    """Bring the contents of volumes made from objects up to date; the others are left alone. Raises as `make_volumes`."""
    made = {volume.name for volume in pod.spec.volumes if volume_path(paths, pod, volume).is_dir()}
    live = [volume for volume in pod.spec.volumes if volume.name in made and _from_objects(volume)]
    group = pod.spec.security_context.fs_group if pod.spec.security_context is not None else None
    for volume in live:
        _make(paths, pod, volume, sources, group)


def make_etc(paths: Paths, pod: Pod, ip: str, resolv_conf: str, cluster_domain: str) -> None:
    """Write the pod's hosts, hostname and resolv.conf in place, as containers have them mounted one by one."""
    folder = paths.etc(pod.metadata.uid)
    folder.mkdir(parents=True, exist_ok=True)
    node_hosts = Path("/etc/hosts").read_text(encoding="utf-8", errors="replace") if pod.spec.host_network else ""
    texts = {
        "hosts": hosts(pod, ip, node_hosts, cluster_domain),
        "hostname": f"{os.uname().nodename if pod.spec.host_network else hostname(pod)}\n",
        "resolv.conf": resolv_conf,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def container_mounts(
    paths: Paths, pod: Pod, container: Container, attempt: int, expand: Callable[[str], str]
) -> list[Mount]:
    """All mounts of one container, those of the pod's own files included; `expand` replaces variables in subPathExpr.

    What a subPath names is bound to a place of its own, as it is now.

    Raises ConfigError for a volume that does not exist, a subPath that leaves its volume, a variable that is missing.
    """
    uid = pod.metadata.uid
    volumes = {volume.name: volume for volume in pod.spec.volumes}
    mounts: list[Mount] = []
    for index, entry in enumerate(container.volume_mounts):
        volume = volumes.get(entry.name)
        if volume is None:
            raise ConfigError(f"volumeMounts names volume {entry.name!r}, which the pod does not have")
        source = volume_path(paths, pod, volume)
        sub_path = expand(entry.sub_path_expr) if entry.sub_path_expr else entry.sub_path
        if sub_path and entry.sub_path_expr and (missing := _UNEXPANDED.search(sub_path)):
            raise ConfigError(f"subPathExpr {entry.sub_path_expr!r}: missing value for {missing[1]!r}")
        if sub_path:
            bound = paths.sub_path(uid, container.name, index)
            bind_sub_path(source, sub_path, bound, volume.name, make=not _from_objects(volume))
            source = bound
        read_only = bool(entry.read_only) or _from_objects(volume)
        propagation = _PROPAGATION.get(entry.mount_propagation or "", "rprivate")
        mounts.append(Mount(str(source), entry.mount_path, read_only, propagation))
    taken = {mount.target for mount in mounts}
    own = (name for name in ("hosts", "hostname", "resolv.conf") if f"/etc/{name}" not in taken)
    mounts += [Mount(str(paths.etc(uid) / name), f"/etc/{name}") for name in own]
    target = container.termination_message_path or "/dev/termination-log"
    mounts.append(Mount(str(_message_file(paths, uid, container.name, attempt)), target))
    return mounts


def volume_path(paths: Paths, pod: Pod, volume: Volume) -> Path:
    """Where a volume stands on this node."""
    if volume.host_path is not None:
        return Path(volume.host_path.path)
    in_memory = confidential(volume) or (volume.empty_dir is not None and volume.empty_dir.medium == "Memory")
    return (paths.memory_volume if in_memory else paths.volume)(pod.metadata.uid, volume.name)


def remove_volumes(paths: Paths, uid: str) -> None:
    """Unmount and delete volumes and files of the pod, but not its logs. Raises VolumeFailure. Safe to repeat."""
    _remove(paths.memory_pods / uid)
    _remove(paths.pod(uid) / "volumes")
    _remove(paths.etc(uid))


def remove_files(paths: Paths, uid: str) -> None:
    """Delete everything that is left of the pod. Raises VolumeFailure. Safe to repeat."""
    _remove(paths.pod(uid))


def remove_memory_volumes(paths: Paths) -> None:
    """Delete what a boot must not leave, also where the run folder outlived it. Raises VolumeFailure."""
    _remove(paths.memory_pods)


def present(paths: Paths) -> Mapping[str, bool]:
    """The uids of all pods with files here, each with whether it still has volumes."""
    found = {path.name: False for path in _entries(paths.pods)}
    for uid in found:
        found[uid] = (paths.pod(uid) / "volumes").exists() or paths.etc(uid).exists()
    return found | {path.name: True for path in _entries(paths.memory_pods)}


def read_message(paths: Paths, uid: str, container: str, attempt: int) -> str:
    """A container's last words, at most 4 KiB (Kubernetes' limit for one container)."""
    try:
        with paths.message(uid, container, attempt).open("rb") as file:
            return file.read(4096).decode(errors="replace")
    except OSError:
        return ""


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _from_objects(volume: Volume) -> bool:
    return any((volume.config_map, volume.secret, volume.downward_api, volume.projected))


def _make(paths: Paths, pod: Pod, volume: Volume, sources: Sources, group: int | None) -> None:
    target = volume_path(paths, pod, volume)
    if volume.host_path is not None:
        _check_host_path(volume.host_path)
        return
    _private_parents(paths, pod.metadata.uid, target)
    files = payload(pod, volume, sources)
    if files is not None:
        write_files(target, files, group)
    else:
        # A volume without a source is an emptyDir; other sources are refused when the pod is admitted.
        _make_empty_dir(target, volume.empty_dir or EmptyDirVolumeSource(), group)


def _private_parents(paths: Paths, uid: str, target: Path) -> None:
    """Nobody but root walks to what belongs to a pod; containers have it mounted."""
    for root in (paths.pods, paths.memory_pods):
        if target.is_relative_to(root):
            root.mkdir(mode=SECRET_FOLDER_MODE, parents=True, exist_ok=True)
            (root / uid / "volumes").mkdir(mode=SECRET_FOLDER_MODE, parents=True, exist_ok=True)


def _make_empty_dir(target: Path, source: EmptyDirVolumeSource, group: int | None) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if source.medium == "Memory" and not target.is_mount():
        mount_tmpfs(target, quantity.whole(source.size_limit) if source.size_limit is not None else 0)
    status = target.stat()
    if group is not None and status.st_gid != group:
        os.chown(target, -1, group)
    wanted = EMPTY_DIR_MODE | (stat.S_ISGID if group is not None else 0)
    if status.st_mode & 0o7777 != wanted:
        target.chmod(wanted)


_HOST_PATH_TYPES: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def _check_host_path(source: HostPathVolumeSource) -> None:
    path, kind = Path(source.path), source.type or ""
    if kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    elif kind in {"", "DirectoryOrCreate"} and not path.exists():
        path.mkdir(mode=0o755, parents=True)
    if not kind:
        return
    check, name = _HOST_PATH_TYPES.get(kind, (None, ""))
    if check is None:
        raise ConfigError(f"hostPath type {kind!r} is not known; known are {', '.join(_HOST_PATH_TYPES)}")
    if not path.exists() or not check(path.stat().st_mode):
        raise ConfigError(f"hostPath type check failed: {path} is not {name}")


def _message_file(paths: Paths, uid: str, container: str, attempt: int) -> Path:
    path = paths.message(uid, container, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o666)
    path.chmod(0o666)
    return path


def _remove(folder: Path) -> None:
    """Unmount all below, then delete. A folder that still has a mount is never walked into."""
    try:
        for mount in mounts_below(folder):
            unmount(mount)
        if mounts_below(folder):
            raise VolumeFailure(f"cannot remove {folder}: something is still mounted below it")
        remove_tree(folder)
    except FileNotFoundError:
        return  # somebody else finished the job
    except OSError as error:
        raise VolumeFailure(f"cannot remove {error.filename or folder}: {error.strerror}") from error
