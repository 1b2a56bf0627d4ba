"""Where a stop may stand: what it has to keep out of, and the place that costs least size at the same risk. Pure.

Everything is a distance from the mark price in bps, positive where the position loses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Avoided:
    """A stretch in which no stop should fire: from ``near`` to ``far``; one that moves is put to ``clear_*``.

    What is asked lies farther out than what asks, so that a stretch that is estimated anew every few seconds, and
    never quite the same, moves a stop once.
    """

    near: float
    far: float
    clear_near: float
    clear_far: float

    def holds(self, distance: float) -> bool:
        """Whether a stop at so many bps stands in it."""
        return self.near <= distance <= self.far

    @classmethod
    def of_band(
        cls, near: float, far: float, *, core_share: float, gap_bps: float, gap_share: float
    ) -> Avoided:
        """Make a stretch of an estimated band: a stop must be well within it, and is put well clear of it."""
        width = far - near
        core, gap = core_share * width, max(gap_bps, gap_share * width)
        return cls(near + core, far - core, near - gap, far + gap)


@dataclass(frozen=True, slots=True)
class Place:
    """A stop's new distance, and the share of the position that may be kept at it."""

    distance: float
    keep_share: float
    is_in_front: bool = False


def place(
    distance: float,
    avoided: Sequence[Avoided],
    *,
    exit_bps: float,
    room_bps: float,
    front_bps_min: float,
    keep_share_min: float,
) -> Place | None:
    """Find where a stop that stands in a stretch should stand instead; ``None`` where there is no better place.

    Beyond the far edge of everything that hangs together there, at the size that keeps size times fill:
    ``q' (d' + e) = q (d + e)``. If that leaves too little, nearer than the near edge, at the same size: a stop that
    fires before the others' do. If there is no room for that either, beyond all the same, down to what it leaves.

    Args:
        distance: of the stop now.
        avoided: everything to keep out of.
        exit_bps: what filling costs beyond the trigger, counted at both places.
        room_bps: no stop stands farther.
        front_bps_min: none is put nearer.
        keep_share_min: how much has to be left of a position for "beyond" to be chosen before "in front".

    >>> band = Avoided.of_band(300.0, 400.0, core_share=0.1, gap_bps=20.0, gap_share=0.25)
    >>> found = place(350.0, [band], exit_bps=10.0, room_bps=1000.0, front_bps_min=50.0, keep_share_min=0.5)
    >>> found.distance, round(found.keep_share, 3)
    (425.0, 0.828)
    >>> place(350.0, [band], exit_bps=10.0, room_bps=420.0, front_bps_min=50.0, keep_share_min=0.5)
    Place(distance=275.0, keep_share=1.0, is_in_front=True)
    >>> place(450.0, [band], exit_bps=10.0, room_bps=1000.0, front_bps_min=50.0, keep_share_min=0.5) is None
    True
    """
    if not any(each.holds(distance) for each in avoided):
        return None
    near, far = _together(distance, avoided)
    beyond = None
    if distance < far <= room_bps:
        beyond = Place(far, (distance + exit_bps) / (far + exit_bps))
    if beyond is not None and beyond.keep_share >= keep_share_min:
        return beyond
    if front_bps_min <= near < distance and near <= room_bps:
        return Place(near, 1.0, is_in_front=True)
    return beyond


def _together(distance: float, avoided: Iterable[Avoided]) -> tuple[float, float]:
    """From where to where everything is to be kept clear of that hangs together with what a stop stands in."""
    stretches = sorted((each.clear_near, each.clear_far) for each in avoided)
    merged: list[tuple[float, float]] = []
    for near, far in stretches:
        if merged and near < merged[-1][1]:
            merged[-1] = merged[-1][0], max(far, merged[-1][1])
        else:
            merged.append((near, far))
    return next((each for each in merged if each[0] <= distance <= each[1]), (distance, distance))
