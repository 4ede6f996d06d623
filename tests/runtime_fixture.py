"""Fixtures of tests on real containers: `host` on a Podman that all share, `fresh_host` on one that may be broken."""

from __future__ import annotations

import pytest

from tests.runtime_rig import Host

pytest_plugins = ["tests.podman_fixture"]


@pytest.fixture
async def host(podman, tmp_path):
    made = Host(podman, tmp_path)
    try:
        yield made
    finally:
        await made.clean()


@pytest.fixture
async def fresh_host(fresh_podman, tmp_path):
    made = Host(fresh_podman, tmp_path)
    try:
        yield made
    finally:
        await made.runtime.close()


# --- what a container sees
