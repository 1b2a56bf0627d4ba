"""Brake an account that lost much of its confirmed high: no adds, then smaller, then safe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le
from msgspec import structs

from guard.account.equity import Drawdown
from guard.findings import Basis, Finding, Limit, Reason, Severity, Subject
from guard.own_side import is_told_now
from guard.state import GuardState
from guard.units import NS_PER_S, AccountId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence

_HOUR_NS = 3_600 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawdownBrake:
    """Brakes in steps while an account's equity is far below its high of the last ``window_h`` hours.

        from no_adds_share on   nothing is added
        from reduce_share on    nothing is entered, and positions are cut by ``reduce_by``, once
        from safe_share on      positions are cut until together they are ``safe_leverage`` times equity
        from flatten_share on   all is closed, if ``flatten`` says so; only a human takes that back

    The high has to have stood for five minutes in several readings, and the account stands where the highest of its
    last three readings has it, so neither a false peak nor one false low closes anything. A change of equity counts
    only as far as positions times moves of prices explain it (see ``guard.account.equity``): money that is paid in or
    out is neither a high nor a loss. While something is unexplained it is said, and nothing is closed.

    Needs the venue's own word on equity. The high is kept over restarts beside the outlook's memory (so not where
    ``outlook.enabled`` is false); what was lost while the guard did not run counts as far as what is still held
    explains it.

    Attributes:
        enabled: whether it decides at all.
        window_h: hours back within which the high is looked for.
        no_adds_share: share of the high that must be lost for adds to stop.
        reduce_share: share of the high that must be lost for positions to be cut.
        reduce_by: share of each position that is cut then.
        safe_share: share of the high that must be lost for positions to be cut to what is safe.
        safe_leverage: what positions may be together then, over equity.
        flatten: whether anything is ever closed altogether.
        flatten_share: share of the high that must be lost for that.
        confirm_s: seconds for which it must have been so.
        reported_s: seconds after which positions that only bots tell are not known any more.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "drawdown_brake"
    at_ticks = True

    enabled: bool = True
    window_h: Annotated[float, Ge(1.0), Le(720.0)] = 168.0
    no_adds_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.2
    reduce_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.35
    reduce_by: Annotated[float, Ge(0.0), Le(1.0)] = 0.25
    safe_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.5
    safe_leverage: Annotated[float, Ge(0.0), Le(20.0)] = 1.0
    flatten: bool = False
    flatten_share: Annotated[float, Gt(0.0), Le(1.0)] = 0.6
    confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 30.0
    reported_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 15.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield one finding an account that is below its high, and one a position that is to be cut."""
        if not self.enabled:
            return
        for account, track in state.own.equities.items():
            view = state.accounts.get(account)
            drawdown = track.drawdown(now, int(self.window_h * _HOUR_NS))
            if view is None or drawdown is None:
                continue
            is_known = is_told_now(
                view,
                state.account_clocks.get(account),
                now,
                is_faulty=account in state.account_faults,
                reported_s=self.reported_s,
            )
            if is_known:
                yield from self._account(state, account, drawdown, now)

    def _account(
        self, state: GuardState, account: AccountId, drawdown: Drawdown, now: Nanoseconds
    ) -> Iterator[Finding]:
        is_unexplained = drawdown.unexplained_usd != 0.0
        if drawdown.share < self.no_adds_share:
            if is_unexplained:
                yield self._finding(account, drawdown, now, Severity.INFO, Limit())
            return
        if is_unexplained or drawdown.share < self.reduce_share:
            yield self._finding(account, drawdown, now, Severity.WATCH, Limit(entries=Entries.NO_ADDS))
            return
        is_safe = drawdown.share >= self.safe_share
        severity = Severity.CRITICAL if is_safe else Severity.ACT
        yield self._finding(account, drawdown, now, severity, Limit(entries=Entries.REDUCE_ONLY))
        yield from self._cuts(state, account, drawdown, now, severity)

    def _cuts(
        self, state: GuardState, account: AccountId, drawdown: Drawdown, now: Nanoseconds, severity: Severity
    ) -> Iterator[Finding]:
        view, risk = state.accounts[account], state.own.risk(account)
        gross_usd = 0.0 if risk is None else risk.gross_usd
        share = 1.0
        if gross_usd > 0.0:
            share = min(self.safe_leverage * max(drawdown.equity_usd, 0.0) / gross_usd, 1.0)
        for market in dict.fromkeys(position.market for position in view.positions):
            size = view.size(market)
            if self.flatten and drawdown.share >= self.flatten_share:
                limit = Limit(entries=Entries.REDUCE_ONLY, max_size=0.0, flatten=True)
            elif drawdown.share >= self.safe_share:
                limit = Limit(entries=Entries.REDUCE_ONLY, max_size=share * abs(size))
            else:
                limit = Limit(
                    entries=Entries.REDUCE_ONLY,
                    max_size=(1.0 - self.reduce_by) * abs(size),
                    basis=Basis(size=size),
                )
            if size != 0.0 or limit.flatten:
                found = self._finding(account, drawdown, now, severity, limit)
                held = Evidence(name="position", value=size, unit="base units", limit=limit.max_size)
                yield structs.replace(
                    found, subject=Subject(account=account, market=market), evidence=(*found.evidence, held)
                )

    def _finding(
        self, account: AccountId, drawdown: Drawdown, now: Nanoseconds, severity: Severity, limit: Limit
    ) -> Finding:
        is_unexplained = drawdown.unexplained_usd != 0.0
        threshold = max(
            (
                each
                for each in (self.no_adds_share, self.reduce_share, self.safe_share)
                if each <= drawdown.share
            ),
            default=self.no_adds_share,
        )
        evidence = [
            Evidence(
                name="lost of the high, money paid in or out apart",
                value=100.0 * drawdown.share,
                unit="%",
                limit=100.0 * threshold,
            ),
            Evidence(name="equity", value=drawdown.equity_usd, unit="USD"),
            Evidence(name="high, in what is there now", value=drawdown.high_usd, unit="USD"),
            Evidence(
                name="since the high",
                value=max(now - drawdown.since, 0) / _HOUR_NS,
                unit="h",
                limit=self.window_h,
            ),
        ]
        if is_unexplained:
            evidence.append(
                Evidence(name="change that nothing explains", value=drawdown.unexplained_usd, unit="USD")
            )
        least_usd = (1.0 - self.no_adds_share) * drawdown.high_usd
        words = f"would not stand with equity above {least_usd:,.2f} USD"
        if is_unexplained and drawdown.share < self.no_adds_share:
            words = "would not stand if positions and prices explained the change of equity, or once it has stayed"
        return Finding(
            policy=self.name,
            reason=Reason.DRAWDOWN,
            severity=severity,
            subject=Subject(account=account),
            limit=limit,
            evidence=tuple(evidence),
            counterfactual=words,
            confirm_ms=int(self.confirm_s * 1000),
        )
