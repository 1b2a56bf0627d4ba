"""Whether a book was hurt, and how far it has come back since: depth, spread and how fast it refills. No clock."""

from __future__ import annotations

from math import exp, log

from guard.units import NS_PER_S, Nanoseconds

HURT_AT = ((0.5, 30.0), (0.2, 3.0))
"""A book is hurt that was below this share of its normal for so many seconds: as ``pause_entries`` does by default."""

HURT_SPREAD, HURT_SPREAD_BPS, HURT_SPREAD_S = 5.0, 5.0, 3.0
"""Or whose spread was so many times its normal, and so wide, for so many seconds."""

BACK_DEPTH, BACK_SPREAD, BACK_REFILL = 0.6, 2.0, 2.0
"""It is back while depth is above this share of normal, spread and half-life of refilling below so many times theirs:
as the states of the market have it (``guard.hazard.regime_settings``)."""

SPREAD_BPS_MIN = 2.0
"""A narrower spread is back whatever is usual: one tick more of a tiny spread is not double."""

SHARES = (0.25, 0.5)
"""Of a usual entry, stage after stage, before everything."""

ANEW_S = 60.0
"""What is hurt again after it was back for so long is another time."""

FORGET_S = 3_600.0
"""What was hurt for the last time so long ago is what is normal now."""

ELAPSED_S_MAX = 5.0
"""Of a pause between two samples no more counts as time that a book was seen back."""

_REFILL_HALF_LIFE_S, _REFILL_WARM_S = 86_400.0, 1_800.0


