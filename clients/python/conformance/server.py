"""The server that scenarios run against."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gyre_api import ApiClient, TransportError

FOLDER = Path(__file__).resolve().parents[2] / "conformance"
_START = 30.0


@dataclass(frozen=True)
class Server:
    """Where it is and how to be let in."""

    url: str
    api_key: str
    token_secret: str


def is_named() -> bool:
    """Whether the environment names a server."""
    return bool(os.environ.get("GYRE_BIN") or os.environ.get("GYRE_API_URL"))


@contextmanager
def running() -> Iterator[Server]:
    """The server at `GYRE_API_URL`, or a new one of the program `GYRE_BIN`."""
    settings = json.loads((FOLDER / "server.json").read_text())
    secret = settings["client"]["token"]["hmac_secret_key"]
    key = settings["http_api"]["key"]
    url = os.environ.get("GYRE_API_URL")
    if url:
        yield Server(url, os.environ.get("GYRE_API_KEY", key), secret)
        return
    port = _free_port()
    settings["http_server"]["port"] = port
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "config.json"
        file.write_text(json.dumps(settings))
        process = subprocess.Popen([os.environ["GYRE_BIN"], "-c", str(file)])
        try:
            server = Server(f"http://127.0.0.1:{port}", key, secret)
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START
    with ApiClient(server.url, api_key=server.api_key, max_retries=0) as api:
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"server ended with status {process.returncode}")
            try:
                api.info()
                return
            except TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
