"""The streams from the server alone, by generated clients."""

import asyncio

import grpc
import pytest
from client import connection_pb2, subscription_pb2
from harness.tokens import in_seconds, token
from realtime import realtime_pb2_grpc
from unistream import unistream_pb2, unistream_pb2_grpc

from session import PATIENCE, name


def calls(connection, uni_connection, user, channel):
    """The stream of each service."""
    identity = token(sub=user, exp=in_seconds(600))
    ours = connection_pb2.ConnectRequest(token=identity, subs={channel: subscription_pb2.SubscribeRequest()})
    theirs = unistream_pb2.ConnectRequest(token=identity, subs={channel: unistream_pb2.SubscribeRequest()})
    return {
        "grpc_stream": lambda: realtime_pb2_grpc.RealtimeStub(connection).Consume(ours),
        "uni_grpc": lambda: unistream_pb2_grpc.CentrifugoUniStreamStub(uni_connection).Consume(theirs),
    }


async def read(stream):
    return await asyncio.wait_for(stream.read(), PATIENCE)


@pytest.mark.parametrize("service", ["grpc_stream", "uni_grpc"])
async def test_pushes_and_the_end(server, connection, uni_connection, service):
    channel, user = name("plain"), name("user")
    stream = calls(connection, uni_connection, user, channel)[service]()
    connected = (await read(stream)).connect
    assert len(connected.client) == 36 and list(connected.subs) == [channel]
    await server.publish(channel, "a")
    push = await read(stream)
    assert (push.channel, push.pub.data) == (channel, b'"a"')
    await server.api("disconnect", user=user, disconnect={"code": 4500, "reason": "over"})
    last = (await read(stream)).disconnect
    assert (last.code, last.reason) == (4500, "over")
    if service == "uni_grpc":
        assert await read(stream) is grpc.aio.EOF
    expected = grpc.StatusCode.OK if service == "uni_grpc" else grpc.StatusCode.ABORTED
    assert await stream.code() == expected
    trailers = {key: value for key, value in await stream.trailing_metadata()}
    assert trailers["gyre-disconnect-code"] == "4500"


async def test_cancelled_streams_leave_the_server(server, connection, uni_connection):
    channel = name("room")
    for call in calls(connection, uni_connection, "leaver", channel).values():
        stream = call()
        await read(stream)
        assert (await server.api("presence_stats", channel=channel))["num_clients"] == 1
        stream.cancel()
        async with asyncio.timeout(PATIENCE):
            while (await server.api("presence_stats", channel=channel))["num_clients"]:
                await asyncio.sleep(0.01)
