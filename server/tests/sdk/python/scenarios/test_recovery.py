"""Nothing is lost, doubled or reordered when connections break."""

import asyncio

from centrifuge import DeltaType, Filter, StreamPosition

from harness.rig import published


async def test_brings_every_publication_missed_during_a_cut(rig):
    channel = rig.channel("feed")
    link = await rig.link()
    client, connection = await rig.connected(link=link)
    _, events = await rig.subscribed(client, channel)
    await rig.publish_numbers(channel, range(1, 11))
    await events.first(10, "publication")
    link.cut()
    await connection.first(2, "connecting")
    await rig.publish_numbers(channel, range(11, 111))
    link.mend()
    _, again = await events.first(2, "subscribed")
    assert again.was_recovering and again.recovered
    await events.first(110, "publication")
    await rig.publish_numbers(channel, range(111, 121))
    await events.first(120, "publication")
    assert rig.values(events) == published(range(1, 121))
    assert [context.pub.offset for context in events.all("publication")] == [*range(1, 121)]


async def test_brings_every_publication_while_connections_break_under_load(rig):
    channels = [rig.channel("feed") for _ in range(3)]
    link = await rig.link()
    client, connection = await rig.connected(link=link)
    subscriptions = [await rig.subscribed(client, channel) for channel in channels]
    load = asyncio.gather(*(rig.publish_numbers(channel, range(1, 201)) for channel in channels))
    for round_ in range(2, 7):
        link.cut_once()
        await connection.first(round_, "connected")
    await load
    for _, events in subscriptions:
        await events.first(200, "publication")
        assert rig.values(events) == published(range(1, 201))
        assert all(again.recovered for again in events.all("subscribed")[1:])


async def test_brings_every_publication_when_the_server_forces_a_reconnect(rig):
    channel = rig.channel("feed")
    client, connection = await rig.connected(user="forced")
    _, events = await rig.subscribed(client, channel)
    load = asyncio.create_task(rig.publish_numbers(channel, range(1, 101)))
    for round_ in range(2, 5):
        await rig.server.api("disconnect", user="forced", disconnect={"code": 3011, "reason": "force reconnect"})
        await connection.first(round_, "connected")
    await load
    await events.first(100, "publication")
    assert rig.values(events) == published(range(1, 101))


async def test_says_so_when_history_no_longer_holds_what_was_missed(rig):
    channel = rig.channel("short")
    link = await rig.link()
    client, connection = await rig.connected(link=link)
    _, events = await rig.subscribed(client, channel)
    await rig.publish_numbers(channel, range(1, 3))
    await events.first(2, "publication")
    link.cut()
    await connection.first(2, "connecting")
    await rig.publish_numbers(channel, range(3, 13))
    link.mend()
    _, again = await events.first(2, "subscribed")
    assert (again.was_recovering, again.recovered) == (True, False)
    assert again.stream_position.offset == 12
    await rig.publish_numbers(channel, [13])
    await events.first(3, "publication")
    assert rig.values(events) == published([1, 2, 13])


async def test_asks_for_the_state_again_when_its_position_is_gone(rig):
    channel = rig.channel("feed")
    await rig.publish_numbers(channel, range(1, 4))
    epoch = (await rig.server.api("history", channel=channel))["epoch"]
    positions = [StreamPosition(offset=1, epoch="another"), StreamPosition(offset=1, epoch=epoch)]

    async def get_state(_):
        return positions.pop(0)

    client, _ = await rig.connected()
    _, events = await rig.subscribed(client, channel, get_state=get_state)
    await events.first(2, "publication")
    assert positions == []
    assert rig.values(events) == published([2, 3])


async def test_in_cache_mode_brings_the_newest_publication_alone(rig):
    channel = rig.channel("latest")
    link = await rig.link()
    client, connection = await rig.connected(link=link)
    _, events = await rig.subscribed(client, channel)
    await rig.publish_numbers(channel, [1])
    await events.next("publication")
    link.cut()
    await connection.first(2, "connecting")
    await rig.publish_numbers(channel, range(2, 31))
    link.mend()
    await events.first(2, "publication")
    await rig.publish_numbers(channel, [31])
    await events.first(3, "publication")
    assert rig.values(events) == published([1, 30, 31])


async def test_deltas_deliver_the_same_publications_across_a_cut(rig):
    channel = rig.channel("delta")
    values = [{"head": n, "text": "Lorem ipsum dolor sit amet. " * 40, "tail": f"é{n}"} for n in range(12)]
    link = await rig.link()
    client, connection = await rig.connected(link=link)
    _, events = await rig.subscribed(client, channel, delta=DeltaType.FOSSIL)
    for value in values[:3]:
        await rig.server.publish(channel, value)
    await events.first(3, "publication")
    link.cut()
    await connection.first(2, "connecting")
    for value in values[3:9]:
        await rig.server.publish(channel, value)
    link.mend()
    await events.first(9, "publication")
    for value in values[9:]:
        await rig.server.publish(channel, value)
    await events.first(12, "publication")
    assert rig.values(events) == values
    # The first one is whole, every other one a patch of the one before.
    assert [context.pub.delta for context in events.all("publication")][1:3] == [True, True]


async def test_a_tags_filter_holds_across_a_cut_without_false_gaps(rig):
    channel = rig.channel("tagged")
    link = await rig.link()
    client, connection = await rig.connected(link=link)
    wanted = Filter.any(Filter.eq("kind", "a"), Filter.all(Filter.exists("size"), Filter.gt("size", "10")))
    _, events = await rig.subscribed(client, channel, tags_filter=wanted)

    async def publish(first):
        for n, tags in enumerate([{"kind": "a"}, {"kind": "b"}, {"size": "9.5"}, {"size": "11"}, {}], first):
            await rig.server.publish(channel, {"n": n}, tags=tags)

    await publish(0)
    await events.first(2, "publication")
    link.cut()
    await connection.first(2, "connecting")
    await publish(10)
    link.mend()
    _, again = await events.first(2, "subscribed")
    assert again.recovered
    await publish(20)
    await rig.server.publish(channel, {"n": 30}, tags={"kind": "a"})
    await events.first(7, "publication")
    assert [value["n"] for value in rig.values(events)] == [0, 3, 10, 13, 20, 23, 30]
