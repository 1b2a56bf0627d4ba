"""A socket for each subscription at a venue of one address, and when one counts as dead."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.exchanges.stream_sockets import StreamSockets
from guard.events import Stream
from guard.units import NS_PER_S
from tests.support.hand_clock import HandClock

ADDRESS = "wss://venue/public"
SILENCE_NS = 10 * NS_PER_S


class Socket:
    """What is used of ccxt's client of one address."""

    def __init__(self) -> None:
        self.isConnected = True
        self.error: Exception | None = None

    def on_error(self, error: Exception) -> None:
        self.error = error
        self.isConnected = False


class Client:
    def __init__(self) -> None:
        self.clients: dict[str, Socket] | None = None


class Stage:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.client: Any = Client()
        self.sockets = StreamSockets(self.client, self.clock)

    def open(self, stream: Stream, *symbols: str) -> tuple[str, Socket]:
        url = self.sockets.open(ADDRESS, stream, symbols or ("BTC",))
        socket = Socket()
        self.client.clients = {**(self.client.clients or {}), url: socket}
        self.sockets.on_connected(url)
        return url, socket

    def close_silent(self) -> list[str]:
        return self.sockets.close_silent(SILENCE_NS, owing=(Stream.MARK_PRICE,))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_each_subscription_has_an_address_of_its_own_that_is_free_again_afterwards(stage: Stage) -> None:
    first, one = stage.open(Stream.BOOK, "BTC", "ETH")
    second, other = stage.open(Stream.BOOK, "SOL")
    third, _ = stage.open(Stream.TRADES, "SOL")

    assert len({first, second, third}) == 3
    assert all(url.split("#")[0] == ADDRESS for url in (first, second, third))
    assert stage.sockets.home(Stream.BOOK, "SOL") == second
    assert stage.sockets.home(Stream.MARK_PRICE, "SOL") is None

    stage.sockets.close(first, "left")
    assert (str(one.error), other.error) == ("left", None)
    assert stage.sockets.carried(first) is None
    assert stage.sockets.open(ADDRESS, Stream.BOOK, ("BTC",)) == first


async def test_a_socket_on_which_nothing_happens_lives_by_its_pongs(stage: Stage) -> None:
    url, socket = stage.open(Stream.LIQUIDATIONS)
    stage.sockets.on_answered(url)
    for _ in range(4):
        await stage.clock.advance(6.0)
        stage.sockets.on_alive(url)
        assert stage.close_silent() == []
    await stage.clock.advance(10.1)

    assert stage.close_silent() == ["liquidations"]
    assert "nothing came for 10.1 s" in str(socket.error)
    assert stage.close_silent() == []  # it is not connected any more


async def test_a_stream_that_owes_data_does_not_live_by_pongs(stage: Stage) -> None:
    url, socket = stage.open(Stream.MARK_PRICE)
    stage.sockets.on_data(url)
    await stage.clock.advance(10.1)
    stage.sockets.on_alive(url)

    assert stage.close_silent() == ["mark_price"]
    assert socket.error is not None


async def test_a_subscription_that_is_never_answered_is_given_up_whatever_the_pongs(stage: Stage) -> None:
    url, socket = stage.open(Stream.TRADES)
    answered, other = stage.open(Stream.TRADES, "ETH")
    stage.sockets.on_answered(answered)
    await stage.clock.advance(10.1)
    for each in (url, answered):
        stage.sockets.on_alive(each)

    assert stage.close_silent() == ["trades"]
    assert socket.error is not None
    assert other.error is None


async def test_a_socket_that_opens_again_has_all_the_time_again(stage: Stage) -> None:
    url, _ = stage.open(Stream.TRADES)
    await stage.clock.advance(9.0)
    stage.sockets.on_connected(url)
    await stage.clock.advance(9.0)

    assert stage.close_silent() == []


def test_reopening_fails_the_sockets_of_that_stream_alone(stage: Stage) -> None:
    _, book = stage.open(Stream.BOOK)
    _, trades = stage.open(Stream.TRADES)
    stage.sockets.reopen(Stream.BOOK, "lost")

    assert (str(book.error), trades.error) == ("lost", None)


def test_what_is_not_known_any_more_is_ignored(stage: Stage) -> None:
    for take in (stage.sockets.on_alive, stage.sockets.on_data, stage.sockets.on_answered):
        take("wss://venue/public#gone-0")
    stage.sockets.close("wss://venue/public#gone-0", "again")
