"""Maintenance tiers where nobody told the venue's: a law of our own that asks for more than venues do. Pure.

Maintenance over notional N (USD) is ``r(N) = r0 + (1/2 - r0) N / (N + n0)``: the start ``r0`` is eight tenths of the
initial margin at the market's maximum leverage L, the end is half of the notional, and ``n0`` says how large a position
is half-way. That was measured on 907 contracts of one venue, none of whose figures is in here: at L of 50 or less,
300,000 USD put the law above what the venue asks for at 99 % of notionals from 1,000 to 10 million USD; above that,
markets are deeper, and it grows with the cube of L. Docs: ``docs/decisions/0180-terms-of-our-own.md``.
"""

from __future__ import annotations

from functools import lru_cache
from math import floor, inf, isfinite, log10

from guard.margin_terms import ContractKind, MarginTier, TermsSource, TierTable, TierUnit
from guard.units import MarketId, symbol_of

LEVERAGE_UNTOLD = 10.0
"""What stands for a maximum leverage that nobody told: one market in fifty allows less."""
LEVERAGE_BELIEVED_MAX = 150.0
"""More than this is advertising and says nothing of how deep a market is."""
START_SHARE = 0.8
END_RATIO = 0.5
HALF_WAY_USD = 300_000.0
DEEP_FROM = 50.0
"""The maximum leverage from which a market counts as deeper than others."""
DEEPER_POWER = 3.0
GRANTED_SHARE = 0.9
"""Of the initial margin that a venue took for an open position, this much is its maintenance at most."""

FLOORS_USD = (0.0, *(digit * 10.0**power for power in range(3, 10) for digit in (1.0, 2.0, 5.0)))


def formula_ratio(
    notional_usd: float,
    leverage_max: float | None = None,
    *,
    granted: tuple[float, float] | None = None,
) -> float:
    """Maintenance over notional by our law, within 0..1/2; never falls as the notional grows.

    Args:
        notional_usd: value of the whole position.
        leverage_max: the market's maximum leverage, ``None`` where nobody told it.
        granted: ``(notional_usd, leverage)`` of a position that the venue let its owner open: it asks for less than
            the initial margin there.

    >>> [round(formula_ratio(notional, 20.0), 3) for notional in (1e3, 1e5, 1e7)]
    [0.042, 0.155, 0.487]
    >>> round(formula_ratio(1e5, granted=(1e5, 20.0)), 3)
    0.045
    """
    start, half_way = _law(leverage_max, _steady(granted))
    return _ratio(notional_usd, start, half_way)


def formula_tiers(
    leverage_max: float | None = None, *, granted: tuple[float, float] | None = None
) -> tuple[MarginTier, ...]:
    """Make tiers of quote currency (taken for USD) that lie on the law at their ends and above it between them.

    The law's margin is a convex function of notional, so that its chords lie above it, and the chord's slope is the
    tier's ratio; beyond the last floor half of what is added is asked for.

    >>> tiers = formula_tiers(20.0)
    >>> (tiers[0].leverage_max, round(tiers[0].maintenance_ratio, 4), tiers[-1].maintenance_ratio)
    (20.0, 0.0415, 0.5)
    """
    return _continuous(leverage_max, _steady(granted))


def _continuous(leverage_max: float | None, granted: tuple[float, float] | None) -> tuple[MarginTier, ...]:
    start, half_way = _law(leverage_max, granted)
    floors = _floors_usd(granted)
    tiers: list[MarginTier] = []
    for index, low in enumerate(floors):
        at_floor = low * _ratio(low, start, half_way)
        ratio = END_RATIO
        if index + 1 < len(floors):
            end = floors[index + 1]
            ratio = (end * _ratio(end, start, half_way) - at_floor) / (end - low)
        tiers.append(
            MarginTier(
                floor=low,
                maintenance_ratio=ratio,
                deduction=ratio * low - at_floor,
                leverage_max=START_SHARE / _ratio(low, start, half_way),
            )
        )
    return tuple(tiers)


