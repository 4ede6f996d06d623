"""Volumes on real folders and mounts."""

from __future__ import annotations

import base64
import os
import socket
import stat
from pathlib import Path

import msgspec
import pytest

from agent import mounts
from agent.environment import ConfigError, Sources
from agent.file_swap import write_files
from agent.paths import Paths
from agent.volume_content import File
from agent.volumes import (
    VolumeFailure,
    container_mounts,
    make_etc,
    make_volumes,
    present,
    read_message,
    refresh_volumes,
    remove_files,
    remove_memory_volumes,
    remove_volumes,
)
from api.core import ConfigMap, Pod, Secret
from tests.agent_rig import container_tree, pod_tree

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def paths(tmp_path):
    made = Paths(tmp_path / "data", tmp_path / "run")
    yield made
    for mount in mounts.mounts_below(tmp_path):
        mounts.unmount(mount)


def pod(*volumes, mount=None, **spec):
    container = container_tree(volumeMounts=mount or [])
    return msgspec.convert(pod_tree("web", container, volumes=list(volumes), **spec), Pod)


def config_map(**data):
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": data}
    return msgspec.convert(tree, ConfigMap)


def secret(**data):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return msgspec.convert({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec"}, "data": encoded}, Secret)


def sources(config=None, confidential=None):
    maps = {"cm": config} if config is not None else {}
    return Sources(config_maps=maps, secrets={"sec": confidential} if confidential is not None else {})


def test_an_empty_dir_is_open_to_all_and_keeps_its_content(paths):
    of = pod({"name": "v", "emptyDir": {}})
    make_volumes(paths, of, sources())
    folder = paths.volume("uid-web", "v")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777
    (folder / "file").write_text("kept")
    make_volumes(paths, of, sources())
    assert (folder / "file").read_text() == "kept"


@root
@pytest.mark.root
def test_a_memory_volume_is_a_tmpfs_of_the_size_asked_for(paths):
    of = pod({"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    make_volumes(paths, of, sources())
    make_volumes(paths, of, sources())
    folder = paths.memory_volume("uid-web", "v")
    assert mounts.mounts_below(paths.run_dir) == [folder], "mounted once"
    status = os.statvfs(folder)
    assert status.f_blocks * status.f_frsize == 1 << 20
    with pytest.raises(OSError, match="No space"):
        (folder / "big").write_bytes(b"x" * (2 << 20))
    remove_volumes(paths, "uid-web")
    assert mounts.mounts_below(paths.run_dir) == []
    assert not folder.exists()


@root
@pytest.mark.root
def test_a_volume_that_is_in_use_is_unmounted_all_the_same(paths):
    make_volumes(paths, pod({"name": "v", "emptyDir": {"medium": "Memory"}}), sources())
    folder = paths.memory_volume("uid-web", "v")
    with (folder / "open").open("w"):
        remove_memory_volumes(paths)
    assert not folder.exists()


@root
@pytest.mark.root
def test_the_group_of_a_pod_owns_its_volumes(paths):
    of = pod(
        {"name": "v", "emptyDir": {}},
        {"name": "c", "configMap": {"name": "cm", "defaultMode": 0o400}},
        securityContext={"fsGroup": 2000},
    )
    make_volumes(paths, of, sources(config_map(key="value")))
    folder = paths.volume("uid-web", "v").stat()
    assert (folder.st_gid, stat.S_IMODE(folder.st_mode)) == (2000, 0o2777)
    file = (paths.volume("uid-web", "c") / "key").stat()
    assert (file.st_gid, stat.S_IMODE(file.st_mode)) == (2000, 0o440)


def test_a_config_map_becomes_files_that_change_at_once(paths):
    of = pod({"name": "c", "configMap": {"name": "cm"}})
    make_volumes(paths, of, sources(config_map(a="1", b="2")))
    folder = paths.volume("uid-web", "c")
    assert {name: (folder / name).read_text() for name in ("a", "b")} == {"a": "1", "b": "2"}
    data = (folder / "..data").resolve()
    refresh_volumes(paths, of, sources(config_map(a="1", b="2")))
    assert (folder / "..data").resolve() == data, "the same content is not written again"
    refresh_volumes(paths, of, sources(config_map(a="new", c="3")))
    visible = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".."))
    assert visible == ["a", "c"]
    assert (folder / "a").read_text() == "new"
    assert not data.exists()


def test_items_choose_names_paths_and_modes(paths):
    items = [{"key": "a", "path": "deep/er/name", "mode": 0o600}]
    make_volumes(paths, pod({"name": "c", "configMap": {"name": "cm", "items": items}}), sources(config_map(a="1")))
    file = paths.volume("uid-web", "c") / "deep/er/name"
    assert file.read_text() == "1"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("path", ["/abs", "../up", "a/../../b", "..data", ""])
def test_a_path_that_leaves_the_volume_is_refused(paths, path):
    items = [{"key": "a", "path": path}]
    with pytest.raises(ConfigError, match="must be relative"):
        make_volumes(paths, pod({"name": "c", "configMap": {"name": "cm", "items": items}}), sources(config_map(a="1")))


def test_missing_objects_and_keys_are_told_unless_optional(paths):
    with pytest.raises(ConfigError, match=r'volume "c" : configmap "cm" not found'):
        make_volumes(paths, pod({"name": "c", "configMap": {"name": "cm"}}), sources())
    items = [{"key": "none", "path": "x"}]
    with pytest.raises(ConfigError, match="references non-existent key: none"):
        make_volumes(paths, pod({"name": "c", "configMap": {"name": "cm", "items": items}}), sources(config_map(a="1")))
    make_volumes(paths, pod({"name": "c", "configMap": {"name": "cm", "optional": True}}), sources())
    assert paths.volume("uid-web", "c").is_dir()


def test_a_secret_stands_in_memory_only(paths):
    make_volumes(paths, pod({"name": "s", "secret": {"secretName": "sec"}}), sources(confidential=secret(key="hidden")))
    assert (paths.memory_volume("uid-web", "s") / "key").read_text() == "hidden"
    assert not paths.volume("uid-web", "s").exists()


def test_several_sources_share_a_projected_volume(paths):
    parts = [
        {"configMap": {"name": "cm"}},
        {"secret": {"name": "sec"}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    of = pod({"name": "p", "projected": {"sources": parts}})
    make_volumes(paths, of, sources(config_map(a="1"), secret(b="2")))
    folder = paths.memory_volume("uid-web", "p")
    assert {name: (folder / name).read_text() for name in ("a", "b", "labels")} == {
        "a": "1",
        "b": "2",
        "labels": 'app="web"',
    }


@pytest.mark.parametrize(
    ("kind", "make", "fine"),
    [
        ("", None, True),
        ("DirectoryOrCreate", None, True),
        ("FileOrCreate", None, True),
        ("Directory", None, False),
        ("File", None, False),
        ("Directory", "folder", True),
        ("Directory", "file", False),
        ("File", "file", True),
        ("DirectoryOrCreate", "file", False),
        ("FileOrCreate", "folder", False),
        ("Socket", "socket", True),
        ("Socket", "file", False),
        ("CharDevice", "file", False),
        ("BlockDevice", "file", False),
    ],
)
def test_host_paths_are_what_their_type_says(paths, tmp_path, kind, make, fine):
    path = tmp_path / "h"
    if make == "folder":
        path.mkdir()
    elif make == "file":
        path.touch()
    elif make == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    of = pod({"name": "h", "hostPath": {"path": str(path), "type": kind}})
    if fine:
        make_volumes(paths, of, sources())
        assert path.exists()
    else:
        with pytest.raises(ConfigError, match="hostPath type check failed"):
            make_volumes(paths, of, sources())


def test_a_char_device_is_one(paths):
    make_volumes(paths, pod({"name": "h", "hostPath": {"path": "/dev/null", "type": "CharDevice"}}), sources())


def test_mounts_of_a_container(paths):
    mount = [{"name": "v", "mountPath": "/data", "readOnly": True}, {"name": "c", "mountPath": "/conf"}]
    of = pod({"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "cm"}}, mount=mount)
    make_volumes(paths, of, sources(config_map(a="1")))
    make_etc(paths, of, "10.244.1.2", "nameserver 1.1.1.1\n", "cluster.local")
    found = container_mounts(paths, of, of.spec.containers[0], 0, str)
    by_target = {mount.target: mount for mount in found}
    assert by_target["/data"].read_only
    assert by_target["/conf"].read_only, "what comes from objects is never writable"
    assert set(by_target) == {
        "/data",
        "/conf",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
        "/dev/termination-log",
    }
    assert "10.244.1.2\tweb" in (paths.etc("uid-web") / "hosts").read_text()
    assert (paths.etc("uid-web") / "hostname").read_text() == "web\n"


def test_an_own_mount_takes_the_place_of_the_pods_file(paths):
    of = pod({"name": "v", "emptyDir": {}}, mount=[{"name": "v", "mountPath": "/etc/hosts"}])
    make_volumes(paths, of, sources())
    targets = [mount.target for mount in container_mounts(paths, of, of.spec.containers[0], 0, str)]
    assert targets.count("/etc/hosts") == 1


@root
def test_a_sub_path_is_made_and_may_not_leave_its_volume(paths, tmp_path):
    def with_sub_path(sub_path):
        of = pod({"name": "v", "emptyDir": {}}, mount=[{"name": "v", "mountPath": "/d", "subPath": sub_path}])
        make_volumes(paths, of, sources())
        return container_mounts(paths, of, of.spec.containers[0], 0, str)[0]

    made = with_sub_path("a/b").source
    assert made == str(paths.sub_path("uid-web", "main", 0))
    assert Path(made).samefile(paths.volume("uid-web", "v") / "a/b")
    assert stat.S_IMODE(Path(made).stat().st_mode) == 0o777
    assert Path(with_sub_path("a").source).samefile(paths.volume("uid-web", "v") / "a")
    with pytest.raises(ConfigError, match="must be relative"):
        with_sub_path("../x")
    (paths.volume("uid-web", "v") / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="leads out"):
        with_sub_path("link")
    remove_volumes(paths, "uid-web")
    assert not mounts.mounts_below(tmp_path)


@root
def test_what_a_sub_path_names_stays_bound_when_its_name_leads_elsewhere_later(paths, tmp_path):
    of = pod({"name": "v", "emptyDir": {}}, mount=[{"name": "v", "mountPath": "/d", "subPath": "a"}])
    make_volumes(paths, of, sources())
    volume = paths.volume("uid-web", "v")
    (volume / "a").mkdir()
    (bound, *_) = container_mounts(paths, of, of.spec.containers[0], 0, str)
    inside = (volume / "a").stat().st_ino
    (volume / "a").rmdir()
    (volume / "a").symlink_to(tmp_path)
    assert Path(bound.source).stat().st_ino == inside


@root
def test_a_file_of_a_config_map_may_be_mounted_by_its_sub_path(paths):
    of = pod({"name": "c", "configMap": {"name": "cm"}}, mount=[{"name": "c", "mountPath": "/c", "subPath": "colour"}])
    make_volumes(paths, of, sources(config_map(colour="green")))
    (bound, *_) = container_mounts(paths, of, of.spec.containers[0], 0, str)
    assert (Path(bound.source).read_text(), bound.read_only) == ("green", True)
    refresh_volumes(paths, of, sources(config_map(colour="blue")))
    assert Path(bound.source).read_text() == "green"  # as Kubernetes documents
    (again, *_) = container_mounts(paths, of, of.spec.containers[0], 1, str)
    assert Path(again.source).read_text() == "blue"


def test_a_variable_that_a_sub_path_needs_and_that_is_missing_is_named(paths):
    of = pod({"name": "v", "emptyDir": {}}, mount=[{"name": "v", "mountPath": "/d", "subPathExpr": "logs/$(POD)"}])
    make_volumes(paths, of, sources())
    with pytest.raises(ConfigError, match="missing value for 'POD'"):
        container_mounts(paths, of, of.spec.containers[0], 0, str)


def test_a_sub_path_that_a_config_map_does_not_have_is_told(paths):
    of = pod({"name": "c", "configMap": {"name": "cm"}}, mount=[{"name": "c", "mountPath": "/c", "subPath": "none"}])
    make_volumes(paths, of, sources(config_map(colour="green")))
    with pytest.raises(ConfigError, match="does not exist"):
        container_mounts(paths, of, of.spec.containers[0], 0, str)


def test_a_volume_that_is_not_in_the_pod_is_named(paths):
    of = pod(mount=[{"name": "none", "mountPath": "/x"}])
    with pytest.raises(ConfigError, match="'none'"):
        container_mounts(paths, of, of.spec.containers[0], 0, str)


def test_everything_of_a_pod_is_found_and_removed(paths):
    of = pod({"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "sec"}})
    make_volumes(paths, of, sources(confidential=secret(a="1")))
    make_etc(paths, of, "", "", "cluster.local")
    container_mounts(paths, of, of.spec.containers[0], 0, str)
    assert present(paths) == {"uid-web": True}
    remove_volumes(paths, "uid-web")
    assert present(paths) == {"uid-web": False}, "logs and messages stay"
    remove_files(paths, "uid-web")
    assert present(paths) == {}
    remove_volumes(paths, "uid-web")
    remove_files(paths, "uid-web")


def test_last_words_are_cut_at_four_kilobytes(paths):
    of = pod()
    container_mounts(paths, of, of.spec.containers[0], 0, str)
    paths.message("uid-web", "main", 0).write_text("x" * 5000)
    assert read_message(paths, "uid-web", "main", 0) == "x" * 4096
    assert read_message(paths, "uid-web", "main", 1) == ""


def test_a_crash_in_the_middle_of_a_swap_is_cleaned_up(tmp_path):
    target = tmp_path / "v"
    write_files(target, {"a": File(b"1", 0o644)})
    (target / "..half").mkdir()
    (target / "..half" / "a").write_text("2")
    (target / "..data_tmp").symlink_to("..half")
    write_files(target, {"a": File(b"1", 0o644), "b": File(b"2", 0o644)})
    assert sorted(entry.name for entry in target.iterdir() if not entry.name.startswith("..")) == ["a", "b"]
    assert len([entry for entry in target.iterdir() if entry.name.startswith("..")]) == 2


def test_a_folder_that_cannot_be_made_is_a_failure_that_names_the_volume(paths):
    paths.pods.parent.mkdir(parents=True)
    paths.pods.write_text("in the way")
    with pytest.raises(VolumeFailure, match='volume "v"'):
        make_volumes(paths, pod({"name": "v", "emptyDir": {}}), sources())
