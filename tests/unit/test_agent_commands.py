"""Notes of commands in containers: what an agent that was killed left is ended, and nothing else."""

from __future__ import annotations

import subprocess

import pytest

from agent.runtime.commands import CommandNote, end_stale, stale_notes
from agent.runtime.http import PodmanError


class Podman:
    """Answers for one session."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def call(self, _method, path):
        self.asked.append(path)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def stranger():
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_process_outside_of_the_container_is_left_alone_whatever_its_pid(tmp_path, stranger):
    noted, session = CommandNote(str(tmp_path), "c" * 64), CommandNote(str(tmp_path), "d" * 64)
    noted.pid_file.write_text(str(stranger.pid))
    session.session("s1")
    podman = Podman({"Running": True, "Pid": stranger.pid})
    for note in stale_notes(str(tmp_path)):
        await end_stale(note, podman)
    assert stranger.poll() is None
    assert podman.asked == ["/exec/s1/json"]
    assert stale_notes(str(tmp_path)) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"Running": False, "Pid": 1},
        {"Running": True, "Pid": 0},
        PodmanError(404, "no such session"),
        PodmanError(500, "no container"),
    ],
)
async def test_a_command_that_ended_needs_nothing_but_its_note_removed(tmp_path, answer):
    CommandNote(str(tmp_path), "c" * 64).session("s1")
    (note,) = stale_notes(str(tmp_path))
    await end_stale(note, Podman(answer))
    assert not note.exists()


async def test_a_note_without_content_is_of_a_command_that_never_began(tmp_path):
    CommandNote(str(tmp_path), "c" * 64)
    (note,) = stale_notes(str(tmp_path))
    await end_stale(note, Podman(AssertionError("not asked")))
    assert not note.exists()


async def test_a_note_stays_until_podman_can_be_asked(tmp_path):
    CommandNote(str(tmp_path), "c" * 64).session("s1")
    (note,) = stale_notes(str(tmp_path))
    with pytest.raises(PodmanError):
        await end_stale(note, Podman(PodmanError(0, "it does not answer")))
    assert note.exists()
