"""The paper bot's strategy: a long opened by slices, grown on dips, protected by a stop. Pure and deterministic.

It decides on each mark price and on nothing else, so two bots that hear the same marks trade alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from adapters.bots.settings import StrategySettings
from adapters.bots.trading import Holding, Mark
from guard.units import BPS_PER_UNIT
from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import StopRule

MARGIN_USED_MAX = 0.95
"""Of what the leverage allows: an order at the edge would be refused for fees and slippage."""
SIZE_TOLERANCE = 0.02
"""A lot that cannot be split is not a disobedience."""


@dataclass(slots=True)
class DipBuyer:
    """Remembers how much of the opening is left, and until when it waits after a stop."""

    settings: StrategySettings
    symbol: str
    opening_left: int = field(init=False)
    waits_until_ms: int = 0
    _held: bool | None = None

    def __post_init__(self) -> None:
        self.opening_left = self.settings.opening

    def watch(self, mark: Mark, holding: Holding) -> None:
        """Notice what became of the position since the last mark."""
        holds = holding.size > 0.0
        if self._held is None and holds:
            self.opening_left = 0  # an earlier life opened it
        if self._held and not holds:
            self.opening_left = self.settings.opening
            self.waits_until_ms = mark.at_ms + int(self.settings.reentry_s * 1000)
        self._held = holds

    def wants_slice(self, mark: Mark, holding: Holding, equity_usd: float, limits: Limits) -> bool:
        """Whether to buy a slice now."""
        return self._is_due(mark, holding) and self._fits(mark, holding, equity_usd, limits)

    def bought(self) -> None:
        """A slice was bought."""
        self.opening_left = max(0, self.opening_left - 1)

    def refused(self, mark: Mark) -> None:
        """The venue refused a slice: wait before asking again."""
        self.waits_until_ms = mark.at_ms + int(self.settings.reentry_s * 1000)

    def slice_size(self, mark: Mark, limits: Limits) -> float:
        """Base units of one slice, not yet rounded: as much of the usual one as the guard lets a new entry have."""
        return self.settings.slice_usd * limits.entry_share(self.symbol) / mark.price

    def leverage(self, limits: Limits) -> int:
        """The leverage to set on the venue: the strategy's own, or what the guard allows."""
        allowed = limits.max_leverage(self.symbol)
        return (
            self.settings.leverage if allowed is None else min(self.settings.leverage, max(1, int(allowed)))
        )

    def stop_price(self, holding: Holding, limits: Limits) -> float | None:
        """Where the stop must rest, ``None`` without a position; not yet rounded.

        The guard's rule is followed, but a stop that is looser than the strategy's own only once the
        position is as small as the guard wants it: else risk would grow in between.
        """
        if holding.size <= 0.0 or holding.entry_price is None:
            return None
        own = holding.entry_price * (1.0 - self.settings.stop_bps / BPS_PER_UNIT)
        rule = limits.stop(self.symbol)
        if rule is None:
            return own
        wanted = ruled_price(rule, own, holding.mark_price)
        size_max = limits.max_size(self.symbol)
        is_small = size_max is not None and holding.size <= size_max * (1.0 + SIZE_TOLERANCE)
        return wanted if wanted >= own or is_small else own

    def _is_due(self, mark: Mark, holding: Holding) -> bool:
        if mark.at_ms < self.waits_until_ms:
            return False
        if self.opening_left > 0:
            return True
        entry = holding.entry_price
        if holding.size <= 0.0 or entry is None:
            return False
        # Below its own stop it is on its way out: no dip is bought there.
        fallen_bps = (1.0 - mark.price / entry) * BPS_PER_UNIT
        return self.settings.dip_bps <= fallen_bps < self.settings.stop_bps

    def _fits(self, mark: Mark, holding: Holding, equity_usd: float, limits: Limits) -> bool:
        settings = self.settings
        size = self.slice_size(mark, limits)
        size_after = holding.size + size
        cost_after = holding.size * (holding.entry_price or mark.price) + size * mark.price
        notional_after = size_after * mark.price
        size_max = limits.max_size(self.symbol)
        leverage_max = limits.max_leverage(self.symbol)
        return (
            size > 0.0
            and may_buy(holding, limits, self.symbol)
            and cost_after <= settings.slice_usd * (settings.slices_max + 0.5)
            and notional_after <= equity_usd * self.leverage(limits) * MARGIN_USED_MAX
            and (size_max is None or size_after <= size_max)
            and (leverage_max is None or notional_after <= equity_usd * leverage_max)
        )


def may_buy(holding: Holding, limits: Limits, symbol: str) -> bool:
    """Whether the guard lets a long be opened, or the one that is held be grown."""
    return limits.may_open(symbol) if holding.size == 0.0 else limits.may_enter(symbol)


def ruled_price(rule: StopRule, own: float, mark: float | None) -> float:
    """The stop price of a long under the guard's rule: its price, or ``own`` moved out of what it forbids."""
    if rule.stop_price is not None:
        return rule.stop_price
    price = own
    if rule.distance_bps_min is not None and mark is not None:
        price = min(price, mark * (1.0 - rule.distance_bps_min / BPS_PER_UNIT))
    for low, high in sorted(rule.avoid, reverse=True):
        if low <= price <= high:
            price = low * (1.0 - 1.0 / BPS_PER_UNIT)
    return price
