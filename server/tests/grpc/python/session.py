"""The client protocol with nothing but generated code."""

import asyncio
import itertools

import grpc
from client import client_pb2, connection_pb2
from harness.tokens import in_seconds, token
from realtime import realtime_pb2_grpc

PATIENCE = 10
_names = itertools.count(1)


def name(namespace):
    """A channel of this namespace no other scenario uses."""
    return f"{namespace}:g{next(_names)}"


class Refused(Exception):
    """The reply to a command was an error."""

    def __init__(self, error):
        super().__init__(f"{error.code} {error.message}")
        self.code = error.code


class Session:
    def __init__(self, channel, user=None):
        self.user = user or f"user{next(_names)}"
        self._ids = itertools.count(1)
        self._stream = realtime_pb2_grpc.RealtimeStub(channel).Connect()
        self._pushes = []

    async def connect(self, **request):
        request.setdefault("token", token(sub=self.user, exp=in_seconds(600)))
        return await self.call(connect=connection_pb2.ConnectRequest(**request))

    async def call(self, **command):
        """Sends a command and returns the result in its reply; pushes that come before it are kept."""
        command = await self.send(**command)
        while True:
            reply = await self._read()
            if reply.id == command.id:
                if reply.HasField("error"):
                    raise Refused(reply.error)
                field = command.ListFields()[-1][0].name
                return getattr(reply, field)
            self._pushes.append(reply.push)

    async def send(self, **command):
        """Sends a command without waiting for its reply, and returns it."""
        command = client_pb2.Command(id=next(self._ids), **command)
        await self._stream.write(command)
        return command

    async def push(self):
        """Waits for the next push."""
        if self._pushes:
            return self._pushes.pop(0)
        return (await self._read()).push

    async def end(self):
        """Waits for the end and returns `(status, trailers)`."""
        try:
            while await asyncio.wait_for(self._stream.read(), PATIENCE) is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError:
            pass
        trailers = {key: value for key, value in await self._stream.trailing_metadata()}
        return await self._stream.code(), trailers

    async def finish(self):
        """Ends the client's side."""
        await self._stream.done_writing()

    def cancel(self):
        self._stream.cancel()

    async def _read(self):
        while True:
            reply = await asyncio.wait_for(self._stream.read(), PATIENCE)
            assert reply is not grpc.aio.EOF, "the stream ended"
            if reply != client_pb2.Reply():
                return reply
            await self._stream.write(client_pb2.Command())
