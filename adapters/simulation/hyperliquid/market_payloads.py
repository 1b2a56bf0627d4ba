"""Markets as Hyperliquid's answers and channels spell them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from adapters.simulation.errors import Refusal
from adapters.simulation.margin import BracketTable
from adapters.simulation.markets import Market, MarketStatus
from adapters.simulation.payloads import plain
from adapters.simulation.source import SymbolSpec
from adapters.simulation.wire import Level, TradeEvent

Json = dict[str, Any]

LEVELS = 20
"""A side, in every book that the venue gives."""

MARGIN_TABLE = 56
"""All coins of this venue share one; ids below 50 would mean a single tier."""

_TRADES = 10


def coin_of(spec: SymbolSpec) -> str:
    """The venue's name of a market."""
    return spec.base


def book(market: Market, *, figures: int | None = None, mantissa: int | None = None) -> Json:
    """``l2Book``: 20 levels a side, or 20 prices of so many significant figures, each with all that it stands for.

    Bids are rounded down and asks up, so that no price is better than what rests behind it.
    """
    bids, asks = market.book.bids, market.book.asks
    if figures is None:
        sides = [bids.top(LEVELS), asks.top(LEVELS)]
        counted = [[_level(price, size, 1) for price, size in side] for side in sides]
    else:
        counted = [
            _coarse(bids.top(len(bids.prices)), figures, mantissa, ROUND_FLOOR),
            _coarse(asks.top(len(asks.prices)), figures, mantissa, ROUND_CEILING),
        ]
    return {"coin": coin_of(market.spec), "time": market.book.at_ms, "levels": counted}


def _coarse(levels: Iterable[Level], figures: int, mantissa: int | None, rounding: str) -> list[Json]:
    """Sum up what rests at prices that round to the same one."""
    sums: dict[Decimal, tuple[Decimal, int]] = {}
    for price_text, size_text in levels:
        price = rounded(Decimal(price_text), figures, mantissa, rounding)
        if price not in sums and len(sums) == LEVELS:
            break
        size, count = sums.get(price, (Decimal(0), 0))
        sums[price] = (size + Decimal(size_text), count + 1)
    return [_level(plain(price), plain(size), count) for price, (size, count) in sums.items()]


def rounded(price: Decimal, figures: int, mantissa: int | None, rounding: str) -> Decimal:
    """Round to so many significant figures, in steps of ``mantissa`` of the last one.

    >>> plain(rounded(Decimal("60123.5"), 3, None, ROUND_FLOOR))
    '60100'
    >>> plain(rounded(Decimal("60123.5"), 5, 5, ROUND_CEILING))
    '60125'
    """
    step = Decimal(1).scaleb(price.adjusted() - figures + 1) * (mantissa or 1)
    return (price / step).to_integral_value(rounding) * step


def aggregation(told: Json) -> tuple[int | None, int | None]:
    """``nSigFigs`` and ``mantissa`` of a request, each ``None`` where full precision is asked for.

    Raises:
        Refusal: the venue has no such aggregation.
    """
    figures, mantissa = told.get("nSigFigs"), told.get("mantissa")
    if figures not in (None, 2, 3, 4, 5) or mantissa not in (None, 1, 2, 5) or (mantissa and figures != 5):
        raise undeserialisable()
    return figures, mantissa


def undeserialisable() -> Refusal:
    """What the venue says to whatever it cannot read."""
    return Refusal(0, "Failed to deserialize the JSON body into the target type", 422)


def context(market: Market) -> Json:
    """What ``activeAssetCtx`` tells of a coin, and ``metaAndAssetCtxs`` of each."""
    mid = market.book.mid()
    best = [market.book.bids.best_price(), market.book.asks.best_price()]
    candles = list(market.candles.values())[-1440:]
    return {
        # An hour's funding; the market is given it for eight.
        "funding": plain(market.funding_rate / 8),
        "openInterest": plain(market.open_interest),
        "prevDayPx": plain(candles[0].open if candles else market.last),
        "dayNtlVlm": plain(sum((candle.volume for candle in candles), Decimal(0))),
        "dayBaseVlm": plain(sum((candle.size for candle in candles), Decimal(0))),
        "premium": plain((market.mark - market.index) / market.index, 8) if market.index else None,
        "oraclePx": plain(market.index),
        "markPx": plain(market.mark),
        "midPx": None if mid is None else plain(Decimal(repr(mid))),
        "impactPxs": None if None in best else [plain(Decimal(repr(price))) for price in best],
    }


def meta(markets: Iterable[Market], table: BracketTable) -> Json:
    """``meta``: what is listed, and the one margin table, whose maintenance is the venue's own."""
    return {
        "universe": [
            {
                "name": coin_of(market.spec),
                "szDecimals": max(0, -int(market.spec.step.normalize().as_tuple().exponent)),
                "maxLeverage": leverage_max(table),
                "marginTableId": MARGIN_TABLE,
                # What was listed once keeps its place: assets are named by their number.
                **({"isDelisted": True} if market.status is MarketStatus.DELISTED else {}),
            }
            for market in markets
        ],
        "marginTables": [
            [
                MARGIN_TABLE,
                {
                    "description": f"tiered {leverage_max(table)}x",
                    "marginTiers": [
                        {
                            "lowerBound": plain(bracket.tier.notional_floor, 1),
                            "maxLeverage": _leverage(bracket.tier.maintenance_rate),
                        }
                        for bracket in table.brackets
                    ],
                },
            ]
        ],
        "collateralToken": 0,
    }


def leverage_max(table: BracketTable) -> int:
    """Of a small position. Here maintenance is half of the initial margin at the maximum leverage."""
    return _leverage(table.brackets[0].tier.maintenance_rate)


def _leverage(maintenance_rate: Decimal) -> int:
    return int(1 / (2 * maintenance_rate))


def trade(event: TradeEvent, coin: str) -> Json:
    """A trade; the side is the taker's."""
    number = event.t or event.a
    return {
        "coin": coin,
        "side": "A" if event.m else "B",
        "px": event.p,
        "sz": event.q,
        "time": event.T,
        "hash": f"0x{number:064x}",
        "tid": number,
        "users": [f"0x{1:040x}", f"0x{2:040x}"],
    }


def recent_trades(market: Market) -> list[Json]:
    """The newest trades, newest first."""
    coin = coin_of(market.spec)
    return [trade(event, coin) for event in reversed(list(market.trades)[-_TRADES:])]


def spot_meta() -> Json:
    """The spot side has a dollar and no pairs."""
    usdc = {
        "name": "USDC",
        "szDecimals": 8,
        "weiDecimals": 8,
        "index": 0,
        "tokenId": f"0x{0:032x}",
        "isCanonical": True,
        "evmContract": None,
        "fullName": None,
    }
    return {"tokens": [usdc], "universe": []}


def _level(price: str, size: str, count: int) -> Json:
    return {"px": price, "sz": size, "n": count}
