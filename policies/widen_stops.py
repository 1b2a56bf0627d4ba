"""Move a stop out of the reach of a wick while the position shrinks, so that the money at risk stays."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.positions import AccountView
from guard.account.risk import LegRisk
from guard.events import Order, Position, Stream
from guard.findings import Basis, Finding, Limit, Reason, Severity, Subject
from guard.leverage.margin_pool import LiquidationKind
from guard.market.book import Side
from guard.market.freshness import StreamState
from guard.market.view import BookTrust, MarketView
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, MarketId, Nanoseconds
from perpguard_sdk.messages import Evidence, StopRule


@dataclass(frozen=True, slots=True, kw_only=True)
class WidenStops:
    """Keeps protective stops out of thin zones, at constant risk.

    When the book on the side that a stop would sell into is thinner than ``thin_ratio`` of its normal,
    a stop is in danger if a market order of ``wick_multiple`` times the normal depth reaches it, or if
    it rests inside a thin zone: a wick would fire it far from its price. The new place is beyond that
    reach and beyond the far edge of the zone, never nearer than ``liquidation_margin_ratio`` of the way
    from liquidation price to mark. The position shrinks in the same command, so that size times
    distance (each with the present cost of exit added) is no more than before; the stop is never
    widened without that cut. If there is no room before the liquidation price nothing is asked: then
    ``cut_leverage`` has to make room first.

    Attributes:
        enabled: whether it decides at all.
        confirm_s: seconds for which a finding must have stood before anything is asked because of it.
        thin_ratio: depth over its normal below which stops are looked at.
        wick_multiple: the market order that a stop must survive, in normal depth within ``baseline.band_bps``.
        beyond_ratio: how much farther than reach or zone the new stop is put.
        distance_bps_max: a stop is never moved farther from the mark price than this.
        liquidation_margin_ratio: share of the way from liquidation to mark price that stays between
            liquidation price and stop.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "widen_stops"

    enabled: bool = True
    confirm_s: Annotated[float, Ge(0.0), Le(60.0)] = 1.0
    thin_ratio: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    wick_multiple: Annotated[float, Gt(0.0), Le(10.0)] = 0.25
    beyond_ratio: Annotated[float, Ge(0.0), Le(2.0)] = 0.5
    distance_bps_max: Annotated[float, Gt(0.0), Le(5_000.0)] = 1_000.0
    liquidation_margin_ratio: Annotated[float, Ge(0.0), Le(0.9)] = 0.25

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most one finding a position at ``now``."""
        return self._decide(state, now, None)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets``."""
        return self._decide(state, now, markets)

    def _decide(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId] | None
    ) -> Iterator[Finding]:
        if not self.enabled:
            return
        for account in state.accounts.values():
            clock = state.account_clocks.get(account.account)
            if account.orders is None or account.account in state.account_faults:
                continue
            if clock is not None and clock.state(now) is not StreamState.FRESH:
                continue
            for position in account.positions:
                if markets is not None and position.market not in markets:
                    continue
                view = state.markets.get(position.market)
                if view is None or not self._is_thin(view, position):
                    continue
                if view.trust(now) is not BookTrust.TRUSTED or not view.is_warm(now):
                    continue
                if view.stream_state(Stream.MARK_PRICE, now) is StreamState.STALE:
                    continue
                yield from self._position(account, position, view, state.own.leg(account.account, position))

    def _is_thin(self, view: MarketView, position: Position) -> bool:
        """The cheap question first: it is asked of every position at every Tick."""
        ratio = view.depth_ratio(Side.BID if position.size > 0 else Side.ASK)
        return ratio is not None and ratio < self.thin_ratio

    def _position(
        self, account: AccountView, position: Position, view: MarketView, leg: LegRisk | None
    ) -> Iterator[Finding]:
        mark = view.mark_price
        side = Side.BID if position.size > 0 else Side.ASK
        ratio, normal = view.depth_ratio(side), view.normal_depth_usd(side)
        stop = None if mark is None else _nearest_stop(account.orders or (), position, mark)
        if mark is None or stop is None or ratio is None or normal is None or ratio >= self.thin_ratio:
            return
        sign = 1.0 if position.size > 0 else -1.0
        distance_bps = sign * (mark - stop) / mark * BPS_PER_UNIT
        wick = view.reach_bps(side, self.wick_multiple * normal)
        zones = view.thin_zones(side)
        zone = next(((low, high) for low, high in zones if low <= stop <= high), None)
        wick_bps = 0.0 if wick is None else wick.value
        if distance_bps >= wick_bps and zone is None:
            return
        edge_bps = (
            0.0 if zone is None else sign * (mark - (zone[0] if sign > 0 else zone[1])) / mark * BPS_PER_UNIT
        )
        wanted_bps = min(max(wick_bps, edge_bps) * (1.0 + self.beyond_ratio), self.distance_bps_max)
        room_bps = self._room_bps(leg, mark, sign)
        exit_cost = view.exit_cost_bps(position.size)
        if exit_cost is None or room_bps is None or wanted_bps <= distance_bps or wanted_bps > room_bps:
            return
        size = abs(position.size) * (distance_bps + exit_cost.value) / (wanted_bps + exit_cost.value)
        price = mark * (1.0 - sign * wanted_bps / BPS_PER_UNIT)
        yield Finding(
            policy=self.name,
            reason=Reason.STOP_IN_THIN_ZONE,
            severity=Severity.ACT,
            subject=Subject(market=position.market, account=account.account),
            limit=Limit(
                max_size=size,
                stop=StopRule(stop_price=price, avoid=zones),
                # Until the stop has moved, a smaller position is one that obeys: it is not cut again.
                basis=Basis(size=position.size, reference=stop),
            ),
            evidence=(
                Evidence(name="stop distance", value=distance_bps, unit="bps", limit=max(wick_bps, edge_bps)),
                Evidence(name="stop price", value=stop, unit="USD"),
                Evidence(name="reach of a wick", value=wick_bps, unit="bps"),
                Evidence(name="wick", value=self.wick_multiple * normal, unit="USD"),
                Evidence(name=f"{side} depth over normal", value=ratio, unit="ratio", limit=self.thin_ratio),
                Evidence(name="exit cost of the position", value=exit_cost.value, unit="bps"),
                Evidence(name="position", value=position.size, unit="base units", limit=size),
                Evidence(name="new stop price", value=price, unit="USD"),
            ),
            confirm_ms=int(self.confirm_s * 1000),
            counterfactual=(
                f"would not stand with {side} depth above {self.thin_ratio:.0%} of its normal,"
                f" or with the stop {max(wick_bps, edge_bps):.0f} bps or more away"
            ),
        )

    def _room_bps(self, leg: LegRisk | None, mark: float, sign: float) -> float | None:
        """How far from mark a stop may stand before the liquidation price; ``None`` if that is not known."""
        if leg is None or leg.kind is LiquidationKind.FAILED:
            return None
        if leg.nearest is None:
            return self.distance_bps_max if leg.kind is LiquidationKind.CANNOT else None
        to_liquidation = sign * (mark - leg.nearest) / mark * BPS_PER_UNIT
        if to_liquidation < 0.0:
            return None
        return to_liquidation * (1.0 - self.liquidation_margin_ratio)


def _nearest_stop(orders: tuple[Order, ...], position: Position, mark: float) -> float | None:
    """The trigger price of the protective stop nearest to the mark price, ``None`` if there is none."""
    sign = 1.0 if position.size > 0 else -1.0
    prices = [
        order.stop_price
        for order in orders
        if order.market == position.market
        and order.reduce_only
        and order.stop_price is not None
        and order.size * sign <= 0
        and (order.stop_price - mark) * sign < 0
    ]
    return min(prices, key=lambda price: abs(price - mark), default=None)
