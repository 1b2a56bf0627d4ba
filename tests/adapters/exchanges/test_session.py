"""What the connections to one venue share: ending a client."""

from __future__ import annotations

import asyncio

from adapters.exchanges import ccxt_session as session


class Session:
    closed = False

    async def close(self) -> None:
        self.closed = True


class DeafClient:
    """A ccxt client whose venue never answers a farewell."""

    def __init__(self) -> None:
        self.session = Session()

    async def close(self) -> None:
        await asyncio.Event().wait()


async def test_a_venue_that_does_not_answer_the_farewell_is_not_waited_for() -> None:
    client, loop = DeafClient(), asyncio.get_running_loop()
    began_s = loop.time()
    await session.close_client(client)
    assert loop.time() - began_s < 2 * session.CLOSE_S
    assert client.session.closed


async def test_it_closes_all_the_same_when_it_is_told_to_stop_meanwhile() -> None:
    client = DeafClient()
    closing = asyncio.create_task(session.close_client(client))
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert client.session.closed
