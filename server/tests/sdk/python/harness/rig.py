"""A server, and the clients and links of the scenario that runs."""

import itertools
import json

from centrifuge import Client

from .cut import CuttableLink
from .events import ClientEvents, SubscriptionEvents
from .tokens import in_seconds, token

_channels = itertools.count(1)


class Rig:
    def __init__(self, server, protobuf):
        self.server = server
        self._protobuf = protobuf
        self._clients = []
        self._links = []

    def encode(self, value):
        """A value as the SDK's callers pass it in this format."""
        return json.dumps(value).encode() if self._protobuf else value

    def decode(self, data):
        """The value of what the SDK delivered."""
        return json.loads(data) if self._protobuf else data

    def values(self, events):
        """Values of the publications that were told of."""
        return [self.decode(context.pub.data) for context in events.all("publication")]

    @staticmethod
    def channel(namespace):
        """A channel of this namespace no other scenario uses."""
        return f"{namespace}:c{next(_channels)}"

    def client(self, link=None, user="alice", **options):
        """A client that is not connected yet: ``(client, events)``."""
        if "token" not in options and "get_token" not in options:
            options["token"] = token(sub=user, exp=in_seconds(600))
        events = ClientEvents()
        client = Client(
            self.server.endpoint(link and link.port),
            events=events,
            use_protobuf=self._protobuf,
            min_reconnect_delay=0.01,
            max_reconnect_delay=0.1,
            timeout=10,
            proxy=None,
            **options,
        )
        self._clients.append(client)
        return client, events

    async def connected(self, **options):
        """A connected client: ``(client, events)``."""
        client, events = self.client(**options)
        await client.connect()
        await events.next("connected")
        return client, events

    async def subscription(self, client, channel, **options):
        """A subscription that was asked for: ``(subscription, events)``."""
        events = SubscriptionEvents()
        sub = client.new_subscription(
            channel, events=events, min_resubscribe_delay=0.01, max_resubscribe_delay=0.1, **options
        )
        await sub.subscribe()
        return sub, events

    async def subscribed(self, client, channel, **options):
        """A subscription in force: ``(subscription, events)``."""
        sub, events = await self.subscription(client, channel, **options)
        await events.next("subscribed")
        return sub, events

    async def link(self):
        """A link to the server that can be cut."""
        link = await CuttableLink(self.server.port).start()
        self._links.append(link)
        return link

    async def publish_numbers(self, channel, numbers):
        """Publishes ``{"n": n}`` for each number through the server API, one after the other."""
        for n in numbers:
            await self.server.publish(channel, {"n": n})

    async def release(self):
        for client in self._clients:
            await client.disconnect()
        for link in self._links:
            await link.close()


def published(numbers):
    """Values as published by ``publish_numbers``."""
    return [{"n": n} for n in numbers]
