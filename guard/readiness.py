"""Whether the guard has seen everything that it is to watch, once: the first full assessment after a start.

Nothing waits for it. A market that is not judged yet allows no entries by itself; this only says when that is over.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import structlog

from guard.engine import Engine
from guard.events import PositionSource, StreamFaultKind
from guard.market.view import BookTrust
from guard.state import GuardState
from guard.units import NS_PER_S, AccountId, MarketId, Nanoseconds, venue_of

SAY_NS = 5 * NS_PER_S
"""How often it is said what is still missing."""

BELIEVABLE = frozenset({BookTrust.TRUSTED, BookTrust.RECOVERING})
"""A whole book whose stream delivers. One that has done so for less than ``recover_ms`` is not acted on yet."""

log = structlog.get_logger()


@dataclass(slots=True)
class Readiness:
    """Give ``on_tick`` every Tick that the engine has judged, until it is ready: then that stays so.

    Ready means: an epoch is held; every venue has said what it watches; each of these markets was judged with a
    believable book, or is refused by its venue (halted, not listed); each account with a key was read, or its key
    was refused. A venue that cannot be reached is none of these.

    Attributes:
        engine: what is asked what it knows.
        began_at: from when the seconds count.
        ready_at: when it became ready, ``None`` before.
    """

    engine: Engine
    began_at: Nanoseconds
    ready_at: Nanoseconds | None = None
    _judged: set[MarketId] = field(default_factory=set)
    _said_at: Nanoseconds = 0

    @property
    def seconds(self) -> float | None:
        """From the start to the first full assessment, ``None`` before it."""
        return None if self.ready_at is None else (self.ready_at - self.began_at) / NS_PER_S

    @property
    def words(self) -> str:
        """What is still missing, in one line; empty once nothing is.

        Of each venue it says how many of its markets are judged.
        """
        return "" if self.ready_at is not None else "; ".join(self._missing())

    def counts(self) -> dict[str, tuple[int, int]]:
        """Of each venue how many of how many markets have been judged since the start."""
        watched = self.engine.state.watched
        judged = Counter(venue_of(market) for market in self._judged & watched)
        totals = Counter(venue_of(market) for market in watched)
        return {venue: (judged[venue], total) for venue, total in sorted(totals.items())}

    def on_tick(self, at: Nanoseconds) -> None:
        """Look at what is known now."""
        if self.ready_at is not None:
            return
        state = self.engine.state
        for market in state.watched - self._judged:
            view = state.markets.get(market)
            if _is_refused(state, market) or (view is not None and view.trust(at) in BELIEVABLE):
                self._judged.add(market)
        missing = self._missing()
        if not missing:
            self.ready_at = at
            log.info(
                "ready: everything that is watched was judged once",
                seconds=round(self.seconds or 0.0, 2),
                markets=len(state.watched),
                accounts=len(state.account_clocks),
            )
        elif at - self._said_at >= SAY_NS:
            if self._said_at:
                log.info("not ready yet", missing=missing)
            self._said_at = at

    def _missing(self) -> list[str]:
        state = self.engine.state
        missing = [] if state.epoch else ["no epoch yet"]
        expected = {*map(venue_of, state.watched), *state.choosing}
        missing += [f"{venue} has not said yet what it watches" for venue in sorted(expected - state.chosen)]
        for venue, (judged, total) in self.counts().items():
            if judged < total:
                missing.append(f"{judged} of {total} books of {venue} are whole")
        missing += [
            f"{account} is not read yet"
            for account in sorted(state.account_clocks)
            if _unread(state, account)
        ]
        return missing


def _is_refused(state: GuardState, market: MarketId) -> bool:
    fault = state.book_faults.get(market)
    return fault is not None and fault.fault is StreamFaultKind.REFUSED


def _unread(state: GuardState, account: AccountId) -> bool:
    """Whether nobody knows what is in an account, nor that its key is refused."""
    fault = state.account_faults.get(account)
    if fault is not None:
        return fault.fault is not StreamFaultKind.REFUSED
    view = state.accounts.get(account)
    return view is None or PositionSource.VENUE not in view.snapshots
