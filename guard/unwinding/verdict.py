"""Whether to cut now or to wait: what it costs now, later and in the crash, against how likely that is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from guard.events import BookSide
from guard.hazard.thresholds import CEILING, cut_from
from guard.leverage.cascade.sizing import ExitCosts
from guard.market.liquidity import slippage_bps
from guard.units import BPS_PER_UNIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Cutting ``cut_usd`` now against waiting; costs are shares of it.

    Attributes:
        cut_usd: notional of what would be cut.
        costs: of leaving now, later if nothing comes, and what the crash takes.
        threshold: h*, the chance of the crash from which on cutting costs less.
        hazard: that chance as told; ``None`` where nobody tells it.
        cost_usd: what the cut costs if nothing comes: in excess of leaving at leisure, coming back included.
        saving_usd: what it is expected to save; ``None`` where the chance is not known.
    """

    cut_usd: float
    costs: ExitCosts
    threshold: float
    hazard: float | None
    cost_usd: float
    saving_usd: float | None

    @property
    def is_worth_it(self) -> bool | None:
        """Whether the expected saving exceeds the cost; ``None`` where that is not known."""
        return None if self.hazard is None else self.hazard > self.threshold


def weigh(costs: ExitCosts, cut_usd: float, hazard: float | None, reentry_share: float) -> Verdict:
    """Weigh a cut of ``cut_usd`` now against waiting.

    Formula:
        Cutting costs ``C_now`` and, as far as one comes back once it is over, the way in and out again, ``2 r
        C_later`` with r = ``reentry_share``; waiting costs ``(1 - h) C_later + h C_crash``. They are equal at ``h* =
        (C_now + 2 r C_later - C_later) / (C_crash - C_later)``, which for r = 0 is the rule of a position that is to
        be left anyway (``guard.hazard.thresholds``).

    >>> calm = ExitCosts(now=0.0007, later=0.0007, crash=0.105)
    >>> round(weigh(calm, 1000.0, 0.02, 1.0).threshold, 4), weigh(calm, 1000.0, 0.02, 1.0).is_worth_it
    (0.0134, True)
    >>> blown = ExitCosts(now=0.025, later=0.0005, crash=0.045)
    >>> round(weigh(blown, 1000.0, 0.3, 0.0).threshold, 2), weigh(blown, 1000.0, 0.3, 0.0).is_worth_it
    (0.55, False)
    """
    back = costs.now + 2.0 * reentry_share * costs.later
    threshold = cut_from(ExitCosts(now=back, later=costs.later, crash=costs.crash))
    saving = None if hazard is None else hazard * (costs.crash - costs.later) * cut_usd
    return Verdict(
        cut_usd=cut_usd,
        costs=costs,
        threshold=threshold if isfinite(threshold) else CEILING,
        hazard=hazard,
        cost_usd=max(back - costs.later, 0.0) * cut_usd,
        saving_usd=saving,
    )


def costs_of(
    book: BookSide,
    *,
    cut_usd: float,
    share: float,
    spread_bps: float,
    spread_ratio: float | None,
    depth_ratio: float | None,
    fee_ratio: float,
    distance: float,
    maintenance_ratio: float,
    liquidation_fee: float,
) -> ExitCosts:
    """Work out what leaving a part of a position costs now, later, and what the crash takes of it.

    Formula:
        ``C_now``: mean distance of fills from mid in this book (half a spread and impact) and the fee; ``C_later``:
        the same with depth and spread as they usually are, where that is milder; ``C_crash = d + (r + l) / share``:
        the move goes beyond the liquidation price, so what is lost of the part is the distance d, and of the whole
        position the maintenance margin r that is left then and the venue's fee l, counted on the part that would have
        prevented it.

    Args:
        book: the side that it is closed into.
        cut_usd: notional of the part.
        share: the part of the position, above 0 to 1.
        spread_bps: best ask less best bid.
        spread_ratio: that over normal; ``None`` where that is not known.
        depth_ratio: depth over normal; likewise.
        fee_ratio: taker's.
        distance: to liquidation, a fraction of the price.
        maintenance_ratio: of its tier, a share of notional.
        liquidation_fee: the venue's, a share of notional.

    Assumptions: part of it cut, the rest outlives the move. Failure modes: what a crash takes of collateral besides is
    not counted, so that C_crash is rather too low.
    """
    thin = min(depth_ratio, 1.0) if depth_ratio is not None and depth_ratio > 0.0 else 1.0
    wide = max(spread_ratio, 1.0) if spread_ratio is not None else 1.0
    half = max(spread_bps, 0.0) / 2.0
    now = max(slippage_bps(book, cut_usd).value, half)
    calm = max(slippage_bps(book, cut_usd * thin).value - half + half / wide, half / wide)
    lost = max(distance, 0.0) + (maintenance_ratio + liquidation_fee) / min(max(share, 1e-3), 1.0)
    return ExitCosts(
        now=min(now / BPS_PER_UNIT + fee_ratio, 1.0),
        later=min(min(calm, now) / BPS_PER_UNIT + fee_ratio, 1.0),
        crash=min(lost, 1.0),
    )
