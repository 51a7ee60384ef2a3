"""How requests reach the server."""

from __future__ import annotations

import asyncio
import http.client
import select
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True)
class TransportRequest:
    """One HTTP request of a call."""

    url: str
    """Address with path."""
    headers: Mapping[str, str]
    """Headers, names in lower case."""
    body: bytes
    """JSON text."""
    timeout: float | None
    """Seconds left for the answer; none for no bound."""


@dataclass(frozen=True)
class TransportResponse:
    """What came back."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str]
    """Headers, names in lower case."""
    body: bytes
    """Body as it came."""


class Transport(Protocol):
    """Carries requests to the server.

    Give your own to a client to go through another HTTP library, to record calls, or to test
    without a server. Calls may come from several threads at the same time.
    """

    def send(self, request: TransportRequest) -> TransportResponse:
        """Makes a POST request and returns whatever status the answer has.

        Raises `Unreachable` if nothing was sent, `TimeoutError` if time is up, and any other error
        if it is not certain what became of the request.
        """

    def close(self) -> None:
        """Frees what the transport holds. It is not used again."""


class AsyncTransport(Protocol):
    """The same for asyncio."""

    async def send(self, request: TransportRequest) -> TransportResponse:
        """See `Transport.send`."""

    async def close(self) -> None:
        """See `Transport.close`."""


class Unreachable(Exception):
    """The server was not reached: nothing of the request was sent."""


class HttpTransport:
    """Uses `http.client` and keeps connections open between calls."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None, max_idle: int = 32) -> None:
        """`max_idle` bounds how many unused connections to one server are kept."""
        self._ssl_context = ssl_context
        self._max_idle = max_idle
        # Calls of several threads take and return connections; held for list operations only.
        self._lock = threading.Lock()
        self._idle: defaultdict[tuple[str, str], list[http.client.HTTPConnection]] = defaultdict(list)
        self._closed = False

    def send(self, request: TransportRequest) -> TransportResponse:
        parts = urlsplit(request.url)
        origin = (parts.scheme, parts.netloc)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        deadline = None if request.timeout is None else time.monotonic() + request.timeout
        connection = self._take(origin) or self._open(origin, _left(deadline))
        try:
            _bound(connection, deadline)
            connection.request("POST", path, body=request.body, headers=dict(request.headers))
            _bound(connection, deadline)
            response = connection.getresponse()
            chunks = []
            while True:
                _bound(connection, deadline)
                chunk = response.read(65536)
                if not chunk:
                    break
                chunks.append(chunk)
        except BaseException:
            connection.close()
            raise
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            connection.close()
        else:
            self._give_back(origin, connection)
        return TransportResponse(response.status, headers, b"".join(chunks))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            connections = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def _open(self, origin: tuple[str, str], timeout: float | None) -> http.client.HTTPConnection:
        scheme, netloc = origin
        connection: http.client.HTTPConnection
        if scheme == "https":
            context = self._ssl_context or ssl.create_default_context()
            connection = http.client.HTTPSConnection(netloc, timeout=timeout, context=context)
        elif scheme == "http":
            connection = http.client.HTTPConnection(netloc, timeout=timeout)
        else:
            raise Unreachable(f"address has scheme {scheme!r}, not http or https")
        try:
            connection.connect()
        except TimeoutError:
            raise
        except OSError as error:
            raise Unreachable(str(error)) from error
        return connection

    def _take(self, origin: tuple[str, str]) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                idle = self._idle[origin]
                if not idle:
                    return None
                connection = idle.pop()
            if _is_quiet(connection):
                return connection
            connection.close()

    def _give_back(self, origin: tuple[str, str], connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._closed and len(self._idle[origin]) < self._max_idle:
                self._idle[origin].append(connection)
                return
        connection.close()


class ThreadTransport:
    """Makes a transport one for asyncio by running it in threads.

    A call that is cancelled ends at once; its request runs on until its timeout.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, request: TransportRequest) -> TransportResponse:
        return await asyncio.to_thread(self._transport.send, request)

    async def close(self) -> None:
        await asyncio.to_thread(self._transport.close)


def _is_quiet(connection: http.client.HTTPConnection) -> bool:
    """Whether an idle connection is open: anything to read is the other side's goodbye."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


def _bound(connection: http.client.HTTPConnection, deadline: float | None) -> None:
    # The response holds the socket after the last byte of a closing connection.
    if connection.sock is not None:
        connection.sock.settimeout(_left(deadline))


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("time is up")
    return left
