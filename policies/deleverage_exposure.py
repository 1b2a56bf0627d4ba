"""Keep an account alive though its venue takes the winning hedges away: auto-deleveraging, in a crash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.assessment import Assessed, Tried
from guard.account.containment import smallest
from guard.account.pools import Pool
from guard.account.risk import LegRisk
from guard.account.stress import stress_distance
from guard.account.together import profit_usd, scaled_part, value_usd, without
from guard.findings import Finding, Limit, Offer, Reason, Remedy, Severity, Subject
from guard.forecasts import QUANTILES, Direction, Regime
from guard.leverage.margin_pool import Holding, Leg, LiquidationKind, MarginPool
from guard.own_side import is_told_now
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, AccountId, MarketId, Nanoseconds, symbol_of
from perpguard_sdk.messages import Entries, Evidence

_Q90 = QUANTILES.index(0.9)
_REACH_BPS_MAX = 2_500.0
_UNDER_WAY = (Regime.STRESSED, Regime.CASCADE)
_STEPS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleverageExposure:
    """Asks what would be left of a hedged account if its winning legs were taken away.

    When an insurance fund cannot bear a liquidation, a venue closes the most profitable positions against it: the
    winning legs of hedges, at the worst moment. For every pool with positions on both sides those legs that have won
    and stand at ``rank_min`` or higher in the queue (or nobody knows where) are closed at the mark in thought; then it
    is looked how far the market may go on, every market by its beta, until the rest fails. What wins on that way counts
    for half at most, however far back in the queue it stands.

    That distance has to be ``survive_bps``, and in a stressed market its reach (which 9 of 10 cascades stay within). If
    it is not, though as long as the hedges stand it is longer, nothing is added to the losing legs. Where one of their
    markets is stressed or in a cascade, or the venue itself says that a winner stands at ``rank_high`` or above, they
    are cut until the rest would hold. A hedge on another venue, or money, is offered instead.

    Attributes:
        enabled: whether it decides at all.
        survive_bps: distance that has to be left without the winning legs, bps.
        rank_min: place in the queue, 0 last and 1 first, from which on a winning leg may be taken.
        rank_high: place that the venue itself tells from which on it is likely to be.
        margin_ratio: how much more distance than needed a cut makes.
        confirm_s: seconds for which it must have been so.
        reported_s: seconds after which positions that only bots tell are not known any more.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "deleverage_exposure"
    at_ticks = True

    enabled: bool = True
    survive_bps: Annotated[float, Gt(0.0), Le(5_000.0)] = 700.0
    rank_min: Annotated[float, Ge(0.0), Le(1.0)] = 0.4
    rank_high: Annotated[float, Ge(0.0), Le(1.0)] = 0.8
    margin_ratio: Annotated[float, Ge(0.0), Le(2.0)] = 0.15
    confirm_s: Annotated[float, Ge(0.0), Le(60.0)] = 5.0
    reported_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 15.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield one finding for each losing market of a pool that would not hold without its winners."""
        if not self.enabled:
            return
        for account, view in state.accounts.items():
            assessed = state.own.assessed(account)
            if assessed is None:
                continue
            if not is_told_now(
                view,
                state.account_clocks.get(account),
                now,
                is_faulty=account in state.account_faults,
                reported_s=self.reported_s,
            ):
                continue
            legs = {(leg.pool, leg.market): leg for leg in assessed.risk.legs}
            for pool in assessed.pools:
                if pool.missing or len(pool.venue.legs) < 2:
                    continue
                for side in (1.0, -1.0):
                    yield from self._side(state, account, assessed, pool, legs, side)

    def _side(
        self,
        state: GuardState,
        account: AccountId,
        assessed: Assessed,
        pool: Pool,
        legs: dict[tuple[str, MarketId], LegRisk],
        side: float,
    ) -> Iterator[Finding]:
        """What if the winners of one side were gone: the others lose as these would have gone on to win."""
        losing = [leg for leg in pool.venue.legs if leg.size * side < 0.0]
        ranks = {
            leg.market: legs[pool.name, leg.market]
            for leg in pool.venue.legs
            if leg.size * side > 0.0 and profit_usd(leg) > 0.0 and (pool.name, leg.market) in legs
        }
        taken = {
            market: risk
            for market, risk in ranks.items()
            if risk.adl_rank is None or risk.adl_rank >= self.rank_min
        }
        if not losing or not taken:
            return
        name = "betas up" if side > 0.0 else "betas down"
        tried = next(
            (each for each in assessed.tried.get(pool.name, ()) if each.direction.name == name), None
        )
        if tried is None:
            return
        case = _Case(
            pools=tuple(
                without(each, lambda leg: leg.size * side > 0.0 and leg.market in taken)
                for each in _both(pool)
            ),
            tried=tried,
            side=side,
            hedge_credit=tried.hedge_credit,
        )
        after = case.distance_bps(1.0, 0.0)
        need_bps, is_stressed = self._need(state, losing, side)
        if after >= need_bps:
            return
        before_bps = replace(case, pools=_both(pool), hedge_credit=1.0).distance_bps(1.0, 0.0)
        if after >= before_bps:
            return
        told = max((risk.adl_rank or 0.0 for risk in taken.values() if not risk.adl_is_estimate), default=0.0)
        is_likely = is_stressed or told >= self.rank_high
        yield from self._findings(
            account, pool, case, taken, losing, (before_bps, after, need_bps), is_likely=is_likely
        )

    def _need(self, state: GuardState, losing: list[Leg], side: float) -> tuple[float, bool]:
        """How far the rest has to hold, bps, and whether a market of it is stressed."""
        need, is_stressed = self.survive_bps, False
        for leg in losing:
            outlook = state.outlook.of(leg.market)
            if outlook is None or outlook.regime not in _UNDER_WAY:
                continue
            is_stressed = True
            reach = outlook.reach(Direction.UP if side > 0.0 else Direction.DOWN)
            if reach is not None:
                need = max(need, min(reach.quantiles[_Q90] * BPS_PER_UNIT, _REACH_BPS_MAX))
        return need, is_stressed

    def _findings(
        self,
        account: AccountId,
        pool: Pool,
        case: _Case,
        taken: dict[MarketId, LegRisk],
        losing: list[Leg],
        distances: tuple[float, float, float],
        *,
        is_likely: bool,
    ) -> Iterator[Finding]:
        before_bps, after_bps, need_bps = distances
        lost_usd = sum(value_usd(leg) for leg in losing)
        most_usd = 2.0 * (need_bps - after_bps) / BPS_PER_UNIT * sum(map(value_usd, pool.venue.legs))
        missing_usd = smallest(lambda usd: case.distance_bps(1.0, usd), most_usd, need_bps)
        share = case.share_that_holds(need_bps * (1.0 + self.margin_ratio))
        names = ", ".join(symbol_of(market) for market in taken)
        evidence = [
            Evidence(
                name="distance to liquidation without the winners",
                value=after_bps,
                unit="bps",
                limit=need_bps,
            ),
            Evidence(name="what may be taken away", value=names, unit="text"),
        ]
        if before_bps < inf:
            evidence.insert(
                1, Evidence(name="distance to liquidation with them", value=before_bps, unit="bps")
            )
        ranks = [risk.adl_rank for risk in taken.values() if risk.adl_rank is not None]
        if ranks:
            whose = "estimated" if all(risk.adl_is_estimate for risk in taken.values()) else "told"
            evidence.append(
                Evidence(
                    name=f"place in the queue ({whose})", value=max(ranks), unit="0-1", limit=self.rank_min
                )
            )
        offers = [Offer(remedy=Remedy.HEDGE_ELSEWHERE, amount_usd=(1.0 - share) * lost_usd, about=pool.name)]
        words = f"would not stand with a distance of {need_bps:.0f} bps without {names}"
        if missing_usd is not None:
            offers.append(
                Offer(remedy=Remedy.ADD_MARGIN, amount_usd=missing_usd, about=pool.name, cost_usd=0.0)
            )
            words = f"would not stand with {missing_usd:,.2f} USD more of money in {pool.name}"
        both = {leg.market for leg in pool.venue.legs if leg.size * case.side > 0.0}
        for leg in losing:
            limit = Limit(entries=Entries.NO_ADDS)
            size = abs(sum(each.size for each in pool.positions if each.market == leg.market))
            if is_likely:
                # Of both sides of one market a size says nothing: a net one would be cut on the wrong side.
                most = None if leg.market in both else share * size
                limit = Limit(entries=Entries.REDUCE_ONLY, max_size=most)
            yield Finding(
                policy=self.name,
                reason=Reason.DELEVERAGE_EXPOSED,
                severity=Severity.ACT if is_likely else Severity.WATCH,
                subject=Subject(account=account, market=leg.market),
                limit=limit,
                evidence=tuple(evidence),
                counterfactual=words,
                confirm_ms=int(self.confirm_s * 1000),
                offers=tuple(each for each in offers if each.amount_usd > 0.0),
            )


@dataclass(frozen=True, slots=True)
class _Case:
    """Pools (by each valuation of collateral) without the winners of ``side``."""

    pools: tuple[MarginPool, ...]
    tried: Tried
    side: float
    hedge_credit: float

    def distance_bps(self, share: float, money_usd: float) -> float:
        """How far the market may go on with the losing legs cut to a share and so much money added; 0 if not known."""
        nearest = inf
        for pool in self.pools:
            changed = pool if share == 1.0 else scaled_part(pool, share, self._loses)
            if money_usd > 0.0:
                money = Holding(asset="added", quantity=money_usd, price_usd=1.0)
                changed = replace(changed, holdings=(*changed.holdings, money))
            found = stress_distance(changed, self.tried.direction, hedge_credit=self.hedge_credit)
            if found.kind is not LiquidationKind.CANNOT:
                nearest = min(nearest, found.distance_bps or 0.0)
        return nearest

    def share_that_holds(self, wanted_bps: float) -> float:
        """The largest share of the losing legs with which the distance is there; 0 if none is."""
        low, high = 0.0, 1.0
        for _ in range(_STEPS):
            middle = (low + high) / 2.0
            if self.distance_bps(middle, 0.0) >= wanted_bps:
                low = middle
            else:
                high = middle
        return low

    def _loses(self, leg: Leg) -> bool:
        return leg.size * self.side < 0.0


def _both(pool: Pool) -> tuple[MarginPool, ...]:
    return (pool.own,) if pool.own is pool.venue else (pool.own, pool.venue)
