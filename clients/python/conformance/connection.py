"""A connection of the client protocol."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from .server import Server

_WAIT = 10.0


class Connection:
    """Just enough of a client to see what calls do.

    It connects, subscribes, answers pings and keeps what it is sent.
    """

    def __init__(self, server: Server, user: str, channels: list[str]) -> None:
        parts = urlsplit(server.url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_WAIT)
        self._bytes = b""
        self._messages: deque[dict[str, Any]] = deque()
        self._upgrade(parts.netloc)
        self._send({"id": 1, "connect": {"token": _token(user, server.token_secret)}})
        #: Id the server gave.
        self.client: str = self._reply(1)["connect"]["client"]
        for number, channel in enumerate(channels, 2):
            self._send({"id": number, "subscribe": {"channel": channel}})
            self._reply(number)

    def receive(self, name: str) -> Any:
        """The next message that has a field of this name."""
        while True:
            message = self._next()
            if name in message:
                return message[name]

    def close(self) -> None:
        """Goes away without a word."""
        self._socket.close()

    def _reply(self, number: int) -> dict[str, Any]:
        while True:
            message = self._next()
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"command {number}: {message['error']}")
                return message
            if "close" in message:
                raise AssertionError(f"command {number}: {message}")

    def _next(self) -> dict[str, Any]:
        while not self._messages:
            self._read_frame()
        return self._messages.popleft()

    def _upgrade(self, host: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /connection/websocket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._bytes:
            self._fill()
        head, self._bytes = self._bytes.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise AssertionError(head.splitlines()[0].decode())

    def _send(self, command: dict[str, Any]) -> None:
        self._write_frame(1, json.dumps(command).encode())

    def _write_frame(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2, "big")
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._socket.sendall(bytes([0x80 | opcode]) + size + mask + masked)

    def _read_frame(self) -> None:
        """Takes one frame. Servers do not split messages this small."""
        opcode, length = self._take(2)
        opcode, length = opcode & 0x0F, length & 0x7F
        if length >= 126:
            length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
        payload = self._take(length)
        if opcode == 8:
            code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            self._messages.append({"close": {"code": code, "reason": reason}})
        elif opcode == 9:
            self._write_frame(10, payload)
        elif opcode == 1:
            for line in payload.decode().splitlines():
                message = json.loads(line)
                if message:
                    self._messages.append(message)
                else:
                    self._send({})

    def _take(self, count: int) -> bytes:
        while len(self._bytes) < count:
            self._fill()
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken

    def _fill(self) -> None:
        chunk = self._socket.recv(65536)
        if not chunk:
            raise AssertionError("connection ended")
        self._bytes += chunk


def _token(user: str, secret: str) -> str:
    """A connection token: a JWT signed with HMAC."""
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part({'sub': user})}"
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _part(value: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
