"""Block entries on an account whose collateral has left its peg, or its price elsewhere; say what falls together."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.risk import AccountRisk, HoldingRisk
from guard.findings import Finding, Limit, Offer, Reason, Remedy, Severity, Subject
from guard.state import GuardState
from guard.units import MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrustCollateral:
    """Asks for entries to stop while what stands behind an account's positions is not worth what it was.

    That is an asset further than ``fallen_share`` below its peg, measured over venues, or valued by the account's own
    venue so much lower than others trade it, and which makes up ``share_min`` of the collateral. Nothing is cut for
    it: how near liquidation came by it is the affair of ``cut_leverage``, which sees it in the distance, and what the
    account would not outlive of ``contain_collateral``. What has fallen is offered to be swapped.

    Collateral that falls with the positions it stands behind is said above
    ``collateral.haircuts.correlated_share_max``, and asks for nothing. What cannot be known (no price over venues) is
    told with the account, and nothing is found for it.

    Attributes:
        enabled: whether it decides at all.
        fallen_share: how far an asset must have fallen, as a share of what it should be worth.
        share_min: share of all collateral that must have fallen so far.
        confirm_s: seconds for which it must have been so.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "distrust_collateral"

    enabled: bool = True
    fallen_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.03
    share_min: Annotated[float, Ge(0.0), Le(1.0)] = 0.05
    confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 10.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most two findings an account."""
        del now
        if not self.enabled:
            return
        limit = state.own.haircuts.correlated_share_max
        for risk in state.own.risks.values():
            yield from self._fallen(risk)
            yield from self._correlated(risk, limit)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield all of ``decide``: they name no market."""
        del markets
        return self.decide(state, now)

    def _fallen(self, risk: AccountRisk) -> Iterator[Finding]:
        fallen = [
            held for held in risk.holdings if max(_below_peg(held), _below_others(held)) >= self.fallen_share
        ]
        share = sum(held.share for held in fallen)
        if not fallen or share < self.share_min:
            return
        helps = next(
            (step for step in risk.containment if (step.after_bps or 0.0) > (step.before_bps or 0.0)), None
        )
        yield Finding(
            policy=self.name,
            reason=Reason.COLLATERAL_FALLEN,
            severity=Severity.WATCH,
            subject=Subject(account=risk.account),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(
                *(evidence for held in fallen for evidence in _words(held)),
                Evidence(
                    name="share of all collateral",
                    value=100.0 * share,
                    unit="%",
                    limit=100.0 * self.share_min,
                ),
                *(() if helps is None else (Evidence(name="would help", value=helps.step, unit="text"),)),
            ),
            counterfactual=f"would not stand with collateral within {self.fallen_share:.0%} of its peg "
            "and of its price on other venues",
            confirm_ms=int(self.confirm_s * 1000),
            offers=tuple(offer for held in fallen if (offer := _swap(held)) is not None),
        )

    def _correlated(self, risk: AccountRisk, limit: float) -> Iterator[Finding]:
        found = [held for held in risk.holdings if held.correlated_with is not None and held.share > 0.0]
        share = sum(held.share for held in found)
        if share <= limit:
            return
        yield Finding(
            policy=self.name,
            reason=Reason.COLLATERAL_CORRELATED,
            severity=Severity.INFO,
            subject=Subject(account=risk.account),
            evidence=(
                Evidence(name="share of all collateral", value=100.0 * share, unit="%", limit=100.0 * limit),
                *(
                    Evidence(name=f"{held.asset} falls with", value=held.correlated_with or "", unit="text")
                    for held in found
                ),
            ),
            counterfactual=f"would not stand with less than {limit:.0%} of the collateral falling with the positions",
            confirm_ms=int(self.confirm_s * 1000),
        )


def _counts(held: HoldingRisk) -> bool:
    """Whether its price matters: what is counted in itself has no part for stress."""
    return held.quantity > 0.0 and "stress" in held.parts


def _below_peg(held: HoldingRisk) -> float:
    return held.parts.get("depeg", 0.0) if _counts(held) else 0.0


def _below_others(held: HoldingRisk) -> float:
    """How much lower than others its own venue values it, 0..1."""
    if not _counts(held) or held.venue_usd is None or not held.reference_usd:
        return 0.0
    return max(0.0, 1.0 - held.venue_usd / held.reference_usd)


def _swap(held: HoldingRisk) -> Offer | None:
    """All of what has fallen, at the lower of its prices; what selling it costs where a book or a spread tells."""
    prices = [price for price in (held.reference_usd, held.venue_usd) if price is not None and price > 0.0]
    amount_usd = held.quantity * min(prices, default=0.0)
    if amount_usd <= 0.0:
        return None
    rate = held.parts.get("slippage")
    return Offer(
        remedy=Remedy.SWAP_COLLATERAL,
        amount_usd=amount_usd,
        about=held.asset,
        cost_usd=None if rate is None else rate * amount_usd,
    )


def _words(held: HoldingRisk) -> Iterator[Evidence]:
    yield Evidence(name=f"{held.asset} below its peg over venues", value=100.0 * _below_peg(held), unit="%")
    yield Evidence(name=f"{held.asset} valued here below others", value=100.0 * _below_others(held), unit="%")
