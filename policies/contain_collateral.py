"""Keep collateral that falls with the positions from taking the account, and say what to swap before the venue cuts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log1p
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from guard.account.assessment import Assessed, Tried
from guard.account.containment import ISOLATE
from guard.account.correlation import correlated_share
from guard.account.peg_settings import AssetKind
from guard.account.pools import Pool
from guard.account.risk import HoldingRisk
from guard.account.safe_size import way_of
from guard.account.shock import Shock, Shocked, counted_after, share_that_survives, shocked
from guard.findings import Finding, Limit, Offer, Reason, Remedy, Severity, Subject
from guard.forecasts import QUANTILES, Direction, Regime
from guard.leverage.margin_pool import Holding, MarginPool
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence

_Q90 = QUANTILES.index(0.9)
_REACH_MAX = 0.25
_UNDER_WAY = (Regime.STRESSED, Regime.CASCADE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainCollateral:
    """Looks whether an account would outlive a shock that takes its collateral along.

    The shock: every position loses by ``shock_share`` times its market's beta (in a stressed market by its reach, if
    that is more), all at once; what wins counts for half at most; coins fall with their market; and collateral counts
    as in a crash: ``1 - max(venue's haircut, 1 - exp(-depeg), cost of selling it, base + stress of its kind)``, see
    ``collateral.haircuts``. After it the account should have ``ratio_min`` times what the venue demands.

    Where it has not, though it would have if collateral kept its worth (or ``part_min`` of all that is lost is lost by
    collateral), and collateral is too much of one thing (more than ``concentration_max`` of all in one asset), falls
    with the positions (more than ``collateral.haircuts.correlated_share_max``), or is likely to be counted for less by
    the venue soon (its depeg or what selling it costs is ``expected_share`` above the venue's haircut), nothing is
    added in that account. Where the shock would take the account
    (less than what is demanded is left), and the market is stressed or the lower haircut expected already, positions
    that hang on that collateral are cut until the ratio is there. What leverage alone would do is ``cut_leverage``'s.

    What only a human can do is offered with its amount and cost: money to add, the collateral to swap into money,
    a position to isolate.

    Attributes:
        enabled: whether it decides at all.
        shock_share: how far the market that leads falls or rises in the shock, as a share of the price.
        ratio_min: what is left after the shock, over what the venue demands.
        part_min: share of all that is lost in the shock that collateral must have lost.
        concentration_max: share of all collateral that one asset, money apart, may have.
        expected_share: by how much depeg or cost of selling must be above the venue's haircut to expect a higher one.
        share_min: share of all collateral that an asset must have to be told.
        confirm_s: seconds for which it must have been so.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "contain_collateral"
    at_ticks = True

    enabled: bool = True
    shock_share: Annotated[float, Gt(0.0), Lt(0.9)] = 0.10
    ratio_min: Annotated[float, Ge(1.0), Le(10.0)] = 1.5
    part_min: Annotated[float, Ge(0.0), Le(1.0)] = 0.1
    concentration_max: Annotated[float, Ge(0.0), Le(1.0)] = 0.5
    expected_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.05
    share_min: Annotated[float, Ge(0.0), Le(1.0)] = 0.05
    confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 10.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield one finding for each pool that would not hold, and one for each of its markets that is cut."""
        del now
        if not self.enabled:
            return
        for account in state.accounts:
            assessed = state.own.assessed(account)
            if assessed is None or not any(_is_at_risk(assessed, held) for held in assessed.risk.holdings):
                continue
            expected, is_told = self._expected(assessed), False
            for pool in assessed.pools:
                if pool.is_cross and not pool.missing and pool.venue.legs:
                    found = list(self._pool(state, assessed, pool, expected))
                    is_told |= bool(found)
                    yield from found
            if expected and not is_told:
                yield self._told_alone(assessed, expected)

    def _expected(self, assessed: Assessed) -> tuple[_Expected, ...]:
        """Collateral that the venue counts for more than it is worth by us."""
        venue = {held.asset: held.haircut for pool in assessed.pools for held in pool.venue.holdings}
        found = []
        for held in assessed.risk.holdings:
            told = venue.get(held.asset)
            moving = max((held.parts.get(name, 0.0) for name in ("depeg", "slippage")), default=0.0)
            if told is None or held.share < self.share_min or not _is_at_risk(assessed, held):
                continue
            if moving - told >= self.expected_share:
                found.append(_Expected(held.asset, told, moving, held.share))
        return tuple(found)

    def _reason(
        self, assessed: Assessed, expected: Sequence[_Expected], correlated_max: float
    ) -> Reason | None:
        if expected:
            return Reason.HAIRCUT_EXPECTED
        if correlated_share(assessed.risk.holdings) > correlated_max:
            return Reason.COLLATERAL_CORRELATED
        shares = (held.share for held in assessed.risk.holdings if _is_at_risk(assessed, held))
        return Reason.COLLATERAL_CONCENTRATED if max(shares) > self.concentration_max else None

    def _pool(
        self, state: GuardState, assessed: Assessed, pool: Pool, expected: Sequence[_Expected]
    ) -> Iterator[Finding]:
        reason = self._reason(assessed, expected, state.own.haircuts.correlated_share_max)
        tried = assessed.tried.get(pool.name, ())
        if reason is None or not tried:
            return
        regimes = _regimes(state, pool)
        shock = self._shock(state, assessed, pool, tried[-1], regimes)
        after = shocked(pool.own, shock)
        if after is None or after.ratio >= self.ratio_min:
            return
        lost_usd = after.collateral_lost_usd + _counted_usd(pool.venue) - _counted_usd(pool.own)
        all_lost_usd = lost_usd + after.positions_lost_usd
        part = lost_usd / all_lost_usd if all_lost_usd > 0.0 else 0.0
        is_decisive = after.missing_usd(self.ratio_min) <= lost_usd
        if lost_usd <= 0.0 or not (is_decisive or part >= self.part_min):
            return
        is_taken = after.ratio < 1.0 and (
            bool(expected) or any(each in _UNDER_WAY for each in regimes.values())
        )
        evidence = self._evidence(state, assessed, shock, after, lost_usd, expected)
        offers = self._offers(assessed, pool, shock, after)
        counterfactual = (
            f"would not stand with {after.missing_usd(self.ratio_min):,.2f} USD more of money in {pool.name}"
        )
        account = assessed.risk.account
        yield Finding(
            policy=self.name,
            reason=reason,
            severity=Severity.ACT if is_taken else Severity.WATCH,
            subject=Subject(account=account),
            limit=Limit(entries=Entries.REDUCE_ONLY if is_taken else Entries.NO_ADDS),
            evidence=evidence,
            counterfactual=counterfactual,
            confirm_ms=int(self.confirm_s * 1000),
            offers=offers,
        )
        if not is_taken:
            return
        share = share_that_survives(pool.own, shock, self.ratio_min)
        for market in dict.fromkeys(position.market for position in pool.positions):
            size = abs(sum(position.size for position in pool.positions if position.market == market))
            yield Finding(
                policy=self.name,
                reason=reason,
                severity=Severity.ACT,
                subject=Subject(account=account, market=market),
                limit=Limit(entries=Entries.REDUCE_ONLY, max_size=share * size),
                evidence=(
                    *evidence,
                    Evidence(name="share of the positions that would hold", value=100.0 * share, unit="%"),
                ),
                counterfactual=counterfactual,
                confirm_ms=int(self.confirm_s * 1000),
                offers=offers,
            )

    def _shock(
        self, state: GuardState, assessed: Assessed, pool: Pool, tried: Tried, regimes: dict[MarketId, Regime]
    ) -> Shock:
        """All against the pool; ``tried`` is the direction of correlation one, which is told last."""
        around = assessed.around
        reaches: dict[MarketId, float] = {}
        for market, regime in regimes.items():
            outlook = state.outlook.of(market)
            down = tried.direction.markets.get(market, -1.0) < 0.0
            reach = None if outlook is None else outlook.reach(Direction.DOWN if down else Direction.UP)
            if reach is not None and regime in _UNDER_WAY:
                reaches[market] = way_of(min(reach.quantiles[_Q90], _REACH_MAX) * BPS_PER_UNIT, down=down)
        kinds = {held.asset: around.pegs.kind(held.asset) for held in pool.own.holdings}
        return Shock(
            direction=tried.direction,
            way=-log1p(-self.shock_share),
            reaches=reaches,
            haircuts={asset: around.haircuts.of(kind, 1.0) for asset, kind in kinds.items()},
            hedge_credit=tried.hedge_credit,
        )

    def _evidence(
        self,
        state: GuardState,
        assessed: Assessed,
        shock: Shock,
        after: Shocked,
        lost_usd: float,
        expected: Sequence[_Expected],
    ) -> tuple[Evidence, ...]:
        holdings = assessed.risk.holdings
        at_risk = [held for held in holdings if _is_at_risk(assessed, held)]
        largest = max(at_risk, key=lambda held: held.share)
        limits = state.own.haircuts
        return (
            Evidence(
                name="left after the shock over what is demanded",
                value=after.ratio,
                unit="ratio",
                limit=self.ratio_min,
            ),
            Evidence(name="shock", value=100.0 * (1.0 - exp(-shock.way)), unit="%"),
            Evidence(name="collateral would lose of what it counts", value=lost_usd, unit="USD"),
            Evidence(name="positions would lose", value=after.positions_lost_usd, unit="USD"),
            Evidence(
                name=f"{largest.asset} of all collateral",
                value=100.0 * largest.share,
                unit="%",
                limit=100.0 * self.concentration_max,
            ),
            Evidence(
                name="collateral that falls with the positions",
                value=100.0 * correlated_share(holdings),
                unit="%",
                limit=100.0 * limits.correlated_share_max,
            ),
            *_words(expected),
        )

    def _offers(self, assessed: Assessed, pool: Pool, shock: Shock, after: Shocked) -> tuple[Offer, ...]:
        """Money to add, the worst collateral to swap, and a position to isolate where that was found to help."""
        missing = after.missing_usd(self.ratio_min)
        offers = [Offer(remedy=Remedy.ADD_MARGIN, amount_usd=missing, about=pool.name, cost_usd=0.0)]
        offers += _swaps(assessed, pool, shock, missing)
        offers += [
            Offer(
                remedy=Remedy.ISOLATE_POSITION,
                amount_usd=step.amount_usd,
                about=step.about,
                cost_usd=step.cost_usd,
            )
            for step in assessed.risk.containment
            if step.step.startswith(ISOLATE)
            and step.amount_usd > 0.0
            and (step.after_bps is None or step.after_bps > (step.before_bps or 0.0))
        ]
        return tuple(offer for offer in offers if offer.amount_usd > 0.0)

    def _told_alone(self, assessed: Assessed, expected: Sequence[_Expected]) -> Finding:
        """A haircut that is expected is said though the account would outlive it."""
        worst = max(expected, key=lambda each: (each.ours - each.venue) * each.share)
        return Finding(
            policy=self.name,
            reason=Reason.HAIRCUT_EXPECTED,
            severity=Severity.INFO,
            subject=Subject(account=assessed.risk.account),
            evidence=tuple(_words(expected)),
            counterfactual=f"would not stand if the venue left away {100.0 * (worst.ours - self.expected_share):.1f} %"
            f" or more of {worst.asset}, or if it could be sold for what it should be worth",
            confirm_ms=int(self.confirm_s * 1000),
        )


@dataclass(frozen=True, slots=True)
class _Expected:
    asset: str
    venue: float
    ours: float
    share: float


def _words(expected: Sequence[_Expected]) -> Iterator[Evidence]:
    for each in expected:
        yield Evidence(
            name=f"haircut of {each.asset} by its market, limit is the venue's",
            value=100.0 * each.ours,
            unit="%",
            limit=100.0 * each.venue,
        )


def _is_at_risk(assessed: Assessed, held: HoldingRisk) -> bool:
    """Whether its price and haircut matter: not money, and not what is counted in itself (that has no stress)."""
    if held.quantity <= 0.0 or held.share <= 0.0 or "stress" not in held.parts:
        return False
    return assessed.around.pegs.kind(held.asset) is not AssetKind.CASH


def _counted_usd(pool: MarginPool) -> float:
    return sum(held.value_usd for held in pool.holdings)


def _regimes(state: GuardState, pool: Pool) -> dict[MarketId, Regime]:
    found = {}
    for position in pool.positions:
        outlook = state.outlook.of(position.market)
        if outlook is not None and outlook.regime is not None:
            found[position.market] = outlook.regime
    return found


def _swaps(assessed: Assessed, pool: Pool, shock: Shock, missing_usd: float) -> Iterator[Offer]:
    """The collateral of which a dollar loses most, as much of it as is missing, if so much is held."""
    risks = {held.asset: held for held in assessed.risk.holdings}
    found: list[tuple[float, Offer]] = []
    for held in pool.own.holdings:
        risk = risks.get(held.asset)
        if risk is None or not _is_at_risk(assessed, risk) or held.price_usd <= 0.0:
            continue
        value_usd = held.quantity * held.price_usd
        rate, is_known = _selling_rate(assessed, held, risk, value_usd)
        gain = 1.0 - rate - counted_after(held, shock) / held.price_usd
        if gain <= 0.0:
            continue
        amount = min(missing_usd / gain, value_usd)
        offer = Offer(
            remedy=Remedy.SWAP_COLLATERAL,
            amount_usd=amount,
            about=held.asset,
            cost_usd=amount * rate if is_known else None,
        )
        found.append((gain, offer))
    if found:
        yield max(found, key=lambda each: each[0])[1]


def _selling_rate(
    assessed: Assessed, held: Holding, risk: HoldingRisk, value_usd: float
) -> tuple[float, bool]:
    """What selling costs as a share, and whether a book tells it; else our haircut is reckoned with."""
    bps = assessed.around.slippage(held.asset, value_usd)
    if bps is not None:
        return min(bps / BPS_PER_UNIT, 1.0), True
    told = risk.parts.get("slippage")
    return (held.haircut, False) if told is None else (told, True)
