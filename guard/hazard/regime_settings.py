"""When a market's state changes, and how slowly it goes back. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeSettings:
    """Entries of the states and how they are left; see ``RegimeMachine``. Every bound is checked.

    An entry is left at ``exit_share`` of it (of a ratio that is bad when low: at its entry over ``exit_share``).

    Attributes:
        hazard_watch: WATCH from this probability of 5 % within 15 minutes on; 0..1, 0: as leaving now and then cost.
        hazard_stressed: STRESSED, likewise; 0..1, 0: by cost, else not below ``hazard_watch``.
        hazard_rise_watch: ... and not before it is so many times what it usually is of this market; 1..100, 1: any.
        hazard_rise_stressed: STRESSED, likewise; 1..100.
        depth_z_watch: WATCH from this robust z-score of depth down; -20..-0.5.
        round_trip_stressed: STRESSED from so many times the usual round trip on; 1.5..100.
        round_trip_s: ... for so long: one look is one order that is gone; 0..60.
        reproduction_stressed: STRESSED where one USD forced would force so much more within reach ...; 0.1..10.
        reproduction_s: ... for so long: in calm it is there for a refresh or two; 0..300.
        liquidations_cascade: CASCADE from this flow of liquidations on, share of depth a minute, with speed; 0.01..10.
        speed_cascade: ... and this speed, usual 1-minute deviations a minute; 0.5..50.
        depth_collapse: CASCADE while depth is below this share of normal ...; 0.01..0.9.
        collapse_s: ... for so long; 0..60.
        speed_unseen: depth beyond what levels show counts from this speed on, or with such a flow; 0..50.
        exit_share: of an entry, where it is left; 0.1..0.9.
        watch_dwell_s: so long it must be calm before WATCH is left; 10 s..1 day.
        stressed_dwell_s: before STRESSED is left; as above.
        cascade_dwell_s: before CASCADE is left; as above.
        repeat_s: WATCH or STRESSED entered again within this time of the last entry ...; 0..1 day.
        repeat_dwell_s: ... is left only after so long: what comes back is not over; 10 s..1 day.
        recovered_depth: RECOVERY goes on while depth is above this share of normal ...; 0.05..1.
        recovered_spread: ... the spread below so many times the usual ...; 1..20.
        recovered_refill: ... and depth comes back within so many times the usual half-life; 1..20.
        stage_s: each stage of resuming takes at least so long, recovered throughout; 10 s..1 day.
        stages: shares of what was cut that may be resumed, one after the other; rising, the last is 1.
        remembered_s: what an input said last counts for so long after it became unknown; 60 s..1 day.
    """

    hazard_watch: float = 0.02
    hazard_stressed: float = 0.10
    hazard_rise_watch: float = 4.0
    hazard_rise_stressed: float = 12.0
    depth_z_watch: float = -3.0
    round_trip_stressed: float = 5.0
    round_trip_s: float = 3.0
    reproduction_stressed: float = 1.0
    reproduction_s: float = 20.0
    liquidations_cascade: float = 0.3
    speed_cascade: float = 3.0
    depth_collapse: float = 0.2
    collapse_s: float = 3.0
    speed_unseen: float = 1.0
    exit_share: float = 0.5
    watch_dwell_s: float = 2 * MINUTE_S
    stressed_dwell_s: float = 10 * MINUTE_S
    cascade_dwell_s: float = 30 * MINUTE_S
    repeat_s: float = 60 * MINUTE_S
    repeat_dwell_s: float = 10 * MINUTE_S
    recovered_depth: float = 0.6
    recovered_spread: float = 2.0
    recovered_refill: float = 2.0
    stage_s: float = 5 * MINUTE_S
    stages: tuple[float, ...] = (0.25, 0.5, 1.0)
    remembered_s: float = 60 * MINUTE_S

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be within {least:g} and {most:g}, not {getattr(self, name)}")
        if 0.0 < self.hazard_stressed < self.hazard_watch:
            raise ValueError("hazard_stressed must not be below hazard_watch")
        if self.hazard_rise_stressed < self.hazard_rise_watch:
            raise ValueError("hazard_rise_stressed must not be below hazard_rise_watch")
        if not self.stages or self.stages[-1] != 1.0 or list(self.stages) != sorted(set(self.stages)):
            raise ValueError(f"stages must rise and end with 1, not {self.stages}")
        if self.stages[0] <= 0.0:
            raise ValueError(f"stages must be positive, not {self.stages}")


_DAY_S = 86_400.0
_BOUNDS = {
    "hazard_watch": (0.0, 1.0),
    "hazard_stressed": (0.0, 1.0),
    "hazard_rise_watch": (1.0, 100.0),
    "hazard_rise_stressed": (1.0, 100.0),
    "depth_z_watch": (-20.0, -0.5),
    "round_trip_stressed": (1.5, 100.0),
    "round_trip_s": (0.0, 60.0),
    "reproduction_stressed": (0.1, 10.0),
    "reproduction_s": (0.0, 300.0),
    "liquidations_cascade": (0.01, 10.0),
    "speed_cascade": (0.5, 50.0),
    "depth_collapse": (0.01, 0.9),
    "collapse_s": (0.0, 60.0),
    "speed_unseen": (0.0, 50.0),
    "exit_share": (0.1, 0.9),
    "watch_dwell_s": (10.0, _DAY_S),
    "stressed_dwell_s": (10.0, _DAY_S),
    "cascade_dwell_s": (10.0, _DAY_S),
    "repeat_s": (0.0, _DAY_S),
    "repeat_dwell_s": (10.0, _DAY_S),
    "recovered_depth": (0.05, 1.0),
    "recovered_spread": (1.0, 20.0),
    "recovered_refill": (1.0, 20.0),
    "stage_s": (10.0, _DAY_S),
    "remembered_s": (60.0, _DAY_S),
}
