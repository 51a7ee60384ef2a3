"""What the SDK has told its handlers, in order, and waiting for what it will tell."""

import asyncio

from centrifuge import ClientEventHandler, SubscriptionEventHandler

DEADLINE = 15


class Signal:
    """Something that changes now and then, and those who wait for it to be right."""

    def __init__(self):
        self._changed = asyncio.Event()

    def tell(self):
        self._changed.set()

    async def until(self, condition, state):
        """Returns once ``condition`` holds; after the deadline fails with what ``state`` says."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain: {state()}") from None


class _Seen:
    """Handlers that write down every event under its name, without the ``on_``."""

    def __init__(self):
        self._seen = []
        self._taken = {}
        self._signal = Signal()

    def all(self, name):
        return [context for seen, context in self._seen if seen == name]

    async def next(self, name):
        """The next event of this name that no earlier call returned."""
        position = self._taken.get(name, 0)
        self._taken[name] = position + 1
        return (await self.first(position + 1, name))[position]

    async def first(self, count, name):
        """The first ``count`` events of this name, once there are as many."""
        await self._signal.until(
            lambda: len(self.all(name)) >= count,
            lambda: f"{count} of {name}, seen: {self._seen[-20:]}",
        )
        return self.all(name)[:count]

    def _tell(self, name, context):
        self._seen.append((name, context))
        self._signal.tell()


def _recorder(handlers):
    def recording(name):
        async def handler(self, context):
            self._tell(name, context)

        return handler

    names = [name for name in vars(handlers) if name.startswith("on_")]
    return {name: recording(name.removeprefix("on_")) for name in names}


ClientEvents = type("ClientEvents", (_Seen, ClientEventHandler), _recorder(ClientEventHandler))
SubscriptionEvents = type("SubscriptionEvents", (_Seen, SubscriptionEventHandler), _recorder(SubscriptionEventHandler))


class Calls:
    """Counts the calls of a callback the test gives to the SDK."""

    def __init__(self):
        self.count = 0
        self._signal = Signal()

    def add(self):
        self.count += 1
        self._signal.tell()

    async def reach(self, least):
        await self._signal.until(lambda: self.count >= least, lambda: f"{self.count} of {least} calls")
