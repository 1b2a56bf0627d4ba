"""Say when a venue raises what it demands, and stop entries where that brings an own position nearer to liquidation."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.pools import Pool
from guard.account.terms import (
    TermsChange,
    counted_usd,
    haircuts_at,
    leverage_max_of,
    maintenance_ratio_of,
)
from guard.findings import Finding, Limit, Offer, Reason, Remedy, Severity, Subject
from guard.leverage.liquidation_price import margin_missing_in
from guard.leverage.margin_pool import Leg, LiquidationKind, MarginPool
from guard.leverage.solver import liquidation_of, state_at
from guard.margin_terms import CollateralTerms, ContractKind, TierTable
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, NS_PER_S, AccountId, MarketId, Nanoseconds, symbol_of, venue_of
from perpguard_sdk.messages import Entries, Evidence

SHOWN_USD = (10_000.0, 1_000_000.0)
"""At these notionals a change is shown where nobody holds anything."""
OLD_WORDS_S = 7_200.0
"""A change since words that are older than two readings is told with their age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTightening:
    """Finds venues that raise margin requirements or haircuts while the guard runs: that is part of a crash.

    Only the venue's own words are compared: what it says now against what it said before, or what was stored of it at
    the last run; our formula giving way to the venue is no change. More maintenance margin, or less leverage, at any
    notional from 1,000 to 100 million USD counts as raised; so does less of a collateral being counted. A change that
    is undone within the hour is none.

    It is said for ``stand_s``. Where an own position has lost more than ``loss_share`` of its distance to liquidation
    by it, or the collateral more than that share of what is free in a pool, entries are stopped: in that market, or in
    the account whose collateral counts for less; how much money would bring back what was lost is offered. What the
    change makes of the position itself is for ``cut_leverage``, which works with the new terms from the moment that
    they are known; a haircut that a market's prices let expect is said by ``contain_collateral`` before.

    Attributes:
        enabled: whether it decides at all.
        stand_s: seconds for which a change is said.
        loss_share: share of its distance to liquidation that a position may lose by it before entries are stopped.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "margin_tightening"

    enabled: bool = True
    stand_s: Annotated[float, Gt(0.0), Le(604_800.0)] = 3_600.0
    loss_share: Annotated[float, Ge(0.0), Le(1.0)] = 0.1

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield one finding a change, and account that it concerns."""
        return self._decide(state, now, None)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets``, or name none."""
        return self._decide(state, now, markets)

    def _decide(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId] | None
    ) -> Iterator[Finding]:
        if not self.enabled:
            return
        for venue, terms in state.own.terms.items():
            for change in terms.changes.values():
                if not change.is_dearer or now - change.at > self.stand_s * NS_PER_S:
                    continue
                if change.market is None:
                    yield from self._haircut(state, venue, change)
                elif markets is None or change.market in markets:
                    yield from self._market(state, change.market, change)

    def _market(self, state: GuardState, market: MarketId, change: TermsChange) -> Iterator[Finding]:
        old, new = change.old_table, change.new_table
        if old is None or new is None:
            return
        is_held = False
        for account, pools in _pools_of(state, venue_of(market)):
            concerned = [pool for pool in pools if any(leg.market == market for leg in pool.venue.legs)]
            if not concerned:
                continue
            is_held = True
            worst = max((_Loss.of(pool, market, old, new) for pool in concerned), key=lambda loss: loss.share)
            is_bad = worst.share > self.loss_share
            yield self._finding(
                Reason.MARGIN_RAISED,
                Subject(market=market, account=account),
                change,
                (
                    *_asked_words(old, new, worst.notional_usd, worst.price),
                    *worst.words(self.loss_share),
                    Evidence(name="value of the position", value=worst.notional_usd, unit="USD"),
                ),
                is_bad=is_bad,
                missing=(symbol_of(market), worst.missing_usd),
            )
        if not is_held:
            view = state.markets.get(market)
            price = None if view is None else view.mark_price or view.mid_price
            words = [_asked_words(old, new, usd, price or 1.0) for usd in SHOWN_USD if price or _in_usd(new)]
            evidence = tuple(one for some in words for one in some)
            yield self._finding(Reason.MARGIN_RAISED, Subject(market=market), change, evidence, is_bad=False)

    def _haircut(self, state: GuardState, venue: str, change: TermsChange) -> Iterator[Finding]:
        old, new = change.old_collateral, change.new_collateral
        if old is None or new is None:
            return
        for account, pools in _pools_of(state, venue):
            losses = [loss for pool in pools if (loss := _CollateralLoss.of(pool, old, new)) is not None]
            if not losses:
                continue
            worst = max(losses, key=lambda loss: loss.share)
            yield self._finding(
                Reason.HAIRCUT_RAISED,
                Subject(account=account),
                change,
                worst.words(new.asset, self.loss_share),
                is_bad=worst.share > self.loss_share,
                missing=(new.asset, worst.lost_usd),
            )

    def _finding(
        self,
        reason: Reason,
        subject: Subject,
        change: TermsChange,
        evidence: tuple[Evidence, ...],
        *,
        is_bad: bool,
        missing: tuple[str, float] = ("", 0.0),
    ) -> Finding:
        age_s = None if change.since is None else (change.at - change.since) / NS_PER_S
        if age_s is not None and age_s > OLD_WORDS_S:
            evidence = (
                *evidence,
                Evidence(name="age of the words that it is compared with", value=age_s, unit="s"),
            )
        return Finding(
            policy=self.name,
            reason=reason,
            severity=Severity.ACT if is_bad else Severity.WATCH,
            subject=subject,
            limit=Limit(entries=Entries.REDUCE_ONLY) if is_bad else Limit(),
            evidence=evidence,
            counterfactual="would not stand with the venue's former terms; it is said for"
            f" {self.stand_s:.0f} s after they changed",
            offers=(Offer(remedy=Remedy.ADD_MARGIN, amount_usd=missing[1], about=missing[0], cost_usd=0.0),)
            if is_bad and missing[1] > 0.0
            else (),
        )


def _pools_of(state: GuardState, venue: str) -> Iterator[tuple[AccountId, list[Pool]]]:
    """Every pool of each account of a venue that could be valued."""
    for account in state.own.risks:
        view = state.accounts.get(account)
        if view is None or venue_of(account) != venue:
            continue
        found: dict[str, Pool] = {}
        for position in view.positions:
            pool = state.own.pool(account, position)
            if pool is not None and not pool.missing:
                found[pool.name] = pool
        yield account, list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """What a change of tiers does to the distance of one market of a pool."""

    share: float
    notional_usd: float
    price: float
    before_bps: float | None
    after_bps: float | None
    missing_usd: float
    """Money that would bring back the distance that there was."""

    @classmethod
    def of(cls, pool: Pool, market: MarketId, old: TierTable, new: TierTable) -> _Loss:
        legs = [leg for leg in pool.venue.legs if leg.market == market]
        price = legs[0].mark_price
        before = _distance_bps(_with(pool.venue, market, old), market, price)
        after = _distance_bps(_with(pool.venue, market, new), market, price)
        share = 0.0
        if after is not None and before != 0.0:
            share = 1.0 if before is None else max(1.0 - after / before, 0.0)
        # Portfolio margin follows scenarios of the venue's own: what tiers make of it says nothing there.
        return cls(
            share=0.0 if pool.is_portfolio else share,
            notional_usd=max(map(_notional_usd, legs)),
            price=price,
            before_bps=before,
            after_bps=after,
            missing_usd=_missing_usd(_with(pool.venue, market, new), legs, before),
        )

    def words(self, limit: float) -> Iterator[Evidence]:
        """Distances, where there are any."""
        for name, distance in (("before", self.before_bps), ("now", self.after_bps)):
            if distance is not None:
                yield Evidence(name=f"distance to liquidation {name}", value=distance, unit="bps")
        yield Evidence(
            name="distance that was lost by it", value=self.share * 100.0, unit="%", limit=limit * 100.0
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _CollateralLoss:
    """What a change of haircuts does to what is free in a pool."""

    share: float
    value_usd: float
    old_haircut: float
    new_haircut: float
    lost_usd: float

    @classmethod
    def of(cls, pool: Pool, old: CollateralTerms, new: CollateralTerms) -> _CollateralLoss | None:
        """``None`` where none of the asset is held."""
        held = [each for each in pool.venue.holdings if each.asset == new.asset and each.quantity > 0.0]
        value_usd = sum(each.quantity * each.price_usd for each in held)
        if not value_usd > 0.0:
            return None
        price = held[0].price_usd
        before, after = (
            min(max(1.0 - counted_usd(haircuts_at(terms, price), value_usd) / value_usd, 0.0), 1.0)
            for terms in (old, new)
        )
        frees = [_free_usd(_counting(pool.venue, new.asset, haircut)) for haircut in (before, after)]
        share = 0.0
        if frees[0] is not None and frees[1] is not None and frees[0] > 0.0:
            share = min(max(1.0 - frees[1] / frees[0], 0.0), 1.0)
        return cls(
            share=share,
            value_usd=value_usd,
            old_haircut=before,
            new_haircut=after,
            lost_usd=max(after - before, 0.0) * value_usd,
        )

    def words(self, asset: str, limit: float) -> tuple[Evidence, ...]:
        return (
            Evidence(name=f"haircut of {asset} before", value=self.old_haircut * 100.0, unit="%"),
            Evidence(name=f"haircut of {asset} now", value=self.new_haircut * 100.0, unit="%"),
            Evidence(name=f"value of {asset} held", value=self.value_usd, unit="USD"),
            Evidence(
                name="free margin that was lost by it",
                value=self.share * 100.0,
                unit="%",
                limit=limit * 100.0,
            ),
        )


def _asked_words(old: TierTable, new: TierTable, notional_usd: float, price: float) -> Iterator[Evidence]:
    """Maintenance and leverage before and now, of a position worth so much; leverage only where it is told."""
    at = f"of {notional_usd:,.0f} USD"
    for when, table in (("before", old), ("now", new)):
        ratio = maintenance_ratio_of(table, notional_usd, price)
        yield Evidence(name=f"maintenance margin {at} {when}", value=ratio * 100.0, unit="%")
        leverage_max = leverage_max_of(table, notional_usd, price)
        if leverage_max < float("inf"):
            yield Evidence(name=f"maximum leverage {at} {when}", value=leverage_max, unit="x")


def _in_usd(table: TierTable) -> bool:
    """Whether no price is needed to find a position's tier."""
    return (table.kind, table.unit) in {(ContractKind.LINEAR, "notional"), (ContractKind.INVERSE, "size")}


