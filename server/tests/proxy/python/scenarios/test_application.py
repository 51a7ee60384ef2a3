"""An application decides about everything; what clients see of it."""

import asyncio

import pytest
from centrifuge import ReplyError

PATIENCE = 10


async def eventually(ask, wanted):
    async with asyncio.timeout(PATIENCE):
        while not wanted(await ask()):
            pass


async def call(client, method, data=None):
    return (await client.rpc(method, data)).data


async def test_says_who_connects_and_what_it_starts_with(rig):
    client, events, connected = await rig.connected("session-alice")
    assert connected.data == {"hello": "alice"}
    assert (await events.next("subscribed")).channel == "lobby:alice"
    await rig.server.publish("lobby:alice", {"n": 1})
    assert (await events.next("publication")).pub.data == {"n": 1}
    assert await call(client, "who") == {"user": "alice", "role": "admin"}
    await client.disconnect()


async def test_sends_strangers_away(rig):
    client, events = rig.client("nobody")
    await client.connect()
    ended = await events.next("disconnected")
    assert (ended.code, ended.reason) == (4501, "unknown session")


async def test_answers_calls(rig):
    client, _, _ = await rig.connected("session-bob", headers={"X-Locale": "de"})
    assert await call(client, "sum", [1, 2, 39]) == 42
    assert await call(client, "locale") == "de"
    with pytest.raises(ReplyError) as refused:
        await call(client, "nothing")
    assert (refused.value.code, refused.value.message) == (1404, "no such method")
    await client.disconnect()


async def test_decides_who_may_subscribe(rig):
    client, _, _ = await rig.connected("session-bob")
    _, _, subscribed = await rig.subscribed(client, "team:bob", data={"q": 1})
    assert subscribed.data == {"asked": {"q": 1}}
    refused, events = rig.subscription(client, "team:alice")
    await refused.subscribe()
    assert (await events.next("unsubscribed")).code == 1403
    await client.disconnect()


async def test_changes_and_refuses_publications(rig):
    client, _, _ = await rig.connected("session-alice")
    subscription, events, _ = await rig.subscribed(client, "team:words")
    await subscription.publish({"text": "darn it"})
    publication = (await events.next("publication")).pub
    assert publication.data == {"by": "alice", "text": "**** it"}
    assert publication.info.conn_info == {"name": "ALICE"}
    with pytest.raises(ReplyError) as refused:
        await subscription.publish({"text": ""})
    assert refused.value.code == 1400
    await client.disconnect()


async def test_lets_connections_and_subscriptions_live_on(rig):
    client, _, _ = await rig.connected("session-brief")
    await rig.subscribed(client, "team:brief", data={"brief": True})
    for event in ("refresh", "sub_refresh"):
        await eventually(lambda: call(client, "asked", event), lambda times: times > 0)
    assert (await call(client, "who"))["user"] == "brief"
    await client.disconnect()


async def test_fills_channels_that_are_empty(rig):
    client, _, _ = await rig.connected("session-alice")
    subscription, events = rig.subscription(client, "latest:prices")
    await subscription.subscribe()
    assert (await events.next("publication")).pub.data == {"from": "database"}
    await client.disconnect()


async def test_streams_publications_until_it_has_said_everything(grpc_rig):
    client, _, _ = await grpc_rig.connected("session-alice")
    _, events, subscribed = await grpc_rig.subscribed(client, "ticks:a")
    assert subscribed.data == {"from": 1}
    assert (await events.next("unsubscribed")).code == 2000
    assert [context.pub.data for context in events.all("publication")] == [1, 2, 3]
    await client.disconnect()


async def test_learns_that_a_stream_is_not_wanted_any_more(grpc_rig):
    client, _, _ = await grpc_rig.connected("session-alice")
    subscription, _, _ = await grpc_rig.subscribed(client, "ticks:b", data="for ever")
    await subscription.unsubscribe()
    assert await asyncio.to_thread(grpc_rig.streams.cancelled.wait, PATIENCE)
    await client.disconnect()


async def test_talks_with_its_subscriber(grpc_rig):
    client, _, _ = await grpc_rig.connected("session-alice")
    subscription, events, _ = await grpc_rig.subscribed(client, "echo:a")
    await subscription.publish("hello")
    assert (await events.next("publication")).pub.data == "HELLO"
    await client.disconnect()
