"""A TCP proxy that can cut the connections through it and keep clients away."""

import asyncio


class CuttableLink:
    def __init__(self, port):
        self._upstream = port
        self._open = True
        self._writers = set()
        self._joins = set()

    async def start(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def cut(self):
        """Cuts every connection without a farewell and refuses new ones until ``mend``."""
        self._open = False
        self.cut_once()

    def cut_once(self):
        """Cuts every connection; new ones are let through."""
        for writer in self._writers:
            writer.transport.abort()

    def mend(self):
        """Lets new connections through again."""
        self._open = True

    async def close(self):
        self.cut()
        self._server.close()
        await asyncio.gather(*self._joins, return_exceptions=True)

    def _accept(self, reader, writer):
        if not self._open:
            writer.transport.abort()
            return
        join = asyncio.create_task(self._join(reader, writer))
        self._joins.add(join)
        join.add_done_callback(self._joins.discard)

    async def _join(self, reader, writer):
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        pair = {writer, up_writer}
        self._writers |= pair
        if not self._open:
            self.cut_once()
        await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))
        self._writers -= pair


async def _pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        writer.transport.abort()
    finally:
        writer.close()
