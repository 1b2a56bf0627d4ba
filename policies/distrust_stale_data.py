"""Unknown is not calm, and not a crash: block entries where data cannot be believed, cut nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.events import PositionSource, Stream, StreamFault, StreamFaultKind
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.market.freshness import StreamState
from guard.market.view import BookTrust, MarketView
from guard.state import GuardState
from guard.units import NS_PER_S, AccountId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries, Evidence

_SILENT = (BookTrust.STALE, BookTrust.NEVER, BookTrust.RECOVERING)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrustStaleData:
    """Blocks entries in a market whose book or mark price, or on an account whose state, is not known.

    A stream is stale when it is silent for longer than its own limit (5 s, or 5 times its own p99 gap);
    a crossed, gapped, empty or unsynchronised book is unusable whatever its age. The restriction ends
    only after the data has been fresh again for a while (``baseline.recover_ms``). While anything is
    unknown nothing is loosened; nothing is ever cut and no stop moved because of it. What a venue cannot
    give is not waited for, and what is polled may be silent for several rounds.

    Attributes:
        enabled: whether it decides at all.
        starting_s: seconds after the guard's start within which what was never heard is only noted.
        reported_s: seconds after which positions that only bots tell are not known any more.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "distrust_stale_data"

    enabled: bool = True
    starting_s: Annotated[float, Ge(0.0), Le(600.0)] = 0.0
    reported_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 15.0

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield a finding for every market and account that cannot be believed at ``now``."""
        if self.enabled:
            yield from self._markets(state, now, state.markets.values())
            yield from self._accounts(state, now)

    def decide_for(
        self, state: GuardState, now: Nanoseconds, markets: AbstractSet[MarketId]
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets`` or accounts."""
        if self.enabled:
            views = [view for market in markets if (view := state.markets.get(market)) is not None]
            yield from self._markets(state, now, views)
            yield from self._accounts(state, now)

    def _markets(self, state: GuardState, now: Nanoseconds, views: Iterable[MarketView]) -> Iterator[Finding]:
        started_at = state.started_at
        starting = started_at is not None and now - started_at < self.starting_s * NS_PER_S
        for view in views:
            trust = view.trust(now)
            if starting and trust is BookTrust.NEVER:
                yield self._awaited(view)
                continue
            if trust is not BookTrust.TRUSTED:
                yield self._book(view, trust, state.book_faults.get(view.market), now)
            mark = view.stream_state(Stream.MARK_PRICE, now)
            if mark is StreamState.STALE or (
                mark is StreamState.NEVER and view.is_missing(Stream.MARK_PRICE, now)
            ):
                yield self._mark(view, mark)

    def _accounts(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        for account, clock in state.account_clocks.items():
            fault = state.account_faults.get(account)
            stream = clock.state(now)
            if fault is not None:
                yield self._account(account, f"{fault.fault}: {fault.detail}", "fault")
            elif stream is not StreamState.FRESH:
                yield self._account(account, str(stream), "stream state")
        for account, known in state.accounts.items():
            told_at = known.seen_at
            if account in state.account_clocks or known.source is not PositionSource.BOT or told_at is None:
                continue
            if now - told_at > self.reported_s * NS_PER_S:
                yield self._account(account, "a bot has stopped reporting", "text")

    def _awaited(self, view: MarketView) -> Finding:
        return Finding(
            policy=self.name,
            reason=Reason.STALE_DATA,
            severity=Severity.INFO,
            subject=Subject(market=view.market),
            evidence=(Evidence(name="book", value="not heard of yet", unit="trust"),),
            counterfactual="would not stand with the first book of the market",
            freezes=True,
        )

    def _book(
        self, view: MarketView, trust: BookTrust, fault: StreamFault | None, now: Nanoseconds
    ) -> Finding:
        silent = trust in _SILENT
        return Finding(
            policy=self.name,
            reason=Reason.STALE_DATA if silent else Reason.BOOK_UNUSABLE,
            severity=Severity.WATCH,
            subject=Subject(market=view.market),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(
                *_said(fault),
                Evidence(name="book", value=str(trust), unit="trust"),
                *_silence(view, Stream.BOOK, now),
            ),
            counterfactual="would not stand with a book that has been fresh and uncrossed for the recovery time",
            freezes=True,
        )

    def _mark(self, view: MarketView, mark: StreamState) -> Finding:
        return Finding(
            policy=self.name,
            reason=Reason.STALE_DATA,
            severity=Severity.WATCH,
            subject=Subject(market=view.market),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(Evidence(name="mark price", value=str(mark), unit="stream state"),),
            counterfactual="would not stand with a mark price younger than its stream's limit",
            freezes=True,
        )

    def _account(self, account: AccountId, value: str, unit: str) -> Finding:
        return Finding(
            policy=self.name,
            reason=Reason.ACCOUNT_UNKNOWN,
            severity=Severity.WATCH,
            subject=Subject(account=account),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(Evidence(name="account", value=value, unit=unit),),
            counterfactual="would not stand with a fresh view of the account's positions",
            freezes=True,
        )


def _said(fault: StreamFault | None) -> tuple[Evidence, ...]:
    """What the feed said of the book when it broke: why, and what to do about it."""
    if fault is None or fault.fault in (StreamFaultKind.RECONNECTED, StreamFaultKind.RECONCILED):
        return ()
    return (Evidence(name="book", value=f"{fault.fault}: {fault.detail}", unit="fault"),)


def _silence(view: MarketView, stream: Stream, now: Nanoseconds) -> tuple[Evidence, ...]:
    silence_ms = view.silence_ms(stream, now)
    if silence_ms is None:
        return ()
    limit_s = view.silence_ms_max(stream) / 1000.0
    return (Evidence(name="silence", value=silence_ms / 1000.0, unit="s", limit=limit_s),)
