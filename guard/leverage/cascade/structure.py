"""How far a fall (rise) goes if a shock is under way, by structure alone: what stands, what is forced, what is sold.

No I/O, no clock, no chance: uncertainty is a fixed grid of map scales and strengths of withdrawal, and the size of
the shock is integrated in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from guard.events import CURVE_BPS
from guard.forecasts import Direction
from guard.leverage.cascade.case import Case
from guard.leverage.cascade.result import CascadeResult
from guard.leverage.cascade.settings import DEFAULT, CascadeSettings
from guard.readings import BookReading, Reading


class SideMap(Protocol):
    """What is needed of a map of one direction (``guard.leverage.crowd``)."""

    @property
    def usd(self) -> NDArray[np.float64]:
        """Expected notional liquidated by bin of 10 bps (log) beyond the mark, USD."""
        ...

    @property
    def log_sd(self) -> float:
        """How uncertain their common scale is; lognormal."""
        ...

    @property
    def mark_price(self) -> float:
        """The mark from which the bins are counted."""
        ...


class Elsewhere(Struct, frozen=True, kw_only=True):
    """The same symbol at another venue, of which a share ``alive`` (0..1) is met here through arbitrage."""

    book: BookReading
    side: SideMap | None = None
    alive: float | None = None
    recent_net_usd: float = 0.0


class CascadeInputs(Struct, frozen=True, kw_only=True):
    """What is known beside book and map; everything may be missing.

    Attributes:
        recent_net_usd: what others sold (bought, upwards) on balance in about the last minute; below 0 counts as 0.
        volatility_5m: usual deviation of this market's 5-minute log returns, not that of the storm itself.
        index_price: what the coin costs elsewhere; arbitrage takes price there.
        elsewhere: the same symbol at other venues.
    """

    recent_net_usd: float = 0.0
    volatility_5m: float | None = None
    index_price: float | None = None
    elsewhere: Sequence[Elsewhere] = ()


NOTHING_MORE = CascadeInputs()


def oi_depth_ratio(reading: Reading) -> float | None:
    """Compute the one-line baseline: open interest over what rests within 1 % of mid on both sides, both in USD.

    ``None`` where book, open interest or price are unknown. High is fragile. It says nothing of where liquidations
    lie, and misleads where positions are hedged.

    >>> from guard.units import MarketId
    >>> curve = tuple(1e4 * bps for bps in CURVE_BPS)
    >>> book = BookReading(bid=99.9, ask=100.1, bid_curve_usd=curve, ask_curve_usd=curve,
    ...     bid_visible_bps=500.0, ask_visible_bps=500.0)
    >>> oi_depth_ratio(Reading(at=0, market=MarketId("a:B"), elapsed_s=5.0, book=book, open_interest=1e6))
    50.0
    """
    book, price = reading.book, reading.price
    if book is None or price is None or reading.open_interest is None:
        return None
    at = CURVE_BPS.index(100.0)
    depth = book.bid_curve_usd[at] + book.ask_curve_usd[at]
    interest = reading.open_interest * price
    if not (isfinite(depth) and isfinite(interest) and depth > 0.0 and interest >= 0.0):
        return None
    return interest / depth


def cascade(
    direction: Direction,
    book: BookReading,
    side: SideMap | None,
    inputs: CascadeInputs = NOTHING_MORE,
    settings: CascadeSettings = DEFAULT,
) -> CascadeResult:
    """Work out the structural reach in one direction; without a map (``side``) that of the book alone.

    With b what rests at distance v, w what withdrawal leaves of it, L what is liquidated up to x, Q what others sell::

        Be(x) = integral to x of b(v) w(v) (1 + refilled(v)) dv        f(x) = Be(x) - phi L(x)
        R(x)  = phi dL/dBe        Qc(x) = max of f up to x        reach(Q) = least x with f(x) >= Q
        P(reach >= x) = mean over map scales and withdrawals of P(Q > Qc(x))
        Q = pull + (flow_again * recent net flow + shock_depths * depth now) * log-logistic number of median 1

    A shock goes on as it has begun: by what was sold in the last minute, and a little of what stands within the usual
    moves of this market even if that is nothing. Pull is what arbitrage sells (below 0: buys) to bring price to the
    index.

    Where L is linear like B, ``reach`` is that without liquidations times 1 / (1 - R) (Cont and Wagalath, fire sales).
    ``w = 1 / (1 + (z / 13.3)**2.2)``, z being the distance in usual 5-minute deviations; a book that is thin already
    stands as far along that curve as it is thin, and is not thinned twice. Distances of mid and of mark differ by how
    far the mark lags. Depth beyond what was seen is a power law.

    Assumes that forced orders meet the book here and now, and that the shock comes within half an hour. Fails first
    where makers leave for what happens elsewhere, where stops (that nothing tells) are the forced selling, where other
    venues' books take the shock and are not given as ``elsewhere``, and where collateral falls along.

    >>> curve = tuple(1e4 * bps for bps in CURVE_BPS)
    >>> book = BookReading(bid=99.99, ask=100.01, bid_curve_usd=curve, ask_curve_usd=curve,
    ...     bid_visible_bps=500.0, ask_visible_bps=500.0, bid_kappa=1.0, ask_kappa=1.0)
    >>> found = cascade(Direction.DOWN, book, None)
    >>> [round(usd / 1e6, 2) for usd in found.barrier_usd], round(found.probability[1], 2), found.reproduction
    ([2.23, 4.16, 5.19], 0.34, 0.0)
    """
    case = _DOWN if direction is Direction.DOWN else _UP
    case.begin(book, inputs, settings)
    if side is not None:
        case.force(side, book.mid, 1.0)
    for other in inputs.elsewhere:
        case.meet(other)
    return case.tell(0.0 if side is None else side.log_sd)


_DOWN = Case(Direction.DOWN)
_UP = Case(Direction.UP)
