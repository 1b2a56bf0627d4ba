"""How near a position is to being deleveraged by its venue, and what a hedge is worth for that. No I/O.

When an insurance fund cannot bear a liquidation, venues close the most profitable positions of the other side at the
bankruptcy price: hedges, in a crash, and just when they are needed. All rank by profit and leverage: Binance by
unrealised profit over collateral times margin ratio, Bybit by leveraged return, OKX by profit ratio times leverage,
Hyperliquid by mark over entry times notional over account value. Nobody outside sees the queue; three of them tell a
place in it.

Sources (read 2026-11-22): https://www.binance.com/en/support/faq/360033525471,
https://www.bybit.com/en/help-center/article/Auto-Deleveraging-ADL (2026-04-13). Why no hedge is believed for more
than half: decision 0177.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from guard.events import Position
from guard.margin_terms import ContractKind

HEDGE_CREDIT_MAX = 0.5
"""At most so much of a hedge is counted on, however far back in the queue it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleveraging:
    """Where a position stands in its venue's queue.

    Attributes:
        rank: 0..1, 1 is closed first; ``None`` if nobody told and it cannot be estimated.
        is_estimate: it is ours, from profit and leverage alone: of the position, not of the queue.
    """

    rank: float | None
    is_estimate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What one position adds: signed notional in USD, and its place in the queue as ``Deleveraging.rank``."""

    notional_usd: float
    rank: float | None


def deleveraging_of(position: Position, equity_usd: float | None = None) -> Deleveraging:
    """Where a position stands: by the venue's word, else by our estimate.

    ``equity_usd`` is that of the account, used for a cross position. Our score is profit over entry value times
    effective leverage, notional over what stands behind it now; ``1 - 1 / (1 + score)`` makes it a rank, so that
    a fifth of profit at five times leverage stands in the middle. A position without profit has rank 0. It knows
    nothing of how others stand, which is what a queue is made of.

    >>> from guard.units import MarketId
    >>> short = Position(market=MarketId("m"), size=-2.0, entry_price=100.0, mark_price=75.0, margin_usd=50.0)
    >>> deleveraging_of(short).rank
    0.273
    """
    told = position.adl_rank
    if told is not None and isfinite(told):
        return Deleveraging(rank=min(max(told, 0.0), 1.0), is_estimate=False)
    score = _score(position, equity_usd)
    rank = None if score is None else round(1.0 - 1.0 / (1.0 + score), 3)
    return Deleveraging(rank=rank, is_estimate=True)


def hedge_credit(rank: float | None) -> float:
    """How much of a hedge may be counted on, 0..0.5: half of one last in the queue, nothing of the first or unknown.

    >>> hedge_credit(0.0), hedge_credit(0.8), hedge_credit(None)
    (0.5, 0.1, 0.0)
    """
    if rank is None or not isfinite(rank):
        return 0.0
    return round(HEDGE_CREDIT_MAX * (1.0 - min(max(rank, 0.0), 1.0)), 6)


def exposed_usd(exposures: Iterable[Exposure]) -> tuple[float, float]:
    """What is exposed to a fall and to a rise of all its markets together, USD, hedges counted as far as they may be.

    Longs less the credited part of shorts, and the other way round; neither is below 0.

    >>> exposed_usd([Exposure(notional_usd=100.0, rank=0.2), Exposure(notional_usd=-100.0, rank=0.0)])
    (50.0, 60.0)
    """
    known = [each for each in exposures if isfinite(each.notional_usd)]
    longs = [each for each in known if each.notional_usd > 0.0]
    shorts = [each for each in known if each.notional_usd < 0.0]
    return _unhedged_usd(longs, shorts), _unhedged_usd(shorts, longs)


def _unhedged_usd(held: list[Exposure], hedges: list[Exposure]) -> float:
    credited_usd = sum(hedge_credit(each.rank) * abs(each.notional_usd) for each in hedges)
    return max(0.0, sum(abs(each.notional_usd) for each in held) - credited_usd)


def _score(position: Position, equity_usd: float | None) -> float | None:
    """Profit ratio times effective leverage, 0 without profit; ``None`` if a part of it is not known."""
    entry, mark = position.entry_price, position.mark_price
    if entry is None or mark is None or not (0.0 < entry < float("inf") and 0.0 < mark < float("inf")):
        return None
    if position.kind is ContractKind.INVERSE:
        size_usd = position.contracts_usd
        if size_usd is None:
            return None
        notional_usd, profit_usd = abs(size_usd), size_usd * (mark / entry - 1.0)
        margin_usd = None if position.margin is None else position.margin * mark
    else:
        notional_usd, profit_usd = abs(position.size) * mark, position.size * (mark - entry)
        margin_usd = position.margin_usd
    if not isfinite(notional_usd) or not isfinite(profit_usd):
        return None
    if profit_usd <= 0.0:
        return 0.0
    leverage = _leverage(position, notional_usd, profit_usd, margin_usd, equity_usd)
    if leverage is None:
        return None
    score = abs(mark / entry - 1.0) * leverage
    return score if isfinite(score) else float("inf")


def _leverage(
    position: Position,
    notional_usd: float,
    profit_usd: float,
    margin_usd: float | None,
    equity_usd: float | None,
) -> float | None:
    """Notional over what stands behind it now, else the leverage that was set."""
    behind_usd = margin_usd + profit_usd if margin_usd is not None else equity_usd
    if behind_usd is not None and isfinite(behind_usd) and behind_usd > 0.0:
        return notional_usd / behind_usd
    set_leverage = position.leverage
    return set_leverage if set_leverage is not None and 0.0 < set_leverage < float("inf") else None
