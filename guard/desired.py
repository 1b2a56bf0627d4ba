"""What one bot may do in one market, as the arbiter decides it and dispatch carries it out. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from guard.findings import Finding
from guard.units import BotId, MarketId
from perpguard_sdk.messages import Entries, StopRule


@dataclass(frozen=True, slots=True)
class Limits:
    """What one bot may do in one market, and the finding behind each part (``None``: being taken back).

    ``entry_share`` is what part of its usual size a new entry may have, 1 for all of it; ``flattened`` says that the
    position was closed and stays so until a human releases it. ``size_at_once`` is the smallest size asked for by
    whom no pace may hold up, ``None`` where only paced findings ask. ``stop_size`` is the size that the stop's finding
    asks for, ``None`` for any: over a larger one its stop must not stand; ``stop_at_once`` is to size_at_once what stop
    is to max_size. ``is_urgent`` says that one of all who ask for
    anything is imminent, though others may ask for more and so be the causes.
    """

    entries: Entries = Entries.ALLOWED
    max_leverage: float | None = None
    max_size: float | None = None
    stop: StopRule | None = None
    entry_share: float = 1.0
    entries_cause: Finding | None = None
    size_cause: Finding | None = None
    stop_cause: Finding | None = None
    share_cause: Finding | None = None
    flattened: bool = False
    size_at_once: float | None = None
    stop_size: float | None = None
    stop_at_once: StopRule | None = None
    is_urgent: bool = False

    @property
    def parts(self) -> tuple[Entries, float | None, float | None, StopRule | None, float, bool]:
        """What is restricted, without why."""
        return (
            self.entries,
            self.max_leverage,
            self.max_size,
            self.stop,
            self.entry_share,
            self.flattened,
        )

    @property
    def causes(self) -> tuple[Finding | None, ...]:
        """The findings behind the parts."""
        return self.entries_cause, self.size_cause, self.stop_cause, self.share_cause

    @property
    def is_imminent(self) -> bool:
        """Whether a liquidation is so near that neither budget nor pace may hold back what is asked."""
        return self.is_urgent or any(cause is not None and cause.imminent for cause in self.causes)

    def without_entries(self) -> Limits:
        """The same, and no entries."""
        return replace(self, entries=Entries.tightest(self.entries, Entries.REDUCE_ONLY))

    @property
    def restricts(self) -> bool:
        return (
            self.entries is not Entries.ALLOWED
            or (self.max_leverage, self.max_size, self.stop) != (None,) * 3
            or self.entry_share < 1.0
        )


Desired = Mapping[BotId, Mapping[MarketId, Limits]]
