"""Made-up readings of markets, for tests of observables."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from random import Random

from guard.events import CURVE_BPS
from guard.readings import BookReading, Reading
from guard.units import NS_PER_S, MarketId

START = 1_760_000_000 * NS_PER_S
BTC, ALT = MarketId("v:BTC/USDT:USDT"), MarketId("v:ALT/USDT:USDT")


def book_at(
    mid: float, *, spread_bps: float = 2.0, depth_usd: float = 1e4, round_trip_bps: float = 4.0
) -> BookReading:
    half = mid * spread_bps / 20_000.0
    curve = tuple(depth_usd * bps for bps in CURVE_BPS)
    return BookReading(
        bid=mid - half,
        ask=mid + half,
        bid_curve_usd=curve,
        ask_curve_usd=curve,
        bid_visible_bps=1_000.0,
        ask_visible_bps=1_000.0,
        round_trip_bps=round_trip_bps,
    )


def walk(market: MarketId, seed: int, count: int, *, drift: float = 0.0, start_s: int = 0) -> list[Reading]:
    """A market at 5 s whose price, flow, funding and open interest wander."""
    random = Random(seed)
    log_price, interest, made = 0.0, 1e5, []
    for step in range(count):
        log_price += random.gauss(drift, 0.0004)
        interest *= 1.0 + random.gauss(0.0, 0.0005)
        at = START + (start_s + 5 * step) * NS_PER_S
        mid = 100.0 * exp(log_price)
        made.append(
            Reading(
                at=at,
                market=market,
                elapsed_s=5.0 if step else 0.0,
                book=book_at(mid, spread_bps=2.0 + random.random(), round_trip_bps=4.0 + random.random()),
                mark_price=mid * (1.0 + random.gauss(0.0, 1e-4)),
                index_price=mid * (1.0 + random.gauss(0.0, 1e-4)),
                funding_rate=random.gauss(1e-4, 3e-5),
                open_interest=interest,
                open_interest_at=at,
                buy_usd=random.expovariate(1e-5),
                sell_usd=random.expovariate(1e-5),
            )
        )
    return made


def mirrored(reading: Reading) -> Reading:
    """The same market with down for up: prices inverted, sides exchanged."""
    book = reading.book
    assert book is not None
    assert reading.mark_price is not None
    assert reading.index_price is not None
    # The mid must be inverted exactly, so that logs are; the spread stays the same share of it.
    mid = 10_000.0 / book.mid
    half = mid * book.spread_bps / 20_000.0
    turned = replace(
        book,
        bid=mid - half,
        ask=mid + half,
        bid_curve_usd=book.ask_curve_usd,
        ask_curve_usd=book.bid_curve_usd,
    )
    return replace(
        reading,
        book=turned,
        mark_price=10_000.0 / reading.mark_price,
        index_price=10_000.0 / reading.index_price,
        funding_rate=None if reading.funding_rate is None else -reading.funding_rate,
        buy_usd=reading.sell_usd,
        sell_usd=reading.buy_usd,
    )
