"""What venues say of one price, what they agree upon, and what was normal of it. Logs of prices throughout. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log
from statistics import median

from guard.events import AssetPrice
from guard.units import BPS_PER_UNIT, NS_PER_S, Nanoseconds

SAMPLE_NS = 60 * NS_PER_S
"""A normal is the median of samples so far apart: of a day 1,440, 25 KB."""

DECISIVE = 3
"""So many voices outvote one that is wrong."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A pair at one venue: log of the geometric mid, half the bid-ask spread, when it was told."""

    log_mid: float
    half_spread_bps: float
    at: Nanoseconds


def quote_of(price: AssetPrice, at: Nanoseconds) -> Quote | None:
    """Read a price; ``None`` where bid or ask is none."""
    if not (isfinite(price.bid) and isfinite(price.ask) and price.bid > 0.0 and price.ask > 0.0):
        return None
    bid, ask = log(price.bid), log(price.ask)
    return Quote((bid + ask) / 2.0, max(0.0, ask - bid) * BPS_PER_UNIT / 2.0, at)


@dataclass(frozen=True, slots=True)
class Voice:
    """What one venue says: the log of a price, from ``worse`` to ``better`` where what it quotes in is in dispute."""

    worse: float
    better: float
    half_spread_bps: float = 0.0
    assumed: tuple[str, ...] = ()

    def plus(self, other: Voice | Agreed) -> Voice:
        """The price in a unit, times that unit's own price."""
        return Voice(
            self.worse + other.worse,
            self.better + other.better,
            self.half_spread_bps + (other.half_spread_bps if isinstance(other, Voice) else 0.0),
            tuple(dict.fromkeys((*self.assumed, *other.assumed))),
        )

    def less(self, other: Voice | Agreed) -> Voice:
        """The price over another price."""
        spread = other.half_spread_bps if isinstance(other, Voice) else 0.0
        return Voice(
            self.worse - other.better,
            self.better - other.worse,
            self.half_spread_bps + spread,
            tuple(dict.fromkeys((*self.assumed, *other.assumed))),
        )

    def turned(self) -> Voice:
        """The price of the quote in the base."""
        return Voice(-self.better, -self.worse, self.half_spread_bps, self.assumed)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What venues agree upon; ``worse`` and ``better`` differ where two disagree and no third decides."""

    worse: float
    better: float
    voices: tuple[str, ...] = ()
    spread_bps: float = 0.0
    half_spread_bps: float = 0.0
    is_disputed: bool = False
    assumed: tuple[str, ...] = ()


def agree(voices: Mapping[str, Voice], own: str | None, disagree_bps: float) -> Agreed | None:
    """Return the median of voices, ``None`` where none but ``own`` speaks.

    ``own`` is heard only while fewer than three others are: as a witness it may decide between two, and make one
    doubtful, but not speak alone. Where the two middle ones lie further apart than ``disagree_bps``, both are told.

    >>> said = {"a": Voice(0.0, 0.0), "b": Voice(0.001, 0.001), "own": Voice(-0.4, -0.4)}
    >>> agree(said, "own", 100.0).worse, agree({"own": Voice(0.0, 0.0)}, "own", 100.0)
    (0.0, None)
    """
    others = {venue: voice for venue, voice in voices.items() if venue != own}
    if not others:
        return None
    heard = others if len(others) >= DECISIVE else voices
    limit = disagree_bps / BPS_PER_UNIT
    worse = _middle([voice.worse for voice in heard.values()], limit, highest=False)
    better = _middle([voice.better for voice in heard.values()], limit, highest=True)
    said = [(voice.worse + voice.better) / 2.0 for voice in heard.values()]
    return Agreed(
        worse=worse,
        better=better,
        voices=tuple(heard),
        spread_bps=(max(said) - min(said)) * BPS_PER_UNIT,
        half_spread_bps=median(voice.half_spread_bps for voice in heard.values()),
        is_disputed=better - worse > limit,
        assumed=tuple(dict.fromkeys(name for voice in heard.values() for name in voice.assumed)),
    )


def _middle(values: Sequence[float], limit: float, *, highest: bool) -> float:
    """The median; of two middle ones that lie too far apart the higher or the lower."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    if high - low <= limit:
        return (low + high) / 2.0
    return high if highest else low


@dataclass(slots=True)
class Normal:
    """The usual value of one ratio: the median of a sample a minute over a window; see ``PegSettings``.

    A ratio far below it is not learned from, so that a depeg does not become normal while it lasts, but for no longer
    than ``freeze_ns``: then the normal is forgotten and learned anew.

    Failure modes: what was learned first may already have been a depeg (the ratio of 1 below which no claim is normal
    bounds that); a loss that stays is normal after ``freeze_ns``.
    """

    _samples: deque[tuple[Nanoseconds, float]] = field(default_factory=deque)
    _median: float = 0.0
    _frozen_at: Nanoseconds | None = None

    def observe(
        self,
        at: Nanoseconds,
        value: float,
        *,
        window_ns: Nanoseconds,
        warm_up_ns: Nanoseconds,
        below_max: float,
        freeze_ns: Nanoseconds,
    ) -> None:
        """Take a value; more than one a minute make no difference."""
        if self._samples and at - self._samples[-1][0] < SAMPLE_NS and self._frozen_at is None:
            return
        normal = self.value(warm_up_ns)
        if normal is not None and value < normal - below_max:
            self._frozen_at = at if self._frozen_at is None else self._frozen_at
            if at - self._frozen_at <= freeze_ns:
                return
            self._samples.clear()
        self._frozen_at = None
        self._samples.append((at, value))
        while at - self._samples[0][0] > window_ns:
            self._samples.popleft()
        self._median = median(sample for _, sample in self._samples)

    def value(self, warm_up_ns: Nanoseconds) -> float | None:
        """The normal; ``None`` while it has seen too little."""
        return self._median if len(self._samples) * SAMPLE_NS >= warm_up_ns else None
