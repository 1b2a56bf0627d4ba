"""Which markets of a venue are watched: those that are named or held, always, and the busiest. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from adapters.exchanges.venue import ListedMarket

QUOTES = {"hyperliquid": "USDC", "binancecoinm": "USD"}
"""In what a venue's busiest perpetuals are quoted, where it is not USDT."""


def quote_of(venue_id: str, asked: str | None) -> str:
    """The currency in which the busiest perpetuals are looked for.

    >>> quote_of("bybit", None), quote_of("hyperliquid", None), quote_of("okx", "USDC")
    ('USDT', 'USDC', 'USDC')
    """
    return asked or QUOTES.get(venue_id, "USDT")


def busiest(listed: Iterable[ListedMarket], top: int, quote: str) -> list[str]:
    """Return the ``top`` active perpetuals in ``quote`` by their turnover of 24 h, the busiest first.

    Linear ones, settled in what they are quoted in; quoted in USD, also those that are settled in a coin. One
    whose turnover the venue does not tell is not among them.
    """
    fitting = [
        market
        for market in listed
        if market.active
        and market.quote == quote
        and quote in (market.settle, "USD")
        and market.volume_usd is not None
    ]
    fitting.sort(key=lambda market: (-(market.volume_usd or 0.0), market.symbol))
    return [market.symbol for market in fitting[:top]]


def chosen(named: Sequence[str], held: Collection[str], top: Sequence[str]) -> list[str]:
    """Put them together, each once: what is named first, then what is held, then the busiest.

    >>> chosen(["B"], {"C", "A"}, ["A", "D"])
    ['B', 'A', 'C', 'D']
    """
    return list(dict.fromkeys((*named, *sorted(held), *top)))
