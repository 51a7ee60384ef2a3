"""The program of the documentation does what the page says."""

import asyncio
import os
import re
import sys
from pathlib import Path

from harness.tokens import in_seconds, token

from session import PATIENCE, name

PAGE = Path(__file__).resolve().parents[5] / "docs/grpc-stream.md"


async def test_the_example_follows_a_channel(server, tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "follow.py"
    path.write_text(program)
    channel, user = name("room"), name("reader")
    environment = {
        **os.environ,
        "ADDRESS": f"127.0.0.1:{server.port}",
        "TOKEN": token(sub=user, exp=in_seconds(600)),
        "CHANNEL": channel,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, path, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(3 * PATIENCE):
            while not (await server.api("presence_stats", channel=channel))["num_clients"]:
                await asyncio.sleep(0.02)
            await server.publish(channel, "a")
            assert await process.stdout.readline() == f'{channel} "a"\n'.encode()
            await server.api("disconnect", user=user)
            assert await process.stdout.readline() == b"ended ABORTED 3503\n"
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
