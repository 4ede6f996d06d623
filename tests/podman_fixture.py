"""A Podman service for tests, with the test images, in a folder and a cgroup of its own; gone after the session."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.images import build_images
from lab.podman import PrivatePodman


def podman_missing() -> str:
    """Why Podman tests cannot run here, "" when they can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [
        program for program in ("podman", "conmon", "busybox", "unshare", "nsenter") if not shutil.which(program)
    ]
    return f"not installed: {', '.join(missing)}" if missing else ""


@pytest.fixture(scope="session")
def image_store() -> Iterator[Path]:
    """The test images in a store of their own, to be read beside a service's storage."""
    reason = podman_missing()
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="timonier-images-"))
    try:
        build_images(folder / "store")
        yield folder / "store"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def podman(image_store: Path) -> Iterator[PrivatePodman]:
    """One service for the whole session; tests use pod uids of their own."""
    yield from private_podman(image_store)


@pytest.fixture
def fresh_podman(image_store: Path) -> Iterator[PrivatePodman]:
    """A service for one test, which may kill it."""
    yield from private_podman(image_store)


def private_podman(image_store: Path) -> Iterator[PrivatePodman]:
    """Start a service in a short path (socket paths are limited) and remove every trace of it in the end."""
    name = f"timonier-test-{uuid.uuid4().hex[:8]}"
    service = PrivatePodman(Path(tempfile.gettempdir(), name), None, image_store, name)
    try:
        service.start()
        yield service
    finally:
        service.stop()
