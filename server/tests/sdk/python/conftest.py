"""Each module has a server of its own, with its ``CONFIG`` laid over the common one; each scenario runs in both formats."""

import pytest
import pytest_asyncio

from harness.rig import Rig
from harness.server import Server


@pytest.fixture(scope="module")
def server(request):
    server = Server(getattr(request.module, "CONFIG", {}))
    yield server
    server.stop()


@pytest_asyncio.fixture(params=["json", "protobuf"])
async def rig(request, server):
    rig = Rig(server, protobuf=request.param == "protobuf")
    yield rig
    await rig.release()
