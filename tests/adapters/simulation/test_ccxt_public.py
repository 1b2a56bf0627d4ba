"""The unmodified ccxt.pro client, with nothing but its URLs overridden, on the venue's market data."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.simulation import LoopbackVenue, generated_source, recorded_source, write_recording
from tests.adapters.simulation.clients import CODE, SYMBOL, client
from tests.adapters.simulation.steady import SteadySource
from tests.support.eventually import eventually


def same_book(book: Any, venue: LoopbackVenue) -> bool:
    """Whether the client's book is the venue's, level by level."""
    own = venue.market(CODE).book
    return (
        book["nonce"] == own.update_id
        and [[float(p), float(q)] for p, q in own.bids.top(1000)]
        == [list(level[:2]) for level in book["bids"]]
        and [[float(p), float(q)] for p, q in own.asks.top(1000)]
        == [list(level[:2]) for level in book["asks"]]
    )


async def test_the_markets_load_with_their_rules() -> None:
    venue = LoopbackVenue(generated_source("calm", seed=1, symbols=("BTCUSDT", "ETHUSDT")))
    async with venue, client(venue) as exchange:
        markets = await exchange.load_markets()

    assert sorted(markets) == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    market = markets[SYMBOL]
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert (market["linear"], market["active"], market["limits"]["cost"]["min"]) == (True, True, 5.0)


async def test_the_book_is_the_venues_after_every_diff_was_applied() -> None:
    venue = LoopbackVenue(generated_source("fall", seed=2, duration_s=20), speed=0, hold=True)
    async with venue, client(venue) as exchange:
        opening = await exchange.watch_order_book(SYMBOL)
        assert same_book(opening, venue)

        venue.begin()
        await venue.finished()

        await eventually(lambda: same_book(exchange.orderbooks[SYMBOL], venue), what="equal books")
        assert venue.market(CODE).book.mid() != pytest.approx(60_000.0, rel=0.01)


async def test_a_client_that_comes_in_the_middle_gets_the_same_book() -> None:
    venue = LoopbackVenue(generated_source("calm", seed=2, duration_s=6), speed=4.0)
    async with venue, client(venue) as exchange:
        await eventually(lambda: venue.market(CODE).book.update_id > 5_000_000_002_000)
        await exchange.watch_order_book(SYMBOL)
        await venue.finished()

        await eventually(lambda: same_book(exchange.orderbooks[SYMBOL], venue), what="equal books")


@pytest.mark.parametrize("rate", ["0", "100", "250", "500"])
async def test_diffs_come_at_any_named_rate(rate: str) -> None:
    venue = LoopbackVenue(generated_source("calm", seed=2, duration_s=5))
    async with venue, client(venue) as exchange:
        first = await exchange.watch_order_book(SYMBOL, params={"watchOrderBookRate": rate})
        before = first["nonce"]
        second = await exchange.watch_order_book(SYMBOL, params={"watchOrderBookRate": rate})

        assert second["nonce"] > before


async def test_trades_of_both_kinds_marks_tickers_and_liquidations_arrive() -> None:
    venue = LoopbackVenue(
        generated_source("fall", seed=2, duration_s=20, calm_share=0.1, thinning_s=1), speed=5.0, hold=True
    )
    async with (
        venue,
        client(venue) as exchange,
        client(venue, options={"watchTrades": {"name": "aggTrade"}}) as other,
    ):
        await exchange.load_markets()
        await other.load_markets()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            watching = {
                "trade": group.create_task(exchange.watch_trades(SYMBOL)),
                "aggTrade": group.create_task(other.watch_trades(SYMBOL)),
                "mark": group.create_task(exchange.watch_mark_price(SYMBOL)),
                "ticker": group.create_task(exchange.watch_bids_asks([SYMBOL])),
                "forced": group.create_task(exchange.watch_liquidations(SYMBOL)),
            }
            await asyncio.sleep(0)
            await eventually(lambda: len(exchange.clients) >= 4 and other.clients)
            await eventually(lambda: all(c.subscriptions for c in exchange.clients.values()))
            venue.begin()
        found = {name: task.result() for name, task in watching.items()}

    (trade,) = found["trade"]
    assert trade["symbol"] == SYMBOL
    assert 50_000 < trade["price"] < 70_000
    assert trade["side"] in ("buy", "sell")
    assert found["aggTrade"][0]["info"]["e"] == "aggTrade"
    assert found["mark"]["info"]["e"] == "markPriceUpdate"
    assert 50_000 < found["mark"]["markPrice"] < 70_000
    assert found["ticker"][SYMBOL]["bid"] < found["ticker"][SYMBOL]["ask"]
    assert found["forced"][0]["side"] == "sell"


async def test_what_is_asked_by_rest() -> None:
    venue = LoopbackVenue(generated_source("calm", seed=2, duration_s=4), speed=0, hold=True)
    async with venue, client(venue) as exchange:
        await exchange.load_markets()
        venue.begin()
        await venue.finished()
        market = venue.market(CODE)

        funding = await exchange.fetch_funding_rate(SYMBOL)
        assert funding["markPrice"] == float(market.mark)
        assert funding["fundingRate"] == float(market.funding_rate)
        assert funding["fundingTimestamp"] > await exchange.fetch_time()
        interest = await exchange.fetch_open_interest(SYMBOL)
        assert interest["openInterestAmount"] == float(market.open_interest)
        (history,) = await exchange.fetch_funding_rate_history(SYMBOL)
        assert history["fundingRate"] == float(market.funding_rate)
        book = await exchange.fetch_order_book(SYMBOL, limit=5)
        assert len(book["bids"]) == len(book["asks"]) == 5
        trades = await exchange.fetch_trades(SYMBOL, limit=10)
        assert trades[-1]["price"] == float(market.last)
        candles = await exchange.fetch_ohlcv(SYMBOL, "1m")
        assert candles[-1][4] == float(market.last)
        ticker = await exchange.fetch_ticker(SYMBOL)
        assert ticker["last"] == float(market.last)
        assert (await exchange.fetch_bids_asks([SYMBOL]))[SYMBOL]["bid"] == market.book.bids.best_price()
        assert (await exchange.fetch_last_prices([SYMBOL]))[SYMBOL]["price"] == float(market.last)


async def test_what_the_venue_does_not_list_is_refused_as_binance_refuses_it() -> None:
    import ccxt

    async with LoopbackVenue(SteadySource()) as venue, client(venue) as exchange:
        await exchange.load_markets()
        with pytest.raises(ccxt.BadSymbol, match="-1121"):
            await exchange.fapiPublicGetDepth({"symbol": "DOGEUSDT"})
        with pytest.raises(ccxt.ExchangeError, match="-4021"):
            await exchange.fapiPublicGetDepth({"symbol": CODE, "limit": 7})
        with pytest.raises(ccxt.ExchangeError, match="-1120"):
            await exchange.fapiPublicGetKlines({"symbol": CODE, "interval": "7m"})
        with pytest.raises(ccxt.ExchangeError, match="-5000"):
            await exchange.fapiPublicGetIndexInfo()


async def test_a_source_without_marks_and_tickers_gets_them_from_its_book(tmp_path: Path) -> None:
    path = tmp_path / "depth-only"
    write_recording(generated_source("calm", seed=2, duration_s=20), path)
    kept = [
        line for line in path.read_bytes().splitlines(keepends=True) if b"@depth" in line or b'"bids"' in line
    ]
    path.write_bytes(b"".join(kept))
    venue = LoopbackVenue(recorded_source(path), speed=10.0, hold=True)
    async with venue, client(venue) as exchange:
        await exchange.load_markets()
        async with asyncio.timeout(15), asyncio.TaskGroup() as group:
            mark = group.create_task(exchange.watch_mark_price(SYMBOL))
            ticker = group.create_task(exchange.watch_bids_asks([SYMBOL]))
            await eventually(lambda: len(exchange.clients) == 2)
            await eventually(lambda: all(c.subscriptions for c in exchange.clients.values()))
            venue.begin()

    assert mark.result()["markPrice"] == pytest.approx(60_000.0, rel=0.01)
    assert ticker.result()[SYMBOL]["bid"] == pytest.approx(60_000.0, rel=0.01)


async def test_a_real_recording_reaches_the_client_diff_by_diff(shared_data: Path) -> None:
    """The wide check (best prices beside bookTicker) is the acceptance test's; here: same book at the end."""
    source = recorded_source(shared_data / "binance_ws" / "usdm_btcusdt_20230404.dat.gz")
    venue = LoopbackVenue(source, speed=0, hold=True)
    async with venue, client(venue) as exchange:
        await exchange.watch_order_book(SYMBOL)
        venue.begin()
        await venue.finished()

        own = venue.market(CODE).book
        await eventually(lambda: exchange.orderbooks[SYMBOL]["nonce"] == own.update_id)
        book = exchange.orderbooks[SYMBOL]
        best = [
            [float(text) for text in own.bids.best() or ()],
            [float(text) for text in own.asks.best() or ()],
        ]
        assert [book["bids"][0], book["asks"][0]] == best
