"""The server under test: one process with its own configuration, port and log."""

import asyncio
import atexit
import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
BINARY = Path(os.environ.get("GYRE_BIN") or HERE.parents[4] / "target/debug/gyre").resolve()
BASE = json.loads((HERE.parents[1] / "server.json").read_text())

# Below the ephemeral range, so that no client socket takes a port between its choice and its use.
PORTS = range(15_000, 32_000)
START_DEADLINE = 20
STOP_DEADLINE = 20
# Between two looks at a starting process.
START_POLL = 0.01

PROBLEM = re.compile(r'"level":\s*"(warn|error|fatal)"|\b(WARN|ERROR|panicked)\b', re.IGNORECASE)
# Configuration comes from the file alone: both servers also read their keys from variables with these names.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("GYRE_", "CENTRIFUGO_"))}
# Another server's log follows other rules.
CHECKS_LOG = BINARY.name.startswith("gyre")


class Server:
    """A process with ``overrides`` laid over the common configuration, which answers once constructed."""

    def __init__(self, overrides):
        self.port = free_port()
        self._config = merged(merged(BASE, overrides), {"http_server": {"port": str(self.port)}})
        self._log = []
        self._directory = tempfile.TemporaryDirectory(prefix="gyre-sdk-")
        self.run()

    def run(self):
        """Starts the process; also used to bring a stopped server back on the same port."""
        path = Path(self._directory.name) / "config.json"
        path.write_text(json.dumps(self._config))
        self._process = subprocess.Popen(
            [BINARY, "-c", path],
            cwd=self._directory.name,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Should the tests end before their fixtures did.
        atexit.register(self._process.kill)
        self._reader = threading.Thread(target=self._collect, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        deadline = time.monotonic() + START_DEADLINE
        while not answers(self.port):
            log = "".join(self._log)
            if self._process.poll() is not None:
                raise RuntimeError(f"server ended with {self._process.returncode}:\n{log}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"server did not answer:\n{log}")
            time.sleep(START_POLL)

    def endpoint(self, port=None):
        """WebSocket endpoint, at ``port`` of this server or of a proxy before it."""
        return f"ws://127.0.0.1:{port or self.port}/connection/websocket"

    async def api(self, method, **params):
        """Calls a method of the server API and returns its result."""
        return await asyncio.to_thread(self._call, method, params)

    async def publish(self, channel, data, **options):
        return await self.api("publish", channel=channel, data=data, **options)

    def _call(self, method, params):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{method}",
            data=json.dumps(params).encode(),
            headers={"X-API-Key": BASE["http_api"]["key"]},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
        assert "error" not in answer, f"{method} {params}: {answer['error']}"
        return answer["result"]

    def stop(self):
        """Asks the process to end and waits for it; fails on warnings and errors in its log."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        self._reader.join()
        if CHECKS_LOG:
            assert [line for line in self._log if PROBLEM.search(line)] == []

    def _collect(self, stream):
        with stream:
            self._log.extend(stream)


def merged(base, over):
    """``over`` laid over ``base``: objects are joined, everything else is replaced."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return base | {key: merged(base[key], value) if key in base else value for key, value in over.items()}


def free_port():
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
