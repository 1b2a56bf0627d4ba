"""What the connections to one venue share: ending a client."""

from __future__ import annotations

import asyncio

from adapters.exchanges import ccxt_session as session
from adapters.exchanges.embargo import Embargo


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


class ReadingClient:
    """A ccxt client that counts how often it reads the venue's markets."""

    def __init__(self) -> None:
        self.markets: dict[str, str] | None = None
        self.embargo = Embargo("binanceusdm")
        self.reads = 0

    async def load_markets(self, reload: bool = False) -> None:
        if self.markets is None or reload:
            self.reads += 1
            self.markets = {}

    def set_markets_from_exchange(self, other: ReadingClient) -> None:
        self.markets = other.markets


async def test_what_another_connection_has_just_read_is_not_read_again_at_a_start_but_later_it_is() -> None:
    markets, account, public = session.Markets(), ReadingClient(), ReadingClient()
    await asyncio.gather(markets.load(account), markets.reload(public))
    assert (account.reads, public.reads) == (1, 0)
    assert public.markets is account.markets

    await markets.reload(public)
    assert (account.reads, public.reads) == (1, 1), "whoever asks anew gets them anew"
    assert account.markets is public.markets
    await markets.load(account)
    await markets.reload(public)
    assert (account.reads, public.reads) == (1, 2)
