"""Cut a position, early and in proportion, so that its liquidation lies beyond what a cascade reaches."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.distance import distance_of, is_hedge, margin_missing_usd
from guard.account.positions import AccountView
from guard.account.risk import LegRisk
from guard.account.sensible import sensible_size
from guard.account.time_to_liquidation import ACTIONS_MIN
from guard.events import BookSide, MarginMode, Position, PositionSource, Stream
from guard.findings import Basis, Finding, Limit, Offer, Pace, Reason, Severity, Subject
from guard.forecasts import Direction, MarketOutlook, Regime
from guard.market.book import Side
from guard.market.freshness import StreamState
from guard.market.view import MARK_DOUBT_S, BookTrust, MarketView
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, NS_PER_S, MarketId, Nanoseconds, symbol_of, venue_of
from guard.unwinding.bearing import bears_less, strictest
from guard.unwinding.evidence import Case, Need, counterfactual_of, evidence_of
from guard.unwinding.likelihood import chance_of, quantile_of
from guard.unwinding.pacing import PaceSettings, Unwinding, pace, unhurried
from guard.unwinding.remedies import offers_of
from guard.unwinding.room import UNDER_WAY, is_hurt, room_of
from guard.unwinding.sizes import largest_that_keeps, maintenance_of
from guard.unwinding.verdict import Verdict, costs_of, weigh
from perpguard_sdk.messages import Entries

PACED_BPS = 25.0
"""Refill is measured of the depth within this distance, so slices are a share of that."""


HAZARD_MOVE = 0.05
"""The move by which it is told whether a market is dangerous now, whatever is held in it."""

SOON_S = 300.0
"""While a cut is being made the next minutes matter, in which a crash comes faster than within the horizon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLeverage:
    """Keeps the liquidation price beyond what a shock, and the cascade behind it, can reach; acts before either comes.

    Two distances are asked for, in bps from mark price to liquidation price. The *floor* rests on the present book
    alone ::

        buffer_bps + exit_multiple * exit cost of the whole position now
                   + reach_multiple * reach of a market order of shock_multiple * normal depth, now

    so that a book that has lost nine tenths of its depth asks for several times the distance before the price has
    moved. The *reach* is the ``reach_quantile`` of how far price goes once a shock is under way, cascade included, as
    the outlook tells it. A position that is nearer than the floor is cut. One that is farther than the floor but
    nearer than the reach is cut only if the chance that price goes beyond its liquidation price within ``horizon_s``
    is at least ``hazard_min``, and so high that cutting costs less than waiting::

        h* = (now + 2 reentry_share later - later) / (crash - later)

    with ``now`` what leaving costs in this book, ``later`` in a usual one, and ``crash`` the distance, the maintenance
    margin and the venue's fee. Without an outlook no older than ``outlook_s`` the floor stands alone: what is not
    known is not calm, and not a reason to cut. In a book that is so dear (``dear_bps``) that waiting costs less even
    below the floor, nothing is cut: no entries, and margin or a hedge elsewhere are offered.

    A cut is the smallest that puts the liquidation price ``margin_ratio`` farther out than is needed, what closing
    costs deducted; one of less than ``cut_share_min`` waits. It is asked for as size and as leverage, with no entries
    until then. Before it comes to that, from ``cap_share`` of ``hazard_min`` on, and until the market has recovered,
    the position may not be added to, and where the market is more dangerous than usual, new ones get
    ``leverage_usual`` times the share of it that the market bears. Up to ``cap_multiple`` times what is needed,
    thrice that in a market that is hurt, the size is capped.

    What is large for the book is closed in slices (Almgren and Chriss, with the hazard): each a share of what stands
    near that has time to come back, no worse than a price. Where liquidation is fewer than three actions away all goes
    at once, and no budget holds it back.

    The liquidation price is the nearest of the venue's word and our own, by either valuation of collateral; where
    several positions share their margin it is also looked at how far all of them may move together, and each is
    cut by the share that keeps that distance. What hedges a larger position, or coins that are collateral, is not cut:
    without it the account would fail sooner.

    Acts only on what is known: no trusted book or mark price, no finding (``distrust_stale_data``
    blocks entries then), no liquidation price, no finding (``distrust_liquidation_prices`` does).
    Positions that only bots tell are not known once ``reported_s`` old. Where the venue has no stream of
    mark prices, the middle of the trusted book stands in; a mark price that has gone stale does not.

    In isolated mode a cut frees its share of the margin, so it shrinks the loss at liquidation more
    than it moves the price; the evidence then says how much margin would do instead. The cut is a share
    of the position as it was when it was first asked for, so obeying does not lead to the next one.

    Attributes:
        enabled: whether it decides at all.
        confirm_s: seconds for which a finding must have stood before anything is asked because of it; 5 at least where
            the mark price is 2 % worse than the middle of its own book.
        buffer_bps: distance that is always kept.
        exit_multiple: how many times the present cost of leaving must fit into the distance.
        shock_multiple: the shock, as a multiple of the normal depth within ``baseline.band_bps``.
        reach_multiple: how many times the shock's reach must fit into the distance.
        distance_bps_max: more distance than this is never asked for.
        margin_ratio: how much farther than the floor a cut puts the liquidation price.
        cap_multiple: up to how many times the needed distance a position is capped.
        reported_s: seconds after which positions that only bots tell are not known any more.
        reach_margin_ratio: how much farther than the reach a cut puts it: one large cut is cheaper than many later.
        reach_quantile: which quantile of the reach must not come to the liquidation price.
        hazard_min: chance of a move beyond the liquidation price from which on the reach is a reason to cut.
        hazard_hurt: chance of 5 % within ``horizon_s`` that bears out a state of the market or a thin book; where it is
            less, neither caps a position: both come and go on calm days.
        horizon_s: within which that chance is counted, seconds.
        outlook_s: seconds after which an outlook is not known any more.
        cap_share: from which share of ``hazard_min`` on nothing is added, nor opened at more than the leverage borne.
        cut_share_min: a cut of less of the position waits, below the floor of less than half of that.
        fee_ratio: the taker's fee, a share of notional.
        liquidation_fee_ratio: what the venue takes for liquidating, a share of notional.
        reentry_share: how much of a cut position one comes back with once it is over; that way is counted as cost.
        dear_bps: cost of leaving from which on a cut has to be worth it below the floor too, and a hedge is offered.
        leverage_usual: leverage one trades with as a rule; 0 for no cap by what markets bear.
        pace_interval_s: seconds between two slices, up to eight times as many where the book refills slowly.
        pace_horizon_s: seconds within which a cut is to be made, as far as there is time.
        pace_share: of what rests within 25 bps, the most that may be missing because of us.
        pace_risk: what carrying a variance of 1 USD^2 is worth, 1 / USD.
        slip_bps: how much worse than expected a slice's price may be.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "cut_leverage"

    enabled: bool = True
    confirm_s: Annotated[float, Ge(0.0), Le(60.0)] = 1.0
    buffer_bps: Annotated[float, Ge(0.0), Le(5_000.0)] = 50.0
    exit_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 2.0
    shock_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 2.0
    reach_multiple: Annotated[float, Ge(0.0), Le(100.0)] = 1.0
    distance_bps_max: Annotated[float, Gt(0.0), Le(9_000.0)] = 5_000.0
    margin_ratio: Annotated[float, Ge(0.0), Le(2.0)] = 0.25
    cap_multiple: Annotated[float, Ge(1.0), Le(10.0)] = 1.5
    reported_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 15.0
    reach_margin_ratio: Annotated[float, Ge(0.0), Le(2.0)] = 0.4
    reach_quantile: Annotated[float, Ge(0.5), Le(0.95)] = 0.90
    hazard_min: Annotated[float, Ge(0.001), Le(0.9)] = 0.3
    hazard_hurt: Annotated[float, Ge(0.0), Le(1.0)] = 0.02
    horizon_s: Annotated[float, Ge(60.0), Le(3_600.0)] = 900.0
    outlook_s: Annotated[float, Ge(1.0), Le(300.0)] = 20.0
    cap_share: Annotated[float, Ge(0.05), Le(1.0)] = 0.5
    cut_share_min: Annotated[float, Ge(0.0), Le(0.5)] = 0.2
    fee_ratio: Annotated[float, Ge(0.0), Le(0.01)] = 0.0005
    liquidation_fee_ratio: Annotated[float, Ge(0.0), Le(0.1)] = 0.005
    reentry_share: Annotated[float, Ge(0.0), Le(1.0)] = 1.0
    dear_bps: Annotated[float, Ge(1.0), Le(5_000.0)] = 100.0
    leverage_usual: Annotated[float, Ge(0.0), Le(200.0)] = 10.0
    pace_interval_s: Annotated[float, Ge(0.5), Le(60.0)] = 3.0
    pace_horizon_s: Annotated[float, Ge(1.0), Le(3_600.0)] = 60.0
    pace_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.25
    pace_risk: Annotated[float, Ge(0.0), Le(1.0)] = 1e-6
    slip_bps: Annotated[float, Ge(0.0), Le(5_000.0)] = 30.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most one finding a position, and one a market, at ``now``."""
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
            if account.positions and self._is_known(account, state, now):
                yield from self._account(state, account, now, markets)
        for market in state.markets if self.leverage_usual > 0.0 else ():
            if markets is None or market in markets:
                yield from self._borne(state, market, now)

    def _account(
        self,
        state: GuardState,
        account: AccountView,
        now: Nanoseconds,
        markets: AbstractSet[MarketId] | None,
    ) -> Iterator[Finding]:
        for position in account.positions:
            if (markets is not None and position.market not in markets) or not sensible_size(position.size):
                continue
            view = state.markets.get(position.market)
            if view is None or view.trust(now) is not BookTrust.TRUSTED:
                continue
            mark = _mark_price(view, now)
            if mark is not None and mark > 0.0:
                yield from self._position(state, account, position, view, mark, now)

    def _is_known(self, account: AccountView, state: GuardState, now: Nanoseconds) -> bool:
        """Whether what the account holds is known now: never cut on anything else."""
        clock = state.account_clocks.get(account.account)
        if account.source is PositionSource.VENUE and clock is not None:
            return clock.state(now) is StreamState.FRESH and account.account not in state.account_faults
        if account.source is PositionSource.BOT:
            return account.seen_at is not None and now - account.seen_at <= self.reported_s * NS_PER_S
        return True

    def _position(
        self,
        state: GuardState,
        account: AccountView,
        position: Position,
        view: MarketView,
        mark: float,
        now: Nanoseconds,
    ) -> Iterator[Finding]:
        own, features = state.own, view.features
        leg, pool = own.leg(account.account, position), own.pool(account.account, position)
        if leg is None or pool is None or is_hedge(position, leg, pool):
            return
        outlook = self._outlook(state, position.market, now)
        need = self._need(position, view, outlook)
        distance = distance_of(position, leg, pool, own.tried(account.account, pool), mark)
        if need is None or distance is None:
            return
        chance = self._chance(outlook, need.direction, distance.bps / BPS_PER_UNIT)
        hazard = self._chance(outlook, need.direction, HAZARD_MOVE)
        is_borne_out = hazard is None or hazard >= self.hazard_hurt
        room = room_of(
            need,
            distance.bps,
            is_raised=self._is_raised(outlook, chance, is_borne_out=is_borne_out),
            is_hurt=is_borne_out and is_hurt(outlook, view.depth_ratio(need.side)),
            cap_multiple=self.cap_multiple,
            margin_ratio=self.margin_ratio,
            reach_margin_ratio=self.reach_margin_ratio,
            distance_bps_max=self.distance_bps_max,
        )
        if distance.bps >= room.until_bps:
            return
        terms = own.terms_of(venue_of(account.account)).table(position.market)
        book = None if features is None else features.bids if position.size > 0.0 else features.asks
        size, equity = largest_that_keeps(
            position, pool, distance, book, view.mid_price, mark, room.target_bps, terms, self.fee_ratio
        )
        if size is None:
            return
        verdict, (ratio, _) = None, maintenance_of(position, mark, terms)
        if book is not None and size < abs(position.size):
            verdict = self._weigh(position, view, book, mark, size, distance.bps, ratio, chance)
        is_cut = self._is_cut(position, need, distance.bps, size, chance, verdict)
        risk, is_near = own.risk(account.account), distance.bps < room.wanted_bps
        missing_usd = margin_missing_usd(position, pool, distance, mark, room.wanted_bps) if is_near else None
        distance = replace(
            distance,
            seconds=leg.seconds_stressed if distance.share is None else None,
            action_s=None if risk is None else risk.action_s,
            margin_usd=missing_usd,
        )
        case = Case(
            account=account.account,
            position=position,
            mark=mark,
            distance=distance,
            need=need,
            wanted_bps=room.wanted_bps,
            until_bps=room.wanted_bps if is_cut else room.until_bps,
            size=size,
            equity_usd=equity,
            chance=chance,
            hazard_min=self.hazard_min,
            horizon_s=self.horizon_s,
            verdict=verdict,
            is_cut=is_cut,
            depth_ratio=view.depth_ratio(need.side),
        )
        yield self._finding(case, view, outlook, leg)

    def _outlook(self, state: GuardState, market: MarketId, now: Nanoseconds) -> MarketOutlook | None:
        outlook = state.outlook.of(market)
        return None if outlook is None or now - outlook.at > self.outlook_s * NS_PER_S else outlook

    def _is_raised(self, outlook: MarketOutlook | None, chance: float | None, *, is_borne_out: bool) -> bool:
        """Whether the reach is to be kept: a cascade is likely, or not over, so that nothing is given back at once."""
        if chance is None or outlook is None:
            return False
        return chance >= self.cap_share * self.hazard_min or (is_borne_out and outlook.regime in UNDER_WAY)

    def _chance(
        self,
        outlook: MarketOutlook | None,
        direction: Direction,
        distance: float,
        within_s: float | None = None,
    ) -> float | None:
        """How likely price goes so far within the horizon, ``None`` where nobody tells it."""
        hazard = None if outlook is None else outlook.hazard(direction)
        horizon_s = self.horizon_s if within_s is None else within_s
        return None if hazard is None else chance_of(hazard.probability, distance, horizon_s)

    def _need(self, position: Position, view: MarketView, outlook: MarketOutlook | None) -> Need | None:
        """The distance needed, ``None`` if the book cannot tell."""
        exit_cost = view.exit_cost_bps(position.size)
        if exit_cost is None:
            return None
        side = Side.BID if position.size > 0 else Side.ASK
        direction = Direction.DOWN if position.size > 0 else Direction.UP
        normal = view.normal_depth_usd(side)
        shock = None if normal is None else view.reach_bps(side, self.shock_multiple * normal)
        shock_bps = 0.0 if shock is None else shock.value
        total = self.buffer_bps + self.exit_multiple * exit_cost.value + self.reach_multiple * shock_bps
        reach = None if outlook is None else outlook.reach(direction)
        quantile = None if reach is None else quantile_of(reach.quantiles, self.reach_quantile)
        return Need(
            side=side,
            direction=direction,
            floor_bps=min(total, self.distance_bps_max),
            exit_bps=exit_cost.value,
            shock_bps=shock_bps,
            shock_usd=0.0 if normal is None else self.shock_multiple * normal,
            shock_multiple=self.reach_multiple,
            reach_bps=None if quantile is None else min(quantile * BPS_PER_UNIT, self.distance_bps_max),
            reach_quantile=self.reach_quantile,
            extrapolated=exit_cost.extrapolated or (shock is not None and shock.extrapolated),
        )

    def _weigh(
        self,
        position: Position,
        view: MarketView,
        book: BookSide,
        mark: float,
        size: float,
        distance_bps: float,
        maintenance_ratio: float,
        chance: float | None,
    ) -> Verdict:
        held = abs(position.size)
        cut_usd = (held - size) * mark
        costs = costs_of(
            book,
            cut_usd=cut_usd,
            share=(held - size) / held,
            spread_bps=view.spread_bps or 0.0,
            spread_ratio=view.spread_ratio,
            depth_ratio=view.depth_ratio(Side.BID if position.size > 0 else Side.ASK),
            fee_ratio=self.fee_ratio,
            distance=distance_bps / BPS_PER_UNIT,
            maintenance_ratio=maintenance_ratio,
            liquidation_fee=self.liquidation_fee_ratio,
        )
        return weigh(costs, cut_usd, chance, self.reentry_share)

    def _is_cut(
        self,
        position: Position,
        need: Need,
        distance_bps: float,
        size: float,
        chance: float | None,
        verdict: Verdict | None,
    ) -> bool:
        """Whether to ask for the cut, or for a cap alone."""
        if verdict is None:  # there is room, or no book side to be closed into
            return distance_bps < need.floor_bps and size < abs(position.size)
        if distance_bps < need.floor_bps:
            is_small = size > (1.0 - self.cut_share_min / 2.0) * abs(position.size)
            if is_small and distance_bps >= need.floor_bps / 2.0:
                return False
            is_dear = verdict.costs.now * BPS_PER_UNIT >= self.dear_bps
            return not is_dear or verdict.is_worth_it is not False
        if chance is None or need.reach_bps is None or distance_bps >= need.reach_bps:
            return False
        is_large = size <= (1.0 - self.cut_share_min) * abs(position.size)
        return chance >= self.hazard_min and verdict.is_worth_it is True and is_large

    def _finding(self, case: Case, view: MarketView, outlook: MarketOutlook | None, leg: LegRisk) -> Finding:
        position, need, distance = case.position, case.need, case.distance
        held = abs(position.size)
        is_near, is_short = distance.bps < need.floor_bps, distance.bps < case.wanted_bps
        by_reach = not is_near and case.wanted_bps > need.floor_bps
        imminent = case.is_cut and self._is_imminent(case, outlook, leg)
        confirm_s = max(self.confirm_s, MARK_DOUBT_S if view.is_mark_doubted(position.size) else 0.0)
        size = case.size if case.is_cut else max(case.size, held)  # a cap, not a cut
        severity, entries = Severity.WATCH, Entries.NO_ADDS if is_short else None
        if case.is_cut:
            severity = Severity.CRITICAL if imminent or distance.bps < need.floor_bps / 2 else Severity.ACT
            entries = Entries.REDUCE_ONLY
        elif is_near:
            severity, entries = Severity.ACT, Entries.REDUCE_ONLY
        return Finding(
            policy=self.name,
            reason=Reason.LIQUIDATION_WITHIN_REACH if by_reach else Reason.LIQUIDATION_NEAR,
            severity=severity,
            subject=Subject(market=position.market, account=case.account),
            limit=Limit(
                entries=entries,
                max_size=size,
                max_leverage=max(size * case.mark / case.equity_usd, 1.0) if case.equity_usd > 0 else 1.0,
                basis=Basis(size=position.size) if position.margin_mode is MarginMode.ISOLATED else None,
                pace=self._pace(case, view, outlook, leg) if case.is_cut and not imminent else None,
            ),
            evidence=tuple(evidence_of(case)),
            counterfactual=counterfactual_of(case),
            confirm_ms=int(confirm_s * 1000),
            imminent=imminent,
            offers=self._offers(case, outlook) if is_short else (),
        )

    def _is_imminent(self, case: Case, outlook: MarketOutlook | None, leg: LegRisk) -> bool:
        """Whether liquidation is fewer than ``ACTIONS_MIN`` actions away: at its speed now, or a cascade's in one."""
        action_s = case.distance.action_s
        if case.distance.bps <= 0.0 or action_s is None:
            return case.distance.bps <= self.buffer_bps
        times = [leg.seconds_now]
        if outlook is not None and outlook.regime is Regime.CASCADE:
            times.append(leg.seconds_stressed)
        return any(each is not None and each < ACTIONS_MIN * action_s for each in times)

    def _pace(self, case: Case, view: MarketView, outlook: MarketOutlook | None, leg: LegRisk) -> Pace | None:
        """How the cut is come to: the next slice; ``None`` where it is small for the book, or time is short."""
        depth, mid = view.depth_usd(case.need.side, PACED_BPS), view.mid_price
        if depth is None or mid is None or case.verdict is None:
            return None
        soon = self._chance(outlook, case.need.direction, case.distance.bps / BPS_PER_UNIT, SOON_S)
        half_life_ms = view.refill_half_life_ms
        times = [each for each in (leg.seconds_now, leg.seconds_stressed) if each is not None]
        horizon_s = min([self.pace_horizon_s, *(each / ACTIONS_MIN for each in times)])
        if horizon_s <= self.pace_interval_s:
            return None
        unwinding = Unwinding(
            size=abs(case.position.size) - case.size,
            price=mid,
            direction=case.need.direction,
            depth_usd=depth.value,
            band_bps=PACED_BPS,
            half_life_s=None if half_life_ms is None else half_life_ms / 1_000.0,
            spread_bps=view.spread_bps or 0.0,
            sigma=None,
            hazard_per_s=self.hazard_min / self.horizon_s if soon is None else soon / SOON_S,
            loss_ratio=case.verdict.costs.crash,
            horizon_s=horizon_s,
        )
        settings = PaceSettings(
            interval_s=self.pace_interval_s,
            share=self.pace_share,
            risk_aversion=self.pace_risk,
            slip_bps=self.slip_bps,
        )
        at_once = case.verdict.costs.now - self.fee_ratio
        return pace(unwinding, unhurried(unwinding, settings), at_once=at_once)

    def _offers(self, case: Case, outlook: MarketOutlook | None) -> tuple[Offer, ...]:
        market = case.position.market
        settle = case.position.settle or symbol_of(market).rpartition(":")[2]
        return offers_of(
            case.verdict,
            margin_usd=case.distance.margin_usd,
            lost_chance=self._chance(outlook, case.need.direction, case.wanted_bps / BPS_PER_UNIT),
            settle=settle,
            venue=venue_of(market),
            dear_ratio=self.dear_bps / BPS_PER_UNIT,
            is_enough=case.size > 0.0,
        )

    def _borne(self, state: GuardState, market: MarketId, now: Nanoseconds) -> Iterator[Finding]:
        """A market more dangerous than usual bears less than the usual leverage: new positions get that."""
        outlook = self._outlook(state, market, now)
        if outlook is None or not outlook.sizings:
            return
        found = bears_less(
            outlook,
            policy=self.name,
            leverage_usual=self.leverage_usual,
            chance=self._chance(outlook, strictest(outlook).direction, 1.0 / self.leverage_usual),
            least=self.cap_share * self.hazard_min,
            horizon_s=self.horizon_s,
            confirm_s=self.confirm_s,
        )
        if found is not None:
            yield found


def _mark_price(view: MarketView, now: Nanoseconds) -> float | None:
    match view.stream_state(Stream.MARK_PRICE, now):
        case StreamState.STALE:
            return None
        case StreamState.NEVER:
            return view.mid_price
        case _:
            return view.mark_price
