"""Random bytes and uids out of a supply of the system's randomness."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid

import pytest

from component.entropy import Entropy


@pytest.fixture(scope="module")
def entropy() -> Entropy:
    return Entropy()


def test_a_uid_is_a_random_uuid(entropy: Entropy) -> None:
    texts = [entropy.uid() for _ in range(2000)]
    assert len(set(texts)) == len(texts)
    found = [uuid.UUID(text) for text in texts]
    assert {str(each) for each in found} == set(texts)
    assert {(each.version, each.variant) for each in found} == {(4, uuid.RFC_4122)}


def test_as_many_bytes_come_as_are_asked_for(entropy: Entropy) -> None:
    for wanted in (0, 1, 16, 4095, 4096, 4097, 100_000):
        assert len(entropy.randbytes(wanted)) == wanted


def test_threads_never_get_the_same_bytes(entropy: Entropy) -> None:
    found: list[list[bytes]] = [[] for _ in range(4)]

    def take(into: list[bytes]) -> None:
        into.extend(entropy.randbytes(16) for _ in range(5000))

    threads = [threading.Thread(target=take, args=(into,)) for into in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each for into in found for each in into}) == 4 * 5000


_FORKING = """
import os
from component.entropy import Entropy
entropy = Entropy()
entropy.randbytes(1)  # a supply is there, of which both would go on
child = os.fork()
os.write(1, entropy.randbytes(16).hex().encode() + b"\\n")  # at once: two processes write
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_process_does_not_repeat_what_its_parent_hands_out() -> None:
    done = subprocess.run([sys.executable, "-c", _FORKING], check=True, capture_output=True, text=True)
    assert len(set(done.stdout.split())) == 2
