"""The next slice of a cut, asked for anew at each decision with what is left then: size, interval, worst price. Pure.

Nothing is remembered between two decisions: a schedule that is worked out again for what is left, from here, with the
depth and the hazard of now, is the same schedule where nothing has changed (the optimum of a part of the way is part
of the optimum), and a better one where something has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

from guard.findings import Pace
from guard.forecasts import Direction
from guard.units import BPS_PER_UNIT
from guard.unwinding.refill import slice_usd_max
from guard.unwinding.trajectory import Course, course

SIGMA_ASSUMED = 0.03 / 86_400**0.5
"""Of log price a root second, where nothing was measured: 3 % a day."""
LEAST = 1e-3
"""Of what is left: a slice is no smaller, however little the book gives; it then asks whether more is there."""
SLICES, DOUBLINGS = 10, 3
_STEPS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwinding:
    """A cut that is to be made, and what it meets.

    Attributes:
        size: what is still to be closed, base units, above 0.
        price: mid, quote per base.
        direction: where the position loses: DOWN is a long that is sold into the bids.
        depth_usd: what rests within ``band_bps`` of mid on the side that it is closed into, now.
        band_bps: that band.
        half_life_s: how fast depth there comes back, measured; ``None`` where it is not known.
        spread_bps: best ask less best bid.
        sigma: of log price a root second; ``None`` where it is not known.
        hazard_per_s: chance a second that the crash comes.
        loss_ratio: what it takes of each unit that is left, as a share of its notional.
        horizon_s: by when it is closed.
    """

    size: float
    price: float
    direction: Direction
    depth_usd: float
    band_bps: float
    half_life_s: float | None
    spread_bps: float
    sigma: float | None
    hazard_per_s: float
    loss_ratio: float
    horizon_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceSettings:
    """How carefully it is closed.

    Attributes:
        interval_s: between slices.
        share: of what stands near the touch, the most that may be missing because of us.
        risk_aversion: lambda, 1 / USD: USD paid for each USD^2 of variance that is carried.
        slip_bps: how far beyond the far edge of what a slice takes its price may lie.
    """

    interval_s: float
    share: float
    risk_aversion: float
    slip_bps: float


def course_of(unwinding: Unwinding, settings: PaceSettings) -> Course:
    """The way down without regard to what the book gives: see ``guard.unwinding.trajectory``.

    Impact: taking ``n`` USD of a book with D USD within b bps costs ``n b / (2 D)`` bps of it; at a rate of v units a
    second in slices of one interval that is ``eta v^2`` with ``eta = price^2 x interval x b / (2 D)``: 1 over depth.
    """
    usd = unwinding.price
    band = unwinding.band_bps / BPS_PER_UNIT
    depth = max(unwinding.depth_usd, 1e-6 * usd * unwinding.size, 1e-9)
    sigma = SIGMA_ASSUMED if unwinding.sigma is None else unwinding.sigma
    return course(
        unwinding.size,
        max(unwinding.horizon_s, settings.interval_s),
        impact=usd * usd * settings.interval_s * band / (2.0 * depth),
        risk=settings.risk_aversion * (usd * sigma) ** 2,
        hazard_loss=unwinding.hazard_per_s * unwinding.loss_ratio * usd,
    )


def next_slice(unwinding: Unwinding, settings: PaceSettings) -> float:
    """How much to close now, base units: what the course wants until the next, as far as the book gives it.

    Above 0 and at most ``size``; no more than the book gives by ``slice_usd_max``, or ``LEAST`` of what is left where
    that is more. ValueError for what is no number.
    """
    wanted = unwinding.size - course_of(unwinding, settings).left(settings.interval_s)
    given = (
        slice_usd_max(unwinding.depth_usd, settings.interval_s, unwinding.half_life_s, settings.share)
        / unwinding.price
    )
    return min(max(min(wanted, given), LEAST * unwinding.size), unwinding.size)


def unhurried(unwinding: Unwinding, settings: PaceSettings) -> PaceSettings:
    """The settings with an interval in which a slow book gives a tenth of the cut, up to eight times as long.

    A dozen orders that matter, and not a hundred that do not. Never longer than half of the time that there is.
    """
    found = settings
    for _ in range(DOUBLINGS):
        is_enough = next_slice(unwinding, found) >= unwinding.size / SLICES
        if is_enough or 4.0 * found.interval_s > unwinding.horizon_s:
            break
        found = replace(found, interval_s=2.0 * found.interval_s)
    return found


def pace(unwinding: Unwinding, settings: PaceSettings, *, at_once: float = 1.0) -> Pace | None:
    """The next slice, its interval and the worst price to be taken; ``None`` where all goes at once as cheaply.

    The price lies ``slip_bps`` beyond what the slice should take at present: half the spread, and as deep into the
    band as its share of what stands there.

    ``at_once`` is what closing all now costs against mid, a share of notional; slices cost what each takes of the band,
    and leave half of it on the mean for as long as the book needs: where the hazard of that is dearer, there are none.
    """
    if not unwinding.size > 0.0:
        return None
    size = next_slice(unwinding, settings)
    if size >= unwinding.size:
        return None
    waits_s = settings.interval_s * (unwinding.size / size - 1.0)
    deep_bps = _deep(unwinding, size) * unwinding.band_bps / 2.0
    in_slices = max(unwinding.spread_bps / 2.0, deep_bps) / BPS_PER_UNIT
    if at_once <= in_slices + min(unwinding.hazard_per_s * waits_s / 2.0, 1.0) * unwinding.loss_ratio:
        return None
    return Pace(
        slice_size=size,
        interval_ms=round(1000.0 * settings.interval_s),
        price_limit=price_limit(unwinding, size, settings.slip_bps),
    )


def price_limit(unwinding: Unwinding, size: float, slip_bps: float) -> float | None:
    """The worst price for a slice of so many base units; ``None`` where that is no price."""
    away_bps = max(unwinding.spread_bps, 0.0) / 2.0 + _deep(unwinding, size) * unwinding.band_bps + slip_bps
    found = unwinding.price * (1.0 + unwinding.direction.sign * away_bps / BPS_PER_UNIT)
    return found if isfinite(found) and found > 0.0 else None


def _deep(unwinding: Unwinding, size: float) -> float:
    """Which share of the band so many base units take, at most all."""
    depth = unwinding.depth_usd
    return min(size * unwinding.price / depth, 1.0) if depth > 0.0 else 1.0


def schedule(unwinding: Unwinding, settings: PaceSettings) -> tuple[float, ...]:
    """All slices if nothing changed meanwhile, first to last: each is ``next_slice`` of what was left.

    Their sum is ``size``; the horizon shortens with each interval, and what is left at its end goes on at what the
    book gives.
    """
    made: list[float] = []
    left, horizon_s = unwinding.size, unwinding.horizon_s
    while left > 1e-9 * unwinding.size and len(made) < _STEPS_MAX:
        size = next_slice(replace(unwinding, size=left, horizon_s=horizon_s), settings)
        made.append(size)
        left -= size
        horizon_s = max(horizon_s - settings.interval_s, settings.interval_s)
    if left > 0.0 and made:
        made[-1] += left
    return tuple(made)
