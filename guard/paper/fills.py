"""What an order would be filled at in the book of now, as its sample tells it. No I/O, no clock.

Orders are taken one by one and leave the book as it is: right for sizes that are small against what rests there.
"""

from __future__ import annotations

from msgspec import Struct

from guard.events import BookSide, BookStatus, MarketFeatures
from guard.market.liquidity import depth_usd, slippage_bps
from guard.units import BPS_PER_UNIT

PRICE_MIN_RATIO = 0.01
"""However thin the book: nothing is sold below this share of mid."""


class Fill(Struct, frozen=True, kw_only=True):
    """What was filled of an order.

    Attributes:
        size: signed base units, buy positive; 0 where a limit took nothing.
        price: paid on the mean, quote per base.
        cost_bps: of that against mid, positive.
        extrapolated: whether it reaches behind the levels that are visible: an order of magnitude then.
    """

    size: float
    price: float
    cost_bps: float
    extrapolated: bool


def market_fill(book: MarketFeatures, size: float) -> Fill | None:
    """Take ``size`` (signed base units, not 0) at any price; ``None`` where no book may be believed."""
    found = _side(book, size)
    if found is None:
        return None
    side, mid = found
    cost = slippage_bps(side, abs(size) * mid)
    return Fill(
        size=size,
        price=_price(mid, size, cost.value),
        cost_bps=cost.value,
        extrapolated=cost.extrapolated,
    )


def limit_fill(book: MarketFeatures, size: float, price_limit: float) -> Fill | None:
    """Take at once what of ``size`` rests no farther than ``price_limit``, and let the rest be (immediate or cancel).

    ``None`` where no book may be believed.
    """
    found = _side(book, size)
    if found is None:
        return None
    side, mid = found
    sign = 1.0 if size > 0.0 else -1.0
    within_bps = sign * (price_limit - mid) / mid * BPS_PER_UNIT
    there = depth_usd(side, within_bps) if within_bps > 0.0 else None
    taken_usd = 0.0 if there is None else min(abs(size) * mid, there.value)
    if taken_usd <= 0.0:
        return Fill(size=0.0, price=mid, cost_bps=0.0, extrapolated=False)
    cost = slippage_bps(side, taken_usd)
    cost_bps = min(cost.value, within_bps)  # the curve is coarser than the limit
    return Fill(
        size=sign * taken_usd / mid,
        price=_price(mid, size, cost_bps),
        cost_bps=cost_bps,
        extrapolated=cost.extrapolated,
    )


def _side(book: MarketFeatures, size: float) -> tuple[BookSide, float] | None:
    """The side that an order takes from, and mid."""
    side = book.asks if size > 0.0 else book.bids
    if book.status is not BookStatus.OK or side is None or book.bid is None or book.ask is None:
        return None
    return side, (book.bid + book.ask) / 2.0


def _price(mid: float, size: float, cost_bps: float) -> float:
    if size > 0.0:
        return mid * (1.0 + cost_bps / BPS_PER_UNIT)
    return mid * max(1.0 - cost_bps / BPS_PER_UNIT, PRICE_MIN_RATIO)
