import os
from pathlib import Path

import msgspec
import pytest

from agent.disk_limits import disk_limits
from agent.file_trees import remove_tree, used_bytes
from api.core import Pod

DEPTH = 1500  # more than Python's stack and most limits on open files have room for


def nest(folder: Path) -> None:
    """Folders inside each other, far beyond the longest path, with a file in each."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(here)
        here = below
    os.close(here)


def test_what_a_pod_nested_without_end_is_measured_and_deleted(tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "big").write_bytes(b"x" * 100_000)
    nest(volume)
    assert used_bytes(volume) >= 100_000
    remove_tree(volume)
    assert not volume.exists()


def test_names_that_collide_with_ours_and_links_are_deleted_and_never_followed(tmp_path):
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    outside.mkdir()
    (outside / "kept").write_bytes(b"x" * 100_000)
    for name in ("0", "1", "a/0/1/2", "a/b/c"):
        (volume / name).mkdir(parents=True)
    (volume / "a" / "file").touch()
    (volume / "link").symlink_to(outside)
    (volume / "a" / "b" / "link").symlink_to(outside)
    assert used_bytes(volume) < 100_000
    remove_tree(volume)
    assert not volume.exists()
    assert (outside / "kept").exists()


def test_a_folder_that_is_not_there_is_no_error(tmp_path):
    remove_tree(tmp_path / "none")
    assert used_bytes(tmp_path / "none") == 0


@pytest.mark.parametrize(("limit", "expected"), [("64Ki", {"v": 65536}), ("0", {}), (0, {})])
def test_a_limit_of_nothing_is_none(limit, expected):
    spec = {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": limit}}]}
    pod = msgspec.convert({"metadata": {"name": "a"}, "spec": spec}, Pod)
    assert disk_limits(pod) == expected