def _with(pool: MarginPool, market: MarketId, table: TierTable) -> MarginPool:
    legs = tuple(
        replace(leg, tiers=table.tiers, unit=table.unit) if leg.market == market else leg for leg in pool.legs
    )
    return replace(pool, legs=legs)


def _counting(pool: MarginPool, asset: str, haircut: float) -> MarginPool:
    holdings = tuple(
        replace(held, haircut=haircut) if held.asset == asset else held for held in pool.holdings
    )
    return replace(pool, holdings=holdings)


def _distance_bps(pool: MarginPool, market: MarketId, mark: float) -> float | None:
    """How far the mark is from liquidation, 0 for a pool that fails; ``None`` where no price of it liquidates."""
    found = liquidation_of(pool, market)
    match found.kind:
        case LiquidationKind.FAILED:
            return 0.0
        case LiquidationKind.PRICE if found.price is not None:
            return abs(found.price / mark - 1.0) * BPS_PER_UNIT
        case _:
            return None


def _missing_usd(pool: MarginPool, legs: list[Leg], distance_bps: float | None) -> float:
    """What brings back a distance, for whichever leg of the market it is most; 0 where nothing is known."""
    if not distance_bps:
        return 0.0
    markets = {leg.market for leg in legs}
    found = (
        margin_missing_in(pool, leg, distance_bps=distance_bps) for leg in pool.legs if leg.market in markets
    )
    return max((each for each in found if each is not None), default=0.0)


def _free_usd(pool: MarginPool) -> float | None:
    state = state_at(pool)
    return None if state is None else state.free_usd


def _notional_usd(leg: Leg) -> float:
    return abs(leg.size) * (1.0 if leg.kind is ContractKind.INVERSE else leg.mark_price)
