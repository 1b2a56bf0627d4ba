"""A relay between a bot and its broker that keeps retained messages back, as a broker just started may."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.support.brokers import Broker

HOST = "127.0.0.1"
PUBLISH, RETAIN = 0x30, 0x01


@dataclass(slots=True)
class Relay:
    """Forwards every packet but the first ``left`` retained ones from the broker."""

    broker: Broker
    left: int
    port: int = 0
    kept_back: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        from_broker, to_broker = await asyncio.open_connection(self.broker.host, self.broker.port)
        ways = [
            asyncio.create_task(self._carry(reader, to_broker, whole=True)),
            asyncio.create_task(self._carry(from_broker, writer, whole=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (to_broker, writer):
                end.close()

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, whole: bool
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head, packet = await _packet(source)
                if not whole and self.left and head & 0xF0 == PUBLISH and head & RETAIN:
                    self.left -= 1
                    self.kept_back += 1
                    continue
                target.write(packet)
                await target.drain()


@contextlib.asynccontextmanager
async def relay(broker: Broker, *, keeps_back: int) -> AsyncIterator[Relay]:
    """Relay to ``broker``; the first ``keeps_back`` of its retained messages never arrive."""
    made = Relay(broker, keeps_back)
    server = await asyncio.start_server(made.serve, HOST, 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def _packet(source: asyncio.StreamReader) -> tuple[int, bytes]:
    """One MQTT packet, and its first byte: a head, the length in 7 bits a byte, the rest."""
    packet = await source.readexactly(2)
    length, shift = packet[1] & 0x7F, 7
    while packet[-1] & 0x80:
        packet += await source.readexactly(1)
        length |= (packet[-1] & 0x7F) << shift
        shift += 7
    return packet[0], packet + await source.readexactly(length)
