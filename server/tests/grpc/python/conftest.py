"""One server with both gRPC transports for all scenarios."""

import grpc
import pytest
import pytest_asyncio
from harness.server import Server, free_port

from session import Session

UNI_PORT = free_port()
CONFIG = {
    "client": {"allowed_origins": ["https://page.example"]},
    "grpc_stream": {"enabled": True},
    "uni_grpc": {"enabled": True, "address": "127.0.0.1", "port": UNI_PORT},
}


@pytest.fixture(scope="session")
def server():
    server = Server(CONFIG)
    server.uni_port = UNI_PORT
    yield server
    server.stop()


@pytest_asyncio.fixture
async def connection(server):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


@pytest_asyncio.fixture
async def uni_connection(server):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.uni_port}") as channel:
        yield channel


@pytest_asyncio.fixture
async def session(connection):
    """A session of its own user, connected."""
    session = Session(connection)
    await session.connect()
    yield session
    session.cancel()
