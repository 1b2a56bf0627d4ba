"""What the loop needs of the world, as protocols of one to three methods; adapters fulfil them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from guard.audit import AnyRecord
from guard.events import AnyEvent
from guard.units import AccountId, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Command, GuardState, Heartbeat, Instruction, Notice, Posture, Signal

Emit = Callable[[AnyEvent], None]
"""Hand an event to the loop. Never blocks and never raises; the loop's queue has its own policy."""


class Clock(Protocol):
    """The only reader of time."""

    def now(self) -> Nanoseconds:
        """Unix time in nanoseconds."""
        ...

    async def sleep_until(self, at: Nanoseconds) -> None:
        """Return at ``at`` or soon after."""
        ...


class Feed(Protocol):
    """A source of events: a venue, the bots, a file, the clock."""

    @property
    def name(self) -> str:
        """For logs and task names."""
        ...

    async def run(self, emit: Emit) -> None:
        """Emit events until cancelled; recover by itself from everything recoverable."""
        ...


class Importance(IntEnum):
    """Whose events wait when not all can be judged in time; an earlier member goes first."""

    VITAL = 0
    """Accounts, bots, links, the time, and the markets of open positions: never shed."""
    TRADED = 1
    """Markets that a bot may enter."""
    FAR = 2
    """Markets that are only watched."""


class Pace(Protocol):
    """How often markets are sampled; the feeds ask before each round of samples."""

    def importance(self, market: MarketId) -> Importance:
        """Who cares about a market."""
        ...

    def watch(self, venue: str, far: int) -> None:
        """Take note of how many markets of a venue are only watched."""
        ...

    def took(self, samples: int, duration_ns: Nanoseconds) -> None:
        """Take note of what so many samples cost."""
        ...

    def period_ns(self, importance: Importance, base_ns: Nanoseconds) -> Nanoseconds:
        """How long after a sample of a market the next one is due, where its venue's own pace is ``base_ns``."""
        ...


class CommandSink(Protocol):
    """Carries what is addressed to one bot. Returns once the broker has taken it.

    Raises (each method):
        BrokerError: it could not be handed over; nothing is kept for later delivery.
    """

    async def publish_command(self, command: Command) -> None: ...

    async def publish_posture(self, posture: Posture) -> None: ...

    async def publish_heartbeat(self, heartbeat: Heartbeat) -> None: ...


class AccountHands(Protocol):
    """Reduces on an account itself, beside its bots: the route for a bot that nobody can make obey. Not built yet."""

    async def reduce(
        self, account: AccountId, market: MarketId, max_size: float, price_limit: float | None
    ) -> None:
        """Bring the whole account's position to at most ``max_size`` (absolute base units), reduce-only.

        Returns once the venue has taken it; whether it came true is read from the account, as with bots.

        Raises:
            VenueError: it could not be done.
        """
        ...


class StatusSink(Protocol):
    """Carries what anyone may read. Raises BrokerError as CommandSink does."""

    async def publish_state(self, state: GuardState) -> None: ...

    async def publish_signal(self, signal: Signal) -> None: ...

    async def publish_notice(self, notice: Notice) -> None: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What a guard starts from: its fencing epoch and the verified postures it found retained."""

    epoch: int
    floors: tuple[Posture, ...]


class Fence(Protocol):
    """Makes sure that only one guard of a site commands."""

    async def claim(self, stored_epoch: int) -> Claim:
        """Wait until no other guard's heartbeat has been heard for 5 s, then take the next epoch.

        Args:
            stored_epoch: the highest epoch in our own store, 0 if there is none.

        Raises:
            FencedError: another guard of this site keeps beating.
        """
        ...


class AuditLog(Protocol):
    """Keeps records in order."""

    async def append(self, records: Sequence[AnyRecord], *, durable: bool) -> None:
        """Append in order, all or none; with ``durable`` return only once they are on the disk.

        Raises:
            AuditError: nothing was kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it lies in the audit."""

    number: int
    record: AnyRecord
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking the chain found; ``broken_at`` is the first bad record's number."""

    records: int
    broken_at: int | None
    detail: str

    @property
    def ok(self) -> bool:
        return self.broken_at is None


class AuditReader(Protocol):
    """Reads records back."""

    def records(self, *, command_id: str | None = None) -> AsyncIterator[StoredRecord]:
        """All records in order, or those that concern one command (full id or a unique start of it)."""
        ...

    async def verify(self) -> Verdict:
        """Recompute the whole chain."""
        ...


class Memory(Protocol):
    """What a guard remembers of its former sessions."""

    async def last_epoch(self) -> int: ...

    async def last_postures(self) -> dict[BotId, Posture]: ...

    async def last_instructions(self) -> tuple[Instruction, ...]: ...
