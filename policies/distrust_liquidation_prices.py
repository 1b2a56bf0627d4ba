"""Believe no liquidation price that the venue tells and the account's own numbers contradict, and no missing one."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.account.risk import AccountRisk, LegRisk
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.leverage.margin_pool import LiquidationKind
from guard.margin_terms import TermsSource
from guard.state import GuardState
from guard.units import MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrustLiquidationPrices:
    """Holds the venue's liquidation prices against our own, and asks for entries to stop where none is known.

    The venue's price and ours, solved from its tiers, the collateral and all positions, should be the same. Where they
    differ by more than ``difference_bps`` of the mark price and by more than ``difference_share`` of the distance, one
    of them is wrong or old: it is said, and the nearer one is acted on. Tiers by our own formula ask for more than
    venues do, so a difference is no news then.

    A position of which neither is known blocks entries in its market: a missing price is not a safe one. Not so
    where no price can liquidate it, or where the account as a whole is what fails and its distance is known.

    Attributes:
        enabled: whether it decides at all.
        difference_bps: difference, in bps of the mark price, from which on it is said.
        difference_share: and in share of the distance to the nearer of both.
        confirm_s: seconds for which it must have been so: prices of two moments differ for a moment.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "distrust_liquidation_prices"

    enabled: bool = True
    difference_bps: Annotated[float, Gt(0.0), Le(5_000.0)] = 25.0
    difference_share: Annotated[float, Ge(0.0), Le(1.0)] = 0.05
    confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 15.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield at most one finding a position and pool."""
        del now
        return self._decide(state, None)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets``."""
        del now
        return self._decide(state, markets)

    def _decide(self, state: GuardState, markets: AbstractSet[MarketId] | None) -> Iterator[Finding]:
        if not self.enabled:
            return
        for risk in state.own.risks.values():
            said: set[MarketId] = set()
            for leg in risk.legs:
                if (markets is not None and leg.market not in markets) or leg.market in said:
                    continue
                finding = self._unknown(risk, leg) or self._different(risk, leg)
                if finding is not None:
                    said.add(leg.market)
                    yield finding

    def _unknown(self, risk: AccountRisk, leg: LegRisk) -> Finding | None:
        if leg.kind is LiquidationKind.ACCOUNT_LEVEL:
            if any(stress.distance_bps is not None for stress in risk.stress if stress.pool == leg.pool):
                return None
        elif leg.kind is not LiquidationKind.MISSING:
            return None
        why = "; ".join(leg.missing) or "the venue liquidates the account as a whole and names no price"
        return Finding(
            policy=self.name,
            reason=Reason.LIQUIDATION_UNKNOWN,
            severity=Severity.WATCH,
            subject=Subject(market=leg.market, account=risk.account),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(
                Evidence(name="position", value=leg.size, unit="base units"),
                Evidence(name="liquidation price", value=f"not known: {why}", unit="text"),
            ),
            counterfactual="would not stand with a liquidation price, told or worked out",
        )

    def _different(self, risk: AccountRisk, leg: LegRisk) -> Finding | None:
        difference, distance = leg.difference_bps, leg.distance_bps
        if difference is None or distance is None or leg.terms is TermsSource.FORMULA:
            return None
        least = max(self.difference_bps, self.difference_share * distance)
        if abs(difference) <= least:
            return None
        return Finding(
            policy=self.name,
            reason=Reason.LIQUIDATION_PRICES_DIFFER,
            severity=Severity.WATCH,
            subject=Subject(market=leg.market, account=risk.account),
            evidence=(
                Evidence(name="difference", value=difference, unit="bps", limit=least),
                Evidence(name="liquidation price of the venue", value=leg.venue_price or 0.0, unit="USD"),
                Evidence(name="liquidation price of ours", value=leg.price or 0.0, unit="USD"),
                Evidence(name="acted on", value=leg.nearest or 0.0, unit="USD"),
                Evidence(name="position", value=leg.size, unit="base units"),
                *(Evidence(name="not known", value=words, unit="text") for words in leg.missing),
            ),
            counterfactual=f"would not stand with both within {least:.0f} bps of the mark price",
            confirm_ms=int(self.confirm_s * 1000),
        )
