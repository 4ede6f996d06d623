"""Programs that an agent starts while its session is busy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

CHILDREN = 100
PROGRAM = f"""
import asyncio, collections
import agent
import grpc, grpc.aio, uvloop

async def echo(request, context):
    return request

async def main():
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", {{"m": handler}}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{{port}}")
    call, stop = channel.unary_unary("/s/m"), asyncio.Event()

    async def busy():
        while not stop.is_set():
            await call(b"x")

    work = [asyncio.create_task(busy()) for _ in range(4)]
    codes = collections.Counter()
    for _ in range({CHILDREN}):
        child = await asyncio.create_subprocess_exec("true", start_new_session=True)
        codes[await child.wait()] += 1
    stop.set()
    await asyncio.gather(*work)
    await channel.close()
    await server.stop(None)
    print(dict(codes))

uvloop.run(main())
"""


def test_programs_that_a_busy_agent_starts_run():
    """Handlers of gRPC, run in children between fork and exec, killed one in six."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * DEADLINE_SECONDS,
    )
    assert (done.returncode, done.stdout) == (0, f"{{0: {CHILDREN}}}\n"), done.stderr[-2000:]
