"""`tim cp`: what its words mean, what an archive may do here, and copying with a real tar for a container."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from api.errors import Invalid
from api.v1 import apiserver_pb2 as pb
from cli.archives import Unpacking
from cli.mistakes import Misused
from cli.places import Place, checked, parted, place_of
from tests.cli_rig import CliApi, error_line, pod, tim


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("web:/a", Place("/a", "web")),
        ("shop/web:a/b:c", Place("a/b:c", "web", "shop")),
        ("./a:b", Place("./a:b")),
        ("/a:b", Place("/a:b")),
        ("a/b", Place("a/b")),
    ],
)
def test_a_word_is_a_place_here_or_in_a_pod(word, place):
    assert place_of(word) == place


@pytest.mark.parametrize("word", ["", "web:", ":/a", "deploy/shop/web:/a", "shop/:/a"])
def test_what_is_no_place_is_refused(word):
    with pytest.raises(Misused):
        place_of(word)


def test_exactly_one_place_is_in_a_pod():
    checked(Place("a"), Place("a", "web"))
    for here, there in ((Place("a"), Place("b")), (Place("a", "web"), Place("b", "db"))):
        with pytest.raises(Misused, match="one of the two must be POD:PATH"):
            checked(here, there)


def test_a_path_has_a_folder_and_a_name():
    assert parted("/a/b/") == ("/a", "b")
    assert parted("a") == (".", "a")
    assert parted("/") == ("/", ".")
    assert parted("../..") == ("../..", ".")


def archive(*members):
    """(name, type, what it links to or contains, mode)..."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        for name, kind, content, mode in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, mode
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            file.addfile(member, io.BytesIO(content.encode()) if kind == tarfile.REGTYPE else None)
    made.seek(0)
    return made


FILE, FOLDER, LINK, HARD, DEVICE = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
)


def unpacked(target, *members):
    notes = []
    unpacking = Unpacking(target, "d", notes.append)
    unpacking.run(archive(*members))
    assert unpacking.left_out == len(notes)
    return notes


def test_files_folders_and_links_arrive_with_their_modes(tmp_path):
    target = tmp_path / "new"
    notes = unpacked(
        target,
        ("./d", FOLDER, "", 0o755),
        ("./d/closed", FOLDER, "", 0o555),
        ("./d/closed/run", FILE, "ab", 0o4750),
        ("./d/closed/same", HARD, "./d/closed/run", 0),
        ("./d/up", LINK, "closed/run", 0o777),
    )
    assert notes == []
    assert (target / "up").read_text() == "ab"
    assert stat.S_IMODE((target / "closed").stat().st_mode) == 0o555
    assert stat.S_IMODE((target / "closed/run").stat().st_mode) == 0o750
    assert (target / "closed/same").samefile(target / "closed/run")


@pytest.mark.parametrize("name", ["../x", "d/../../x", "/d/x", "x", "./e"])
def test_a_name_outside_of_what_was_asked_for_is_refused(tmp_path, name):
    with pytest.raises(Invalid, match="outside of what was asked for"):
        unpacked(tmp_path / "new", (name, FILE, "evil", 0o644))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "links",
    [
        [("d/out", "/etc/passwd")],
        [("d/out", "../x")],
        [("d", "..")],
        [("d/a/b/c/l", "../../.."), ("d/two", "a/b/c/l/../..")],
        [("d/two", "a/b/c/l/../.."), ("d/a/b/c/l", "../../..")],
    ],
)
def test_links_never_lead_outside_and_those_that_would_are_named(tmp_path, links):
    target = tmp_path / "in" / "new"
    target.parent.mkdir()
    notes = unpacked(target, *((name, LINK, to, 0o777) for name, to in links))
    outside = os.path.realpath(target)
    for path in [target, *target.rglob("*")]:
        if path.is_symlink():
            assert Path(os.path.realpath(path)).is_relative_to(outside)
    assert len(notes) >= 1
    assert "left out" in notes[-1]


