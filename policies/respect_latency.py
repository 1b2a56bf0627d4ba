"""Cut while there is still time to: the liquidation is fewer actions away than may fail; and mind venues that slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.assessment import Assessed
from guard.account.distance import Distance, distance_of, is_hedge, leg_of
from guard.account.pools import Pool
from guard.account.risk import LegRisk
from guard.account.safe_size import bps_of, size_that_keeps, way_of
from guard.account.slowing import Slowness
from guard.events import MarginMode, Position
from guard.findings import Basis, Finding, Limit, Offer, Reason, Remedy, Severity, Subject
from guard.forecasts import QUANTILES, Direction, Regime
from guard.leverage.margin_pool import MarginPool
from guard.leverage.solver import state_at
from guard.market.speed import Speeds, stressed_floor
from guard.market.view import MARK_DOUBT_S
from guard.own_side import is_told_now
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, AccountId, BotId, MarketId, Nanoseconds, symbol_of, venue_of
from perpguard_sdk.messages import Entries, Evidence

_Q90 = QUANTILES.index(0.9)
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RespectLatency:
    """Acts when the time to liquidation is less than ``actions_min`` times what an action takes.

    What an action takes is the 99th percentile of the cuts that were measured with the account's bots, from what was
    seen to the position read back; 30 s while too few were. Where the venue has become slower than usual it is taken
    as so much longer (up to ``slow_factor_max`` times).

    The time is the distance to the nearest liquidation over the speed of the price towards it, the faster of

        the price as it moves now (exponentially weighted, over 10 s and 60 s; either goes on for 1.5 times that, for
        a single step is not a slide: extrapolated over minutes it would cut every healthy account)
        in a stressed market a cascade as it is expected: the reach that 9 of 10 stay within, in ``cascade_s``,
        but no faster than the fastest that it went of late, or any did; in a cascade that fastest itself

    When that is too short the position is cut, once and far: to the size that would have the time at the fastest that
    the market must be reckoned with. No budget of commands holds that back.
    While it would be too short only if the market went as fast as the fastest ever, it is said, with how much margin
    would do: there is time for a human. Nothing is added to the position then, unless the market is known to be normal.
    Nothing is cut because an outlook is not known.

    A venue is slow when cuts or moved stops there take ``slow_ratio`` times as long as usual (and ``slow_s_min`` at
    least), or when what it says comes ``lag_rise_s`` later than usual. Nothing is added there then, and at twice that
    nothing is entered.

    Acts only on what is known, as ``cut_leverage``: positions that only bots tell are not once ``reported_s`` old.

    Attributes:
        enabled: whether it decides at all.
        actions_min: how many actions have to fit into the time to liquidation.
        cascade_s: seconds in which a cascade goes as far as it is expected to.
        margin_ratio: how much more time than needed a cut makes.
        confirm_s: seconds for which a finding must have stood before anything is asked because of it; 5 at least
            where the mark price is 2 % worse than the middle of its own book.
        reported_s: seconds after which positions that only bots tell are not known any more.
        slow_ratio: how many times as long as usual an action takes at a slow venue.
        slow_s_min: seconds that it takes at least there.
        lag_rise_s: seconds by which what a slow venue says comes later than usual.
        slow_factor_max: up to how many times as long an action is taken to take because its venue is slow.
        slow_confirm_s: seconds for which a venue must have been slow.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "respect_latency"
    at_ticks = True

    enabled: bool = True
    actions_min: Annotated[float, Ge(1.0), Le(20.0)] = 3.0
    cascade_s: Annotated[float, Ge(30.0), Le(3_600.0)] = 720.0
    margin_ratio: Annotated[float, Ge(0.0), Le(2.0)] = 0.25
    confirm_s: Annotated[float, Ge(0.0), Le(60.0)] = 1.0
    reported_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 15.0
    slow_ratio: Annotated[float, Ge(1.5), Le(100.0)] = 3.0
    slow_s_min: Annotated[float, Ge(0.0), Le(600.0)] = 2.0
    lag_rise_s: Annotated[float, Gt(0.0), Le(600.0)] = 1.0
    slow_factor_max: Annotated[float, Ge(1.0), Le(20.0)] = 5.0
    slow_confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 10.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most one finding a position and two a venue."""
        if not self.enabled:
            return
        bots: dict[str, list[BotId]] = {}
        for bot, record in state.bots.items():
            bots.setdefault(venue_of(record.config.account), []).append(bot)
        venues = {venue_of(account) for account, view in state.accounts.items() if view.positions}
        factors: dict[str, float] = {}
        for venue in sorted(venues | bots.keys()):
            factors[venue] = 1.0
            for slow in self._slow(state, venue, bots.get(venue, ())):
                factors[venue] = max(factors[venue], min(slow.factor, self.slow_factor_max))
                yield slow.finding
        for account in state.accounts:
            yield from self._account(state, account, now, factors)

    # ---------------------------------------------------------------- time to liquidation

    def _account(
        self, state: GuardState, account: AccountId, now: Nanoseconds, factors: dict[str, float]
    ) -> Iterator[Finding]:
        assessed, view = state.own.assessed(account), state.accounts[account]
        if assessed is None or assessed.risk.action_s is None:
            return
        is_known = is_told_now(
            view,
            state.account_clocks.get(account),
            now,
            is_faulty=account in state.account_faults,
            reported_s=self.reported_s,
        )
        if not is_known:
            return
        need_s = self.actions_min * assessed.risk.action_s * factors.get(venue_of(account), 1.0)
        legs = {(leg.pool, leg.market): leg for leg in assessed.risk.legs}
        for pool in assessed.pools:
            for position in pool.positions:
                leg = legs.get((pool.name, position.market))
                if leg is None or leg.mark_price is None or position.size == 0.0:
                    continue
                yield from self._position(state, assessed, pool, position, leg, need_s, now)

    def _position(
        self,
        state: GuardState,
        assessed: Assessed,
        pool: Pool,
        position: Position,
        leg: LegRisk,
        need_s: float,
        now: Nanoseconds,
    ) -> Iterator[Finding]:
        mark = leg.mark_price or 0.0
        speeds = state.own.speeds(position.market, now)
        tried = assessed.tried.get(pool.name, ())
        distance = distance_of(position, leg, pool, tried, mark) if mark > 0.0 else None
        if speeds is None or distance is None or is_hedge(position, leg, pool):
            return
        down = position.size > 0.0
        way = way_of(distance.bps, down=down)
        rush = self._rush(state, position.market, speeds, need_s, down=down)
        if way < max(rush.speed, rush.stressed) * need_s:
            yield self._finding(state, assessed, pool, position, distance, rush, way, need_s, mark)

    def _rush(
        self, state: GuardState, market: MarketId, speeds: Speeds, need_s: float, *, down: bool
    ) -> _Rush:
        """How fast the price goes, or a cascade is expected to; where no outlook is known the price alone."""
        now = speeds.lasting(need_s, down=down)
        stressed = speeds.lasting_stressed(need_s, stressed_floor(market), down=down)
        outlook = state.outlook.of(market)
        reach = None if outlook is None else outlook.reach(Direction.DOWN if down else Direction.UP)
        if outlook is None or outlook.regime is None or reach is None:
            return _Rush(now, "the present speed", stressed, None)
        expected = 0.0
        if outlook.regime is Regime.CASCADE:
            expected = stressed
        elif outlook.regime is Regime.STRESSED:
            way = way_of(reach.quantiles[_Q90] * BPS_PER_UNIT, down=down)
            expected = min(way / self.cascade_s, stressed)
        if expected > now:
            return _Rush(expected, "the speed of a cascade", stressed, outlook.regime)
        return _Rush(now, "the present speed", stressed, outlook.regime)

    def _finding(
        self,
        state: GuardState,
        assessed: Assessed,
        pool: Pool,
        position: Position,
        distance: Distance,
        rush: _Rush,
        way: float,
        need_s: float,
        mark: float,
    ) -> Finding:
        down = position.size > 0.0
        is_short = way < rush.speed * need_s
        speed = rush.speed if is_short else max(rush.stressed, rush.speed)
        wanted_bps = bps_of(speed * need_s, down=down)
        is_normal = rush.regime is Regime.NORMAL
        limit = Limit() if is_normal else Limit(entries=Entries.NO_ADDS)
        if is_short:
            # To where the fastest ever would leave the time too: once and far, not every second by a little more.
            safe_bps = bps_of(max(speed, rush.stressed) * need_s * (1.0 + self.margin_ratio), down=down)
            limit = _far_cut(state, pool, position, distance, mark, safe_bps)
        view = state.markets.get(position.market)
        is_doubted = view is not None and view.is_mark_doubted(position.size)
        risk = assessed.risk
        missing_usd = max(wanted_bps - distance.bps, 0.0) / BPS_PER_UNIT * abs(position.size) * mark
        return Finding(
            policy=self.name,
            reason=Reason.ACTION_TOO_SLOW,
            severity=Severity.CRITICAL if is_short else Severity.INFO if is_normal else Severity.WATCH,
            subject=Subject(market=position.market, account=risk.account),
            limit=limit,
            evidence=(
                Evidence(
                    name=f"time to liquidation at {rush.name if is_short else 'the fastest speed seen'}",
                    value=way / speed,
                    unit="s",
                    limit=need_s,
                ),
                Evidence(name="distance to liquidation", value=distance.bps, unit="bps", limit=wanted_bps),
                Evidence(name=distance.name, value=distance.price, unit="USD"),
                Evidence(name="speed of the price", value=_bps_a_minute(speed, down=down), unit="bps/min"),
                Evidence(
                    name="what an action takes"
                    + (" (assumed: too few were measured)" if risk.action_is_assumed else ""),
                    value=need_s / self.actions_min,
                    unit="s",
                ),
                Evidence(name="position", value=position.size, unit="base units", limit=limit.max_size),
            ),
            counterfactual=f"would not stand with the liquidation {wanted_bps:.0f} bps or more away, or with actions"
            f" that take {way / speed / self.actions_min:.1f} s or less",
            confirm_ms=int(1000 * (max(self.confirm_s, MARK_DOUBT_S) if is_doubted else self.confirm_s)),
            imminent=is_short,
            offers=(
                Offer(
                    remedy=Remedy.ADD_MARGIN,
                    amount_usd=missing_usd,
                    about=symbol_of(position.market),
                    cost_usd=0.0,
                ),
            )
            if missing_usd > 0.0
            else (),
        )

    # ---------------------------------------------------------------- venues that slow down

    def _slow(self, state: GuardState, venue: str, bots: list[BotId] | tuple[()]) -> Iterator[_Slow]:
        acted = state.own.action_times.slowness(bots)
        if acted is not None:
            verb, action = acted
            limit_s = max(self.slow_ratio * action.usual_s, self.slow_s_min)
            if action.now_s >= limit_s:
                what = f"time until {verb.replace('_', ' ')} takes effect"
                yield self._slow_finding(venue, what, action, limit_s, factor=action.ratio)
        lag = state.own.lags.slowness(venue)
        if lag is not None and lag.rise_s >= self.lag_rise_s:
            limit_s = lag.usual_s + self.lag_rise_s
            what = "time that its messages take, by our clock less its own"
            yield self._slow_finding(venue, what, lag, limit_s, factor=1.0)

    def _slow_finding(self, venue: str, what: str, slow: Slowness, limit_s: float, *, factor: float) -> _Slow:
        over = (slow.now_s - slow.usual_s) / max(limit_s - slow.usual_s, 1e-9)
        finding = Finding(
            policy=self.name,
            reason=Reason.VENUE_SLOW,
            severity=Severity.ACT if over >= 2.0 else Severity.WATCH,
            subject=Subject(venue=venue),
            limit=Limit(entries=Entries.REDUCE_ONLY if over >= 2.0 else Entries.NO_ADDS),
            evidence=(
                Evidence(name=what, value=slow.now_s, unit="s", limit=limit_s),
                Evidence(name="usually", value=slow.usual_s, unit="s"),
            ),
            counterfactual=f"would not stand below {limit_s:.1f} s",
            confirm_ms=int(self.slow_confirm_s * 1000),
        )
        return _Slow(finding, factor)


@dataclass(frozen=True, slots=True)
class _Slow:
    finding: Finding
    factor: float


@dataclass(frozen=True, slots=True)
class _Rush:
    """The speed that is acted on, whose it is, and the fastest that must be reckoned with; log per second."""

    speed: float
    name: str
    stressed: float
    regime: Regime | None


def _far_cut(
    state: GuardState, pool: Pool, position: Position, distance: Distance, mark: float, safe_bps: float
) -> Limit:
    """What keeps the liquidation ``safe_bps`` away, by size and by leverage."""
    view = state.markets.get(position.market)
    cost = None if view is None else view.exit_cost_bps(position.size)
    exit_bps = 0.0 if cost is None else cost.value
    size = size_that_keeps(position, pool, distance, mark, safe_bps, exit_bps=exit_bps)
    is_isolated = position.margin_mode is MarginMode.ISOLATED
    return Limit(
        entries=Entries.REDUCE_ONLY,
        max_size=size,
        max_leverage=_leverage_of(pool, position, mark, safe_bps),
        basis=Basis(size=position.size) if is_isolated and size is not None else None,
    )


def _leverage_of(pool: Pool, position: Position, mark: float, distance_bps: float) -> float:
    """The leverage at which a position that stands alone is so far from its liquidation, 1 or more."""
    leg = None if pool.missing else leg_of(pool.venue, position)
    state = None if leg is None else state_at(MarginPool(legs=(leg,), holdings=()))
    value_usd = abs(position.contracts_usd or position.size * mark)
    demanded = 0.0 if state is None or value_usd <= 0.0 else state.maintenance_usd / value_usd
    return max(1.0 / (distance_bps / BPS_PER_UNIT + demanded), 1.0)


def _bps_a_minute(speed: float, *, down: bool) -> float:
    return bps_of(speed * _MINUTE_S, down=down)
