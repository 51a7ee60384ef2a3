"""Connecting, staying connected, and being told to go."""

import asyncio

import pytest
from centrifuge import ReplyError

from harness.events import Calls
from harness.tokens import in_seconds, token

CONFIG = {"client": {"ping_interval": "3s", "pong_timeout": "2s"}, "websocket": {"compression": True}}


async def test_connects_with_a_token_and_disconnects(rig):
    client, events = await rig.connected()
    assert len(events.all("connected")[0].client) == 36
    await client.disconnect()
    assert (await events.next("disconnected")).code == 0


async def test_calls_get_token_at_connect_and_before_each_expiry(rig):
    calls = Calls()

    async def get_token():
        calls.add()
        return token(sub="alice", exp=in_seconds(2))

    _, events = await rig.connected(get_token=get_token)
    # The third and fourth call follow from the expiry the server told in its refresh replies.
    await calls.reach(4)
    assert len(events.all("connecting")) == 1
    assert events.all("disconnected") == events.all("error") == []


async def test_asks_for_a_new_token_when_the_first_has_expired(rig):
    async def get_token():
        return token(sub="alice", exp=in_seconds(600))

    client, events = rig.client(token=token(sub="alice", exp=in_seconds(-10)), get_token=get_token)
    await client.connect()
    await events.next("connected")


async def test_ends_for_good_with_3500_for_a_token_of_another_secret(rig):
    client, events = rig.client(token=token(secret="another secret", sub="alice"))
    await client.connect()
    ended = await events.next("disconnected")
    assert (ended.code, ended.reason) == (3500, "invalid token")


async def test_ends_for_good_with_3503_when_the_server_api_disconnects_the_user(rig):
    _, events = await rig.connected(user="leaver")
    other, other_events = await rig.connected(user="stayer")
    await rig.server.api("disconnect", user="leaver")
    ended = await events.next("disconnected")
    assert (ended.code, ended.reason) == (3503, "force disconnect")
    await other.rpc("ping", rig.encode({}))
    assert other_events.all("disconnected") == []


@pytest.mark.parametrize("code", [3011, 3499, 4000, 4499])
async def test_reconnects_after_codes_that_allow_it(rig, code):
    _, events = await rig.connected(user=f"u{code}")
    await rig.server.api("disconnect", user=f"u{code}", disconnect={"code": code, "reason": "come back"})
    _, again = await events.first(2, "connecting")
    assert (again.code, again.reason) == (code, "come back")
    await events.first(2, "connected")


@pytest.mark.parametrize("code", [3999, 4500, 4999])
async def test_stays_away_after_codes_that_forbid_it(rig, code):
    _, events = await rig.connected(user=f"u{code}")
    await rig.server.api("disconnect", user=f"u{code}", disconnect={"code": code, "reason": "stay away"})
    ended = await events.next("disconnected")
    assert (ended.code, ended.reason) == (code, "stay away")
    assert len(events.all("connecting")) == 1


async def test_answers_pings_and_is_kept(rig):
    # The subscription token is renewed for longer than two rounds of pings last.
    calls = Calls()
    channel = rig.channel("closed")

    async def get_token(_):
        calls.add()
        return token(sub="alice", channel=channel, exp=in_seconds(4))

    client, events = await rig.connected()
    await rig.subscribed(client, channel, get_token=get_token)
    await calls.reach(4)
    assert len(events.all("connecting")) == 1


async def test_answers_the_ping_of_rpc_and_knows_no_other_method(rig):
    client, _ = await rig.connected()
    await client.rpc("ping", rig.encode({}))
    with pytest.raises(ReplyError) as refused:
        await client.rpc("pong", rig.encode({}))
    assert (refused.value.code, refused.value.message) == (104, "method not found")


async def test_answers_many_commands_at_once(rig):
    client, _ = await rig.connected()
    sub, events = await rig.subscribed(client, rig.channel("room"))
    await asyncio.gather(*(sub.publish(rig.encode({"n": n})) for n in range(100)))
    await events.first(100, "publication")
    assert rig.values(events) == [{"n": n} for n in range(100)]