def test_nothing_is_written_through_links_of_the_archive_or_of_this_machine(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    target = tmp_path / "new"
    with pytest.raises(OSError, match="new/l"):
        unpacked(target, ("d/l", LINK, str(outside), 0o777), ("d/l/file", FILE, "evil", 0o644))
    target.mkdir(exist_ok=True)
    (target / "m").symlink_to(outside)
    with pytest.raises(Invalid, match="behind a link that leads out"):
        unpacked(target, ("d/m/file", FILE, "evil", 0o644))
    (target / "n").symlink_to(outside / "file")
    unpacked(target, ("d/n", FILE, "new", 0o644))
    assert (outside / "file").read_text() == "mine"
    assert (target / "n").read_text() == "new"


def test_what_is_no_file_is_left_out_and_what_is_no_archive_is_refused(tmp_path):
    assert unpacked(tmp_path / "new", ("d/tty", DEVICE, "", 0o600)) == [
        "left out d/tty: it is neither a file nor a folder nor a link"
    ]
    with pytest.raises(Invalid, match="no tar archive"):
        Unpacking(tmp_path / "new", "d", print).run(io.BytesIO(b"no such thing" * 100))


class Containers(CliApi):
    """Commands run on this machine, in a folder that stands for a container's root."""

    root: Path
    tar = "tar"

    async def exec(self, start, frames=None):
        words = [self.tar if word == "tar" else word for word in start.command]
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=self.root,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except FileNotFoundError:
            yield pb.StreamFrame(stderr=b"no such program")
            yield pb.StreamFrame(exit_code=127)
            return
        told = b""
        if frames is not None:
            told = b"".join([frame.stdin async for frame in frames])
        with suppress(BrokenPipeError, ConnectionResetError):
            output, errors = await process.communicate(told)
        yield pb.StreamFrame(stdout=output)
        yield pb.StreamFrame(stderr=errors)
        yield pb.StreamFrame(exit_code=process.returncode)


@pytest.fixture
def api(tmp_path):
    made = Containers(namespaces=["default"])
    made.root = tmp_path / "root"
    made.root.mkdir()
    made.put(pod("web"))
    return made


@pytest.fixture
def tree(tmp_path):
    made = tmp_path / "tree"
    (made / "sub").mkdir(parents=True)
    (made / "a").write_bytes(os.urandom(300_000))
    (made / "a").chmod(0o750)
    (made / "sub" / "b c").write_text("b")
    return made


@pytest.mark.slow
def test_a_tree_goes_there_and_comes_back_equal(api, tree, tmp_path):
    assert tim(api, "cp", str(tree), "default/web:there").exit_code == 0
    assert tim(api, "cp", str(tree), "web:there").exit_code == 0  # into the folder that is there now
    assert tim(api, "cp", "web:there/tree", str(tmp_path / "back")).exit_code == 0
    assert (tmp_path / "back/a").read_bytes() == (tree / "a").read_bytes()
    assert stat.S_IMODE((tmp_path / "back/a").stat().st_mode) == 0o750
    assert (tmp_path / "back/sub/b c").read_text() == "b"
    assert tim(api, "cp", "web:there/sub/b c", str(tmp_path / "back")).exit_code == 0
    assert (tmp_path / "back/b c").read_text() == "b"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["web:absent", "here"], "tar in container app of pod web: "),
        (["web:x", "no/such/here"], "there is no folder no/such here"),
        (["absent", "web:x"], "there is no file or folder absent here"),
        (["pyproject.toml", "web:no/such/x"], "tar in container app of pod web: "),
        (["pyproject.toml", "nopod:x"], "not found"),
        (["pyproject.toml", "web:x", "-c", "no"], "it has app"),
    ],
)
def test_what_cannot_be_copied_is_one_line(api, words, said):
    assert said in error_line(tim(api, "cp", *words))


@pytest.mark.slow
def test_a_container_without_tar_is_told_of(api, tree):
    api.tar = "no-such-tar"
    for words in ((str(tree), "web:x"), ("web:x", "here")):
        assert "container app of pod web has no `tar`, which copying needs" in error_line(tim(api, "cp", *words))


def test_two_places_here_are_a_wrong_command_line(api):
    assert tim(api, "cp", "a", "b").exit_code == 2
