"""Channels: publications, history, presence, joins and leaves, and what is refused."""

import pytest
from centrifuge import ReplyError, StreamPosition

from harness.rig import published
from harness.tokens import in_seconds, token

CONFIG = {"client": {"channel_limit": 20}}


async def test_delivers_what_subscribers_publish_with_who_published_it(rig):
    channel = rig.channel("room")
    bob, _ = await rig.connected(token=token(sub="bob", info={"name": "Bob"}, exp=in_seconds(60)))
    alice, _ = await rig.connected()
    sub, bobs_events = await rig.subscribed(bob, channel)
    _, events = await rig.subscribed(alice, channel)
    value = {"text": "Grüße <&> 🎈", "list": [1, 2.5, None, True]}
    await sub.publish(rig.encode(value))
    for seen in (events, bobs_events):
        publication = (await seen.next("publication")).pub
        assert rig.decode(publication.data) == value
        assert publication.info.user == "bob"
        assert publication.info.client == bob.client_id
        assert rig.decode(publication.info.conn_info) == {"name": "Bob"}


async def test_delivers_what_the_server_api_publishes_with_its_tags(rig):
    channel = rig.channel("plain")
    client, _ = await rig.connected()
    _, events = await rig.subscribed(client, channel)
    await rig.server.publish(channel, {"from": "backend"}, tags={"kind": "news"})
    publication = (await events.next("publication")).pub
    assert rig.decode(publication.data) == {"from": "backend"}
    assert publication.tags == {"kind": "news"}
    assert publication.info is None


async def test_delivers_nothing_after_unsubscribing(rig):
    channel = rig.channel("room")
    client, _ = await rig.connected()
    sub, events = await rig.subscribed(client, channel)
    await sub.unsubscribe()
    assert (await events.next("unsubscribed")).code == 0
    await rig.server.publish(channel, {"n": 1})
    await client.rpc("ping", rig.encode({}))
    assert events.all("publication") == []


async def test_is_ended_with_2000_by_the_unsubscribe_of_the_server_api(rig):
    channel = rig.channel("room")
    client, _ = await rig.connected(user="removed")
    _, events = await rig.subscribed(client, channel)
    await rig.server.api("unsubscribe", user="removed", channel=channel)
    ended = await events.next("unsubscribed")
    assert (ended.code, ended.reason) == (2000, "server unsubscribe")


async def test_reads_history_forwards_backwards_after_a_position_and_its_top(rig):
    channel = rig.channel("room")
    client, _ = await rig.connected()
    sub, _ = await rig.subscribed(client, channel)
    await rig.publish_numbers(channel, range(1, 6))

    async def read(**options):
        return [(pub.offset, rig.decode(pub.data)["n"]) for pub in (await sub.history(**options)).publications]

    top = await sub.history(limit=0)
    assert (top.offset, top.publications) == (5, [])
    third = StreamPosition(offset=3, epoch=top.epoch)
    assert await read(limit=2) == [(1, 1), (2, 2)]
    assert await read(limit=-1) == [(n, n) for n in range(1, 6)]
    assert await read(limit=2, reverse=True) == [(5, 5), (4, 4)]
    assert await read(limit=10, since=third) == [(4, 4), (5, 5)]
    assert await read(limit=10, since=third, reverse=True) == [(2, 2), (1, 1)]
    with pytest.raises(ReplyError) as refused:
        await sub.history(limit=10, since=StreamPosition(offset=3, epoch="gone"))
    assert refused.value.code == 112


async def test_tells_who_is_present_and_how_many(rig):
    channel = rig.channel("room")
    alice, _ = await rig.connected(token=token(sub="alice", info={"name": "Alice"}, exp=in_seconds(60)))
    bobs = [(await rig.connected(user="bob"))[0] for _ in range(2)]
    sub, _ = await rig.subscribed(alice, channel)
    for bob in bobs:
        await rig.subscribed(bob, channel)
    clients = (await sub.presence()).clients
    assert set(clients) == {alice.client_id, *(bob.client_id for bob in bobs)}
    assert rig.decode(clients[alice.client_id].conn_info) == {"name": "Alice"}
    stats = await sub.presence_stats()
    assert (stats.num_clients, stats.num_users) == (3, 2)


async def test_tells_of_joins_and_leaves_however_the_others_leave(rig):
    channel = rig.channel("room")
    watcher, _ = await rig.connected(user="watcher")
    sub, events = await rig.subscribed(watcher, channel, join_leave=True)
    assert (await events.next("join")).info.client == watcher.client_id
    link = await rig.link()

    async def cut(_client, _sub):
        link.cut()

    leavers = [
        ("unsubscriber", None, lambda client, sub: sub.unsubscribe()),
        ("disconnecter", None, lambda client, sub: client.disconnect()),
        ("victim", link, cut),
    ]
    for user, through, leave in leavers:
        client, _ = await rig.connected(user=user, link=through)
        other, _ = await rig.subscribed(client, channel)
        joined = (await events.next("join")).info
        assert (joined.client, joined.user) == (client.client_id, user)
        await leave(client, other)
        assert (await events.next("leave")).info.client == joined.client
    assert list((await sub.presence()).clients) == [watcher.client_id]


@pytest.mark.parametrize(
    ("channel", "code"),
    [("nowhere:x", 102), ("closed:x", 103), ("$room:x", 103), ("room:" + "x" * 255, 107), ("room:ü", 107)],
)
async def test_refuses_subscriptions_for_good(rig, channel, code):
    client, _ = await rig.connected()
    _, events = await rig.subscription(client, channel)
    assert (await events.next("unsubscribed")).code == code


async def test_refuses_one_channel_more_than_the_limit(rig):
    client, connection = await rig.connected()
    for _ in range(20):
        await rig.subscribed(client, rig.channel("room"))
    _, events = await rig.subscription(client, rig.channel("room"))
    assert (await events.next("unsubscribed")).code == 106
    assert len(connection.all("connecting")) == 1


async def test_refuses_what_the_namespace_does_not_allow_and_stays_subscribed(rig):
    client, _ = await rig.connected()
    sub, events = await rig.subscribed(client, rig.channel("plain"))
    room = rig.channel("room")
    refusals = [
        (sub.publish(rig.encode({})), 103),
        (sub.presence(), 108),
        (sub.presence_stats(), 108),
        (sub.history(limit=1), 108),
        (client.publish("nowhere:x", rig.encode({})), 102),
        (client.publish(room, rig.encode({})), 103),
        (client.presence(room), 103),
        (client.history(room, limit=1), 103),
    ]
    for call, code in refusals:
        with pytest.raises(ReplyError) as refused:
            await call
        assert refused.value.code == code
    assert events.all("unsubscribed") == []


async def test_carries_large_publications_in_both_directions(rig):
    client, _ = await rig.connected()
    sub, events = await rig.subscribed(client, rig.channel("room"))
    values = published([*range(3)]) + [{"text": "x" * 40_000}]
    for value in values:
        await sub.publish(rig.encode(value))
    await events.first(4, "publication")
    assert rig.values(events) == values
