"""`Realtime.Connect` by a generated client."""

import json

import grpc
import pytest
from client import client_pb2, connection_pb2, subscription_pb2
from harness.tokens import in_seconds, token

from session import Refused, Session, name

SubscribeRequest = subscription_pb2.SubscribeRequest


async def test_connects_and_refreshes(connection):
    session = Session(connection)
    connected = await session.connect(token=token(sub=session.user, exp=in_seconds(60)))
    assert len(connected.client) == 36
    assert connected.expires and 55 <= connected.ttl <= 60
    renewed = connection_pb2.RefreshRequest(token=token(sub=session.user, exp=in_seconds(600)))
    assert (await session.call(refresh=renewed)).ttl > 500
    session.cancel()


async def test_publications_arrive_as_they_were_published(connection, session):
    channel = name("room")
    await session.call(subscribe=SubscribeRequest(channel=channel))
    other = Session(connection)
    connected = await other.connect()
    await other.call(subscribe=SubscribeRequest(channel=channel))
    payload = bytes(range(256))
    await other.call(publish=subscription_pb2.PublishRequest(channel=channel, data=payload))
    push = await session.push()
    assert (push.channel, push.pub.data, push.pub.offset) == (channel, payload, 1)
    assert (push.pub.info.user, push.pub.info.client) == (other.user, connected.client)
    other.cancel()


async def test_presence_and_history(server, session):
    channel = name("room")
    await session.call(subscribe=SubscribeRequest(channel=channel))
    for n in range(3):
        await server.publish(channel, {"n": n})
    presence = await session.call(presence=subscription_pb2.PresenceRequest(channel=channel))
    assert [info.user for info in presence.presence.values()] == [session.user]
    stats = await session.call(presence_stats=subscription_pb2.PresenceStatsRequest(channel=channel))
    assert (stats.num_clients, stats.num_users) == (1, 1)
    history = await session.call(history=subscription_pb2.HistoryRequest(channel=channel, limit=2))
    assert [json.loads(pub.data) for pub in history.publications] == [{"n": 0}, {"n": 1}]
    assert history.offset == 3


async def test_recovers_after_a_cut(server, connection, session):
    channel = name("feed")
    subscribed = await session.call(subscribe=SubscribeRequest(channel=channel))
    assert subscribed.recoverable
    await server.publish(channel, {"n": 1})
    assert (await session.push()).pub.offset == 1
    session.cancel()
    for n in (2, 3):
        await server.publish(channel, {"n": n})
    again = Session(connection)
    await again.connect()
    position = {"recover": True, "offset": 1, "epoch": subscribed.epoch}
    recovered = await again.call(subscribe=SubscribeRequest(channel=channel, **position))
    assert recovered.recovered
    assert [pub.offset for pub in recovered.publications] == [2, 3]
    again.cancel()


async def test_filters_by_tags(server, session):
    channel = name("tagged")
    wanted = subscription_pb2.FilterNode(key="kind", cmp="eq", val="news")
    await session.call(subscribe=SubscribeRequest(channel=channel, tf=wanted))
    await server.publish(channel, 1, tags={"kind": "other"})
    await server.publish(channel, 2, tags={"kind": "news"})
    assert (await session.push()).pub.data == b"2"


async def test_unsubscribed_channels_are_silent(server, session):
    left, kept = name("plain"), name("plain")
    for channel in (left, kept):
        await session.call(subscribe=SubscribeRequest(channel=channel))
    await session.call(unsubscribe=subscription_pb2.UnsubscribeRequest(channel=left))
    await server.publish(left, 1)
    await server.publish(kept, 2)
    assert (await session.push()).channel == kept


async def test_refusals_are_errors_of_their_command(session):
    with pytest.raises(Refused, match="103 permission denied"):
        await session.call(subscribe=SubscribeRequest(channel=name("closed")))
    with pytest.raises(Refused, match="102 unknown channel"):
        await session.call(subscribe=SubscribeRequest(channel=name("nowhere")))
    await session.call(subscribe=SubscribeRequest(channel=name("plain")))


async def test_the_status_says_whether_to_come_back(server, connection):
    for code, status in [(4000, grpc.StatusCode.UNAVAILABLE), (4500, grpc.StatusCode.ABORTED)]:
        session = Session(connection)
        await session.connect()
        await server.api("disconnect", user=session.user, disconnect={"code": code, "reason": "go now"})
        assert (await session.push()).disconnect == client_pb2.Disconnect(code=code, reason="go now")
        ended, trailers = await session.end()
        assert ended == status
        assert trailers["gyre-disconnect-code"] == str(code)
        assert trailers["gyre-disconnect-reason"] == "go%20now"


async def test_a_wrong_token_is_unauthenticated(connection):
    session = Session(connection)
    await session.send(connect=connection_pb2.ConnectRequest(token="nonsense"))
    assert (await session.push()).disconnect.code == 3500
    status, trailers = await session.end()
    assert status == grpc.StatusCode.UNAUTHENTICATED
    assert trailers["gyre-disconnect-code"] == "3500"


async def test_ending_the_own_side_is_fine(session):
    await session.finish()
    assert (await session.end())[0] == grpc.StatusCode.OK


async def test_compressed_commands_are_understood(connection):
    from realtime import realtime_pb2_grpc

    stream = realtime_pb2_grpc.RealtimeStub(connection).Connect(compression=grpc.Compression.Gzip)
    request = connection_pb2.ConnectRequest(token=token(sub="zip", exp=in_seconds(60)), name="x" * 10_000)
    await stream.write(client_pb2.Command(id=1, connect=request))
    assert (await stream.read()).connect.client
    stream.cancel()