def formula_table(
    market: MarketId,
    leverage_max: float | None = None,
    kind: ContractKind | None = None,
    *,
    granted: tuple[float, float] | None = None,
) -> TierTable:
    """Make the table of a market whose tiers nobody told; it says that it is ours.

    That of an inverse contract is counted in its size, which is USD whatever the price; there each tier asks for what
    the law asks for at its end, since a deduction would be coins.

    Args:
        market: whose; its kind follows from its symbol unless ``kind`` says it.
        leverage_max: see ``formula_ratio``.
        kind: how the contract pays, ``None`` to tell it by the symbol.
        granted: see ``formula_ratio``.
    """
    return _table(market, leverage_max, kind or kind_of(market), _steady(granted))


@lru_cache(maxsize=1024)
def _table(
    market: MarketId, leverage_max: float | None, kind: ContractKind, granted: tuple[float, float] | None
) -> TierTable:
    """Made once for as long as nothing of it changes: accounts are assessed again and again."""
    if kind is ContractKind.LINEAR:
        return TierTable(market=market, tiers=_continuous(leverage_max, granted), source=TermsSource.FORMULA)
    start, half_way = _law(leverage_max, granted)
    floors = _floors_usd(granted)
    ends = (*floors[1:], inf)
    tiers = tuple(
        MarginTier(
            floor=low,
            maintenance_ratio=END_RATIO if end == inf else _ratio(end, start, half_way),
            leverage_max=START_SHARE / _ratio(low, start, half_way),
        )
        for low, end in zip(floors, ends, strict=True)
    )
    return TierTable(market=market, tiers=tiers, kind=kind, unit=TierUnit.SIZE, source=TermsSource.FORMULA)


def _steady(granted: tuple[float, float] | None) -> tuple[float, float] | None:
    """Its notional up to the next two digits: a position's value moves with every price, and its table need not."""
    if granted is None or not all(isfinite(each) and each >= 1.0 for each in granted):
        return None
    step = 10.0 ** (floor(log10(granted[0])) - 1)
    return (floor(granted[0] / step) + 1) * step, granted[1]


def _floors_usd(granted: tuple[float, float] | None) -> tuple[float, ...]:
    """Where tiers begin: also at the position that was granted, so that there the law itself is asked for."""
    if granted is None or granted[0] in FLOORS_USD or granted[0] > FLOORS_USD[-1]:
        return FLOORS_USD
    return tuple(sorted((*FLOORS_USD, granted[0])))


def kind_of(market: MarketId) -> ContractKind:
    """How a market pays, by ccxt's symbol: one that settles in its base coin, dated or not, is inverse.

    >>> kind_of(MarketId("binancecoinm:BTC/USD:BTC")).value, kind_of(MarketId("okx:BTC/USDT:USDT")).value
    ('inverse', 'linear')
    >>> kind_of(MarketId("binancecoinm:BTC/USD:BTC-261225")).value
    'inverse'
    """
    pair, _, settle = symbol_of(market).partition(":")
    settle = settle.partition("-")[0]
    return ContractKind.INVERSE if settle and settle == pair.partition("/")[0] else ContractKind.LINEAR


def _law(leverage_max: float | None, granted: tuple[float, float] | None) -> tuple[float, float]:
    """The ratio at a notional of 0 and the notional at which the way to one half is half gone."""
    leverage = LEVERAGE_UNTOLD
    if leverage_max is not None and isfinite(leverage_max) and leverage_max >= 1.0:
        leverage = min(leverage_max, LEVERAGE_BELIEVED_MAX)
    if granted is not None:
        leverage = max(leverage, min(granted[1], LEVERAGE_BELIEVED_MAX))
    start = min(START_SHARE / leverage, END_RATIO)
    half_way = HALF_WAY_USD * max(leverage / DEEP_FROM, 1.0) ** DEEPER_POWER
    if granted is not None and start < END_RATIO:
        share = (GRANTED_SHARE / min(granted[1], LEVERAGE_BELIEVED_MAX) - start) / (END_RATIO - start)
        if 0.0 < share < 1.0:
            half_way = max(half_way, granted[0] * (1.0 - share) / share)
    return start, half_way


def _ratio(notional_usd: float, start: float, half_way: float) -> float:
    if not notional_usd > 0.0:
        return start
    return start + (END_RATIO - start) / (1.0 + half_way / notional_usd)
