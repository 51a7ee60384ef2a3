"""An application behind a server, over each protocol, for all scenarios."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from backend.application import Application
from backend.grpc import GrpcBackend
from backend.http import HttpBackend
from backend.streams import Streams
from centrifuge import Client
from harness.events import ClientEvents, SubscriptionEvents
from harness.server import Server

SHARED = Path(__file__).resolve().parents[1]


class Rig:
    def __init__(self, protocol):
        self.streams = Streams()
        application = Application(lambda *args: asyncio.run(self.server.publish(*args)))
        is_grpc = protocol == "grpc"
        self._backend = GrpcBackend(application, self.streams) if is_grpc else HttpBackend(application)
        self.server = Server(configuration(self._backend.endpoint, is_grpc))

    async def connected(self, session, **options):
        client, events = self.client(session, **options)
        await client.connect()
        return client, events, await events.next("connected")

    def client(self, session, **options):
        events = ClientEvents()
        client = Client(
            self.server.endpoint(), events=events, data={"session": session}, timeout=10, proxy=None, **options
        )
        return client, events

    async def subscribed(self, client, channel, **options):
        subscription, events = self.subscription(client, channel, **options)
        await subscription.subscribe()
        return subscription, events, await events.next("subscribed")

    @staticmethod
    def subscription(client, channel, **options):
        events = SubscriptionEvents()
        return client.new_subscription(channel, events=events, **options), events

    def stop(self):
        self.server.stop()
        self._backend.stop()


def configuration(endpoint, with_streams):
    """The server's configuration with these endpoints; streams only when the application has them."""
    text = (SHARED / "server.json").read_text()
    config = json.loads(re.sub(r"\$\{(\w+)\}", lambda match: endpoint(match[1]), text))
    if with_streams:
        streams = json.loads((SHARED / "streams.json").read_text())
        config["channel"]["namespaces"] += streams["channel"]["namespaces"]
    return config


@pytest.fixture(scope="session", params=["http", "grpc"])
def rig(request):
    rig = Rig(request.param)
    yield rig
    rig.stop()


@pytest.fixture(scope="session")
def grpc_rig():
    rig = Rig("grpc")
    yield rig
    rig.stop()
