"""Move a stop out of the reach of a wick and out of others' liquidations, so that the money at risk stays."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.positions import AccountView
from guard.account.risk import LegRisk
from guard.account.stops import nearest_stop, room_bps
from guard.events import Position, Stream
from guard.findings import Basis, Finding, Limit, Reason, Severity, Subject
from guard.forecasts import Band, Direction, MarketOutlook, Regime
from guard.leverage.stop_places import Avoided, Place, place
from guard.market.book import Side
from guard.market.freshness import StreamState
from guard.market.view import BookTrust, MarketView
from guard.outlook.asking import UNDER_STRESS, hazard_of, if_fresh
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, MarketId, Nanoseconds
from perpguard_sdk.messages import Evidence, StopRule

_BAND_CORE_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class WidenStops:
    """Keeps protective stops out of thin zones and out of bands in which others are liquidated, at constant risk.

    **Thin book.** When the book on the side that a stop would sell into is thinner than ``thin_ratio`` of its normal,
    a stop is in danger if a market order of ``wick_multiple`` times the normal depth reaches it, or if
    it rests inside a thin zone: a wick would fire it far from its price.

    **Bands.** Where others are liquidated, a stop fires into their forced orders and fills near the band's far edge.
    A stop well within a band of the map whose density is ``band_ratio`` times the mean is told; it is moved only while
    a move of 5 % within 15 minutes the position's losing way has a chance of ``hazard_min``, or a third of that in the
    state STRESSED or CASCADE, for ``band_confirm_s``: a map knows its clusters barely, and every move costs size.

    The new place is beyond the far edge of all of that which hangs together, never nearer than
    ``liquidation_margin_ratio`` of the way from liquidation price to mark. The position shrinks in the same command, so
    that size times distance (each with the present cost of exit added) is no more than before; the stop is never
    widened without that cut. Where that would leave less than ``keep_share_min`` of the position, the stop goes to the
    near side of the band instead, at the same size. If there is no such place nothing is asked: then
    ``cut_leverage`` has to make room first. What is asked lies clear of what asks for it, by a quarter of a band's
    width or ``band_gap_bps``, so that a band that is estimated anew moves no stop twice. New stops are told of all of
    it (``StopRule.avoid``).

    Attributes:
        enabled: whether it decides at all.
        confirm_s: seconds for which a finding must have stood before anything is asked because of it.
        thin_ratio: depth over its normal below which stops are looked at.
        wick_multiple: the market order that a stop must survive, in normal depth within ``baseline.band_bps``.
        beyond_ratio: how much farther than reach or zone the new stop is put.
        distance_bps_max: a stop is never moved farther from the mark price than this.
        liquidation_margin_ratio: share of the way from liquidation to mark price that stays between
            liquidation price and stop.
        outlook_s_max: an outlook that is older, in seconds, tells no bands.
        band_ratio: density of a band over the mean up to 10 % from which on it is kept out of.
        hazard_min: chance of 5 % within 15 minutes from which on a stop is moved out of a band.
        band_confirm_s: seconds for which a finding about a band must have stood.
        band_gap_bps: how far clear of a band the new stop is put at least.
        front_bps_min: no stop is put nearer to the mark price than this.
        keep_share_min: share of a position that has to be left, else the near side of a band is chosen.
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
    outlook_s_max: Annotated[float, Ge(5.0), Le(300.0)] = 20.0
    band_ratio: Annotated[float, Ge(1.0), Le(20.0)] = 1.5
    hazard_min: Annotated[float, Gt(0.0), Le(1.0)] = 0.05
    band_confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 10.0
    band_gap_bps: Annotated[float, Ge(0.0), Le(500.0)] = 20.0
    front_bps_min: Annotated[float, Ge(0.0), Le(1_000.0)] = 100.0
    keep_share_min: Annotated[float, Ge(0.0), Le(1.0)] = 0.5

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
                yield from self._look(state, account, position, now)

    def _look(
        self, state: GuardState, account: AccountView, position: Position, now: Nanoseconds
    ) -> Iterator[Finding]:
        view = state.markets.get(position.market)
        if view is None:
            return
        outlook = if_fresh(state.outlook.of(position.market), now, self.outlook_s_max)
        if not (self._is_thin(view, position) or _has_map(outlook)):
            return
        if view.trust(now) is not BookTrust.TRUSTED or not view.is_warm(now):
            return
        if view.stream_state(Stream.MARK_PRICE, now) is not StreamState.STALE:
            leg = state.own.leg(account.account, position)
            yield from self._position(account, position, view, leg, outlook)

    def _is_thin(self, view: MarketView, position: Position) -> bool:
        """The cheap question first: it is asked of every position at every Tick."""
        ratio = view.depth_ratio(Side.BID if position.size > 0 else Side.ASK)
        return ratio is not None and ratio < self.thin_ratio

    def _position(
        self,
        account: AccountView,
        position: Position,
        view: MarketView,
        leg: LegRisk | None,
        outlook: MarketOutlook | None,
    ) -> Iterator[Finding]:
        mark = view.mark_price
        stop = None if mark is None else nearest_stop(account.orders or (), position, mark)
        if mark is None or stop is None:
            return
        seen = _Seen(position, view, mark, stop)
        thin, evidence = self._thin(seen)
        bands = self._bands(seen, outlook)
        stretches = [_stretch(seen, band, self.band_gap_bps) for band in bands]
        in_thin = any(each.holds(seen.distance_bps) for each in thin)
        band = next(
            (band for band, each in zip(bands, stretches, strict=True) if each.holds(seen.distance_bps)), None
        )
        if not in_thin and band is None:
            return
        is_pressed = in_thin or (outlook is not None and self._is_pressed(seen, outlook))
        exit_cost = view.exit_cost_bps(position.size)
        room = room_bps(
            leg,
            position,
            mark,
            margin_ratio=self.liquidation_margin_ratio,
            bps_max=self.distance_bps_max,
        )
        found: Place | None = None
        if is_pressed and exit_cost is not None and room is not None:
            found = place(
                seen.distance_bps,
                (*thin, *stretches),
                exit_bps=exit_cost.value,
                room_bps=room,
                front_bps_min=self.front_bps_min,
                keep_share_min=self.keep_share_min,
            )
        if in_thin:
            if found is not None and exit_cost is not None:
                yield self._in_thin_zone(account, seen, found, evidence, exit_cost.value, bands)
        elif band is not None and outlook is not None:
            exit_bps = None if exit_cost is None else exit_cost.value
            yield self._in_band(account, seen, found, band, bands, outlook, exit_bps)

    # ---------------------------------------------------------------- what to keep out of

    def _thin(self, seen: _Seen) -> tuple[list[Avoided], tuple[Evidence, ...]]:
        """What a thin book is to be kept out of, and what was seen of it."""
        view, side = seen.view, seen.side
        ratio, normal = view.depth_ratio(side), view.normal_depth_usd(side)
        if ratio is None or normal is None or ratio >= self.thin_ratio:
            return [], ()
        wick = view.reach_bps(side, self.wick_multiple * normal)
        wick_bps = 0.0 if wick is None else wick.value
        farther = 1.0 + self.beyond_ratio
        found = [Avoided(0.0, wick_bps, 0.0, wick_bps * farther)] if wick_bps > 0.0 else []
        for low, high in view.thin_zones(side):
            near, far = seen.distances(low, high)
            if far > 0.0:
                found.append(Avoided(near, far, near, far * farther))
        in_reach = max((each.far for each in found if each.holds(seen.distance_bps)), default=0.0)
        return found, (
            Evidence(name="stop distance", value=seen.distance_bps, unit="bps", limit=in_reach),
            Evidence(name="stop price", value=seen.stop, unit="USD"),
            Evidence(name="reach of a wick", value=wick_bps, unit="bps"),
            Evidence(name="wick", value=self.wick_multiple * normal, unit="USD"),
            Evidence(name=f"{side} depth over normal", value=ratio, unit="ratio", limit=self.thin_ratio),
        )

    def _bands(self, seen: _Seen, outlook: MarketOutlook | None) -> list[Band]:
        known = None if outlook is None else outlook.map(seen.direction)
        if known is None:
            return []
        return [
            band
            for band in known.bands
            if band.ratio >= self.band_ratio and max(seen.distances(band.near_price, band.far_price)) > 0.0
        ]

    def _is_pressed(self, seen: _Seen, outlook: MarketOutlook) -> bool:
        """Whether a move into the band is likely enough to pay for leaving it."""
        return seen.hazard(outlook) >= self._hazard_needed(outlook.regime)

    def _hazard_needed(self, regime: Regime | None) -> float:
        return self.hazard_min / 3.0 if regime in UNDER_STRESS else self.hazard_min

    # ---------------------------------------------------------------- what is said

    def _in_thin_zone(
        self,
        account: AccountView,
        seen: _Seen,
        found: Place,
        evidence: tuple[Evidence, ...],
        exit_bps: float,
        bands: list[Band],
    ) -> Finding:
        limit = self._limit(seen, found, bands)
        side, least = seen.side, evidence[0].limit or 0.0
        return Finding(
            policy=self.name,
            reason=Reason.STOP_IN_THIN_ZONE,
            severity=Severity.ACT,
            subject=Subject(market=seen.position.market, account=account.account),
            limit=limit,
            evidence=(*evidence, *_asked(seen, limit, exit_bps)),
            confirm_ms=int(self.confirm_s * 1000),
            counterfactual=(
                f"would not stand with {side} depth above {self.thin_ratio:.0%} of its normal,"
                f" or with the stop more than {least:.0f} bps away"
            ),
        )

    def _in_band(
        self,
        account: AccountView,
        seen: _Seen,
        found: Place | None,
        band: Band,
        bands: list[Band],
        outlook: MarketOutlook,
        exit_bps: float | None,
    ) -> Finding:
        """Say that others are liquidated where the stop stands; ask for something if it pays and there is room."""
        stretch = _stretch(seen, band, self.band_gap_bps)
        near, far = seen.price_at(stretch.near), seen.price_at(stretch.far)
        needed = self._hazard_needed(outlook.regime)
        limit = Limit() if found is None else self._limit(seen, found, bands)
        asked = () if found is None or exit_bps is None else _asked(seen, limit, exit_bps)
        moved = ""
        if found is not None:
            moved = f"; nothing would be asked with a chance of 5 % within 15 minutes below {needed:.1%}"
        return Finding(
            policy=self.name,
            reason=Reason.STOP_IN_LIQUIDATION_BAND,
            severity=Severity.INFO if found is None else Severity.ACT,
            subject=Subject(market=seen.position.market, account=account.account),
            limit=limit,
            evidence=(
                Evidence(name="stop price", value=seen.stop, unit="USD"),
                Evidence(name="stop distance", value=seen.distance_bps, unit="bps"),
                Evidence(name="near price of the band", value=band.near_price, unit="USD"),
                Evidence(name="far price of the band", value=band.far_price, unit="USD"),
                Evidence(name="liquidations in the band", value=band.mass.usd, unit="USD"),
                Evidence(name="at least", value=band.mass.low_usd, unit="USD"),
                Evidence(name="at most", value=band.mass.high_usd, unit="USD"),
                Evidence(name="density over the mean", value=band.ratio, unit="ratio", limit=self.band_ratio),
                Evidence(
                    name="chance of 5 % within 15 minutes",
                    value=100.0 * seen.hazard(outlook),
                    unit="%",
                    limit=100.0 * needed,
                ),
                *asked,
            ),
            confirm_ms=int(self.band_confirm_s * 1000) if found is not None else 0,
            counterfactual=f"would not stand with the stop outside of {near:.8g} to {far:.8g}{moved}",
        )

    def _limit(self, seen: _Seen, found: Place, bands: list[Band]) -> Limit:
        zones = seen.view.thin_zones(seen.side)
        held = tuple(
            (min(band.near_price, band.far_price), max(band.near_price, band.far_price)) for band in bands
        )
        return Limit(
            max_size=abs(seen.position.size) * min(found.keep_share, 1.0),
            stop=StopRule(stop_price=seen.price_at(found.distance), avoid=(*zones, *held)),
            # Until the stop has moved, a smaller position is one that obeys: it is not cut again.
            basis=Basis(size=seen.position.size, reference=seen.stop),
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    """A position with its nearest stop, in distances from the mark price."""

    position: Position
    view: MarketView
    mark: float
    stop: float

    @property
    def sign(self) -> float:
        return 1.0 if self.position.size > 0 else -1.0

    @property
    def side(self) -> Side:
        return Side.BID if self.position.size > 0 else Side.ASK

    @property
    def direction(self) -> Direction:
        return Direction.DOWN if self.position.size > 0 else Direction.UP

    @property
    def distance_bps(self) -> float:
        return self.distance(self.stop)

    def distance(self, price: float) -> float:
        return self.sign * (self.mark - price) / self.mark * BPS_PER_UNIT

    def distances(self, first: float, second: float) -> tuple[float, float]:
        """Of two prices, the nearer first."""
        one, other = self.distance(first), self.distance(second)
        return min(one, other), max(one, other)

    def price_at(self, distance_bps: float) -> float:
        return self.mark * (1.0 - self.sign * distance_bps / BPS_PER_UNIT)

    def hazard(self, outlook: MarketOutlook) -> float:
        return hazard_of(outlook, self.direction) or 0.0


def _stretch(seen: _Seen, band: Band, gap_bps: float) -> Avoided:
    near, far = seen.distances(band.near_price, band.far_price)
    return Avoided.of_band(near, far, core_share=_BAND_CORE_SHARE, gap_bps=gap_bps, gap_share=0.25)


def _asked(seen: _Seen, limit: Limit, exit_bps: float) -> tuple[Evidence, ...]:
    price = None if limit.stop is None else limit.stop.stop_price
    return (
        Evidence(name="exit cost of the position", value=exit_bps, unit="bps"),
        Evidence(name="position", value=seen.position.size, unit="base units", limit=limit.max_size),
        Evidence(name="new stop price", value=0.0 if price is None else price, unit="USD"),
    )


def _has_map(outlook: MarketOutlook | None) -> bool:
    return outlook is not None and bool(outlook.maps)
