"""Channels granted by tokens: of the subscription, of the connection, and personal ones."""

from harness.events import Calls
from harness.rig import published
from harness.tokens import in_seconds, token

CONFIG = {
    "client": {"subscribe_to_user_personal_channel": {"enabled": True, "personal_channel_namespace": "personal"}}
}


def grant(channel, **claims):
    return token(**{"sub": "alice", "channel": channel, "exp": in_seconds(600)} | claims)


async def test_a_subscription_token_opens_the_channel_with_info_and_data(rig):
    channel = "$" + rig.channel("closed")
    client, _ = await rig.connected()

    async def get_token(asked):
        assert asked == channel
        return grant(channel, info={"role": "guest"}, data={"hello": "you"})

    sub, events = await rig.subscribed(client, channel, get_token=get_token)
    assert rig.decode(events.all("subscribed")[0].data) == {"hello": "you"}
    clients = (await sub.presence()).clients
    assert rig.decode(clients[client.client_id].chan_info) == {"role": "guest"}


async def test_a_subscription_token_is_renewed_before_each_expiry(rig):
    channel = rig.channel("closed")
    client, _ = await rig.connected()
    calls = Calls()

    async def get_token(_):
        calls.add()
        return grant(channel, exp=in_seconds(2))

    _, events = await rig.subscribed(client, channel, get_token=get_token)
    await calls.reach(4)
    assert len(events.all("subscribing")) == 1
    assert events.all("error") == []


async def test_an_expired_subscription_token_is_asked_for_again(rig):
    channel = rig.channel("closed")
    client, _ = await rig.connected()

    async def get_token(_):
        return grant(channel)

    await rig.subscribed(client, channel, token=grant(channel, exp=in_seconds(-10)), get_token=get_token)


async def test_a_subscription_token_of_another_secret_is_refused_with_103(rig):
    channel = rig.channel("closed")
    client, _ = await rig.connected()
    _, events = await rig.subscription(client, channel, token=token(secret="another", sub="alice", channel=channel))
    assert (await events.next("unsubscribed")).code == 103


async def test_a_subscription_token_of_another_user_ends_the_connection_with_3500(rig):
    channel = rig.channel("closed")
    client, connection = await rig.connected()
    await rig.subscription(client, channel, token=grant(channel, sub="bob"))
    assert (await connection.next("disconnected")).code == 3500


async def test_channels_of_the_connection_token_recover_across_a_cut(rig):
    channels = [rig.channel("closed"), rig.channel("feed")]
    link = await rig.link()
    _, events = await rig.connected(link=link, token=token(sub="", channels=channels, exp=in_seconds(60)))
    recoverable = {context.channel: context.recoverable for context in await events.first(2, "subscribed")}
    assert recoverable == {channels[0]: False, channels[1]: True}
    await rig.publish_numbers(channels[1], range(1, 6))
    await events.first(5, "publication")
    link.cut()
    await events.first(2, "connecting")
    await rig.publish_numbers(channels[1], range(6, 61))
    link.mend()
    await events.first(60, "publication")
    assert rig.values(events) == published(range(1, 61))
    again = [context for context in events.all("subscribed")[2:] if context.channel == channels[1]]
    assert [context.recovered for context in again] == [True]


async def test_subs_of_the_connection_token_have_info_data_and_options(rig):
    channel = rig.channel("closed")
    forced = {"join_leave": {"value": True}, "force_push_join_leave": {"value": True}}
    subs = {channel: {"info": {"seat": 7}, "data": {"hello": "you"}, "override": forced}}
    client, events = await rig.connected(token=token(sub="", subs=subs, exp=in_seconds(60)))
    assert rig.decode((await events.next("subscribed")).data) == {"hello": "you"}
    joined = (await events.next("join")).info
    assert joined.client == client.client_id
    assert rig.decode(joined.chan_info) == {"seat": 7}


async def test_the_server_api_begins_and_ends_subscriptions(rig):
    channel = rig.channel("feed")
    client, events = await rig.connected(user="guest")
    assert (await events.next("subscribed")).channel == "personal:#guest"
    await rig.server.api("subscribe", user="guest", channel=channel, data={"welcome": True})
    begun = await events.next("subscribed")
    assert (begun.channel, rig.decode(begun.data)) == (channel, {"welcome": True})
    await rig.publish_numbers(channel, range(1, 3))
    await events.first(2, "publication")
    await rig.server.api("unsubscribe", user="guest", channel=channel)
    assert (await events.next("unsubscribed")).channel == channel
    await rig.publish_numbers(channel, [3])
    await client.rpc("ping", rig.encode({}))
    assert rig.values(events) == published([1, 2])


async def test_the_personal_channel_reaches_its_user_alone(rig):
    user = f"me-{rig.channel('x')}"
    mine = [await rig.connected(user=user) for _ in range(2)]
    other, others = await rig.connected(user="you")
    await rig.publish_numbers(f"personal:#{user}", range(1, 4))
    for _, events in mine:
        await events.first(3, "publication")
        assert rig.values(events) == published(range(1, 4))
    await other.rpc("ping", rig.encode({}))
    assert rig.values(others) == []