class BookRecovery:
    """The stages by which entries come back after a book was hurt; asking changes nothing.

    Where a book was below a share of its normal for long enough (``HURT_AT``), or its spread was far too wide, nothing
    is back until depth, spread and refilling are within ``BACK_*`` again, at every sample; then a quarter of a usual
    entry, after a stage of it a half, after two everything. A sample that is not back begins again at nothing.
    The half-life of refilling counts from when its usual is known (half an hour unhurt); a calm book shows none.

    Formula: the share is the n-th of (1/4, 1/2, 1), n = seconds back without a break / those of a stage.
    Assumptions: samples come a few times a second; no more than ``ELAPSED_S_MAX`` between two counts. Unknown is not
    back: where the book cannot be believed (``interrupt``) the time begins anew.
    Failure modes: a book that stays at half of what it was is kept for an hour (``FORGET_S``), by when that is its
    normal; a spread's normal that was learned in a wide one.

    >>> book = BookRecovery()
    >>> for second in range(321):
    ...     thin = 40 <= second < 80
    ...     book.observe(second * 10**9, 0.4 if thin else 0.9, 1.0, 1.0, None)
    ...     if second in (69, 70, 80, 200, 320):
    ...         print(second, book.share(120.0))
    69 1.0
    70 0.0
    80 0.25
    200 0.5
    320 1.0
    """

    __slots__ = (
        "_at",
        "_below",
        "_refill_s",
        "_usual_refill",
        "_wide_since",
        "back_s",
        "hurt_at",
        "refill_ratio",
        "worst",
    )

    def __init__(self) -> None:
        self.hurt_at: Nanoseconds | None = None
        """When it was last seen hurt; ``None`` where it was not within the last hour."""
        self.worst = 1.0
        """The lowest share of normal at which it was hurt."""
        self.back_s = 0.0
        """For how long it has been back without a break."""
        self.refill_ratio: float | None = None
        """How long it takes to refill over how long it usually does; ``None`` where that is not known."""
        self._at: Nanoseconds | None = None
        self._below: list[Nanoseconds | None] = [None] * len(HURT_AT)
        self._wide_since: Nanoseconds | None = None
        self._usual_refill = 0.0
        self._refill_s = 0.0

    def share(self, stage_s: float) -> float:
        """What part of its usual size an entry may have: 0 (not back), 0.25, 0.5, or 1 (nothing is wrong).

        Each stage takes ``stage_s`` seconds, back throughout; 0: everything at once.
        """
        if self.hurt_at is None or self.back_s >= stage_s * len(SHARES):
            return 1.0
        return 0.0 if self.back_s < 0.0 else SHARES[int(self.back_s / stage_s)]

    def observe(
        self,
        at: Nanoseconds,
        ratio: float,
        spread_ratio: float | None,
        spread_bps: float | None,
        refill_ms: float | None,
    ) -> None:
        """Take a sample of a book that may be believed.

        Args:
            at: Unix nanoseconds, never falling.
            ratio: depth over its normal, the thinner side.
            spread_ratio: spread over its normal; ``None`` where that is not known, which is not back.
            spread_bps: the spread.
            refill_ms: half-life of refilling; ``None`` before the first sweep.
        """
        elapsed_s = 0.0 if self._at is None else min((at - self._at) / NS_PER_S, ELAPSED_S_MAX)
        self._at = at
        is_wide = _is_wide(spread_ratio, spread_bps)
        self._wide_since = (self._wide_since or at) if is_wide else None
        is_hurt = self._is_thin(at, ratio) or (
            self._wide_since is not None and at - self._wide_since >= HURT_SPREAD_S * NS_PER_S
        )
        if is_hurt:
            is_new = self.hurt_at is None or self.back_s >= ANEW_S
            self.worst = ratio if is_new else min(self.worst, ratio)
            self.hurt_at, self.back_s = at, -1.0
        self._learn_refill(refill_ms, elapsed_s)
        if self.hurt_at is None or is_hurt:
            return
        if at - self.hurt_at > FORGET_S * NS_PER_S:
            self._forget()
        elif not self._is_back(ratio, spread_ratio, spread_bps):
            self.back_s = -1.0
        else:
            self.back_s = 0.0 if self.back_s < 0.0 else self.back_s + elapsed_s

    def interrupt(self) -> None:
        """The book is unknown: it is not known to be back either."""
        self._below = [None] * len(HURT_AT)
        self._at = self._wide_since = None
        if self.hurt_at is not None:
            self.back_s = -1.0

    def _forget(self) -> None:
        self.hurt_at, self.back_s, self.worst = None, 0.0, 1.0

    def _is_thin(self, at: Nanoseconds, ratio: float) -> bool:
        found = False
        for place, (share, seconds) in enumerate(HURT_AT):
            since = self._below[place]
            if ratio >= share:
                self._below[place] = None
            elif since is None:
                self._below[place] = at
            elif at - since >= seconds * NS_PER_S:
                found = True
        return found

    def _is_back(self, ratio: float, spread_ratio: float | None, spread_bps: float | None) -> bool:
        if spread_ratio is None or spread_bps is None:
            return False
        is_narrow = spread_bps <= SPREAD_BPS_MIN or spread_ratio <= BACK_SPREAD
        is_refilled = self.refill_ratio is None or self.refill_ratio <= BACK_REFILL
        return ratio >= BACK_DEPTH and is_narrow and is_refilled

    def _learn_refill(self, refill_ms: float | None, elapsed_s: float) -> None:
        if refill_ms is None or refill_ms <= 0.0:
            self.refill_ratio = None
            return
        known = log(refill_ms)
        self.refill_ratio = exp(known - self._usual_refill) if self._refill_s >= _REFILL_WARM_S else None
        if self.hurt_at is None or self.back_s >= ANEW_S:
            share = elapsed_s / min(self._refill_s + elapsed_s, _REFILL_HALF_LIFE_S) if elapsed_s else 0.0
            self._usual_refill += (known - self._usual_refill) * share
            self._refill_s += elapsed_s


def _is_wide(ratio: float | None, bps: float | None) -> bool:
    return ratio is not None and bps is not None and ratio >= HURT_SPREAD and bps >= HURT_SPREAD_BPS
