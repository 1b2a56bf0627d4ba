"""Which features each expert is given, and which way each may count; chosen by leave-one-world-out in training."""

from __future__ import annotations

from guard.hazard.artefact import Expert
from guard.hazard.features import NAMES

WALKS = ("random_walk_1m", "random_walk_15m", "random_walk_60m")
STRUCTURE_GRADED = ("chance", "forced_at", "barrier_at")

# The share of longs is left out: some venues tell it and some do not.
FLOW_REACH = (
    "speed_1m",
    "speed_5m",
    "speed_15m",
    "z_1m",
    "beyond_30m",
    "back_30m",
    "regained",
    "volatility_15m",
    "volatility_60m",
    "wild_15m",
    "onset_age",
    "is_onset",
    "net_1m",
    "net_5m",
    "net_30m",
    "volume_5m",
    "depth_met",
    "depth_change",
    "shape_far",
    "spread",
    "refill",
    "forced_1m",
    "forced_30m",
    "premium",
    "premium_usual",
    "funding",
    "peer_speed_1m",
    "peer_move_5m",
    "peer_depth",
    "peer_wild",
    "twin_gap",
)
# Of reach the full expert does better with few features; forward selection, then what did no world harm.
FULL_REACH = (
    "net_1m",
    "net_30m",
    "speed_15m",
    "back_30m",
    "forced_30m",
    "refill",
    "volatility_15m",
    "onset_age",
    "volume_5m",
    "depth_met",
    "shape_far",
    "premium",
    "funding",
    "peer_speed_1m",
    "peer_move_5m",
    "peer_depth",
    "peer_wild",
    "oi_depth",
    "cascade_expected",
    "cascade_thinness",
)
FLOW_HAZARD = (
    *FLOW_REACH,
    "z_5m",
    "beyond_5m",
    "volatility_1m",
    "wild_1m",
    "wild_60m",
    "jumps",
    "is_other_onset",
    "turnover",
    "depth_other",
    "shape_near",
    "spread_bps",
    "round_trip",
    "forced_5m",
    "forced_other",
    "lag",
    "peer_speed_5m",
    "peer_move_max",
    "peer_forced",
)
FULL_HAZARD = (
    *FLOW_HAZARD,
    "oi_depth",
    "oi_usual_depth",
    "oi_turnover",
    "oi_change_5m",
    "oi_change_1h",
    "cascade_barrier_5",
    "cascade_forced_5",
    "cascade_reproduction",
    "cascade_expected",
    "cascade_thinness",
)

REACH: dict[Expert, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Expert.CLIMATOLOGY: ((), ()),
    Expert.OI_DEPTH: (("oi_depth",), ()),
    Expert.FLOW: (FLOW_REACH, WALKS),
    Expert.FULL: (FULL_REACH, ("chance",)),
}
HAZARD: dict[Expert, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Expert.CLIMATOLOGY: ((), ()),
    Expert.OI_DEPTH: (("oi_depth",), ()),
    Expert.FLOW: (FLOW_HAZARD, WALKS),
    Expert.FULL: (FULL_HAZARD, (*WALKS, *STRUCTURE_GRADED)),
}
# A shock has not begun when vulnerability is asked: nothing of what moves now may count in it.
STATE = ("volatility_60m", "wild_60m", "turnover", "depth_met", "depth_other", "shape_far", "spread", "spread_bps",
         "refill", "funding", "peer_depth")  # fmt: skip
VULNERABILITY: dict[Expert, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Expert.CLIMATOLOGY: ((), ()),
    Expert.OI_DEPTH: (("oi_depth",), ()),
    Expert.FLOW: (STATE, ("random_walk_60m",)),
    Expert.FULL: ((*STATE, "oi_depth", "oi_turnover", "cascade_expected", "cascade_barrier_5", "cascade_forced_5"),
                  ("random_walk_60m", "chance", "forced_at", "barrier_at")),
}  # fmt: skip

RISES = {
    "oi_depth", "oi_usual_depth", "twin_gap", "peer_speed_1m", "peer_speed_5m", "forced_1m", "forced_5m", "funding",
    "cascade_forced_2", "cascade_forced_5", "cascade_forced_10", "cascade_reproduction", "cascade_expected",
    "cascade_feedback", "random_walk_1m", "random_walk_15m", "random_walk_60m", "chance", "forced_at",
}  # fmt: skip
FALLS = {"depth_met", "cascade_barrier_2", "cascade_barrier_5", "cascade_barrier_10", "barrier_at"}


def sign_of(name: str) -> int:
    """Say which way theory lets a feature count: 1 never lowers a probability, -1 never raises it, 0 either."""
    return 1 if name in RISES else -1 if name in FALLS else 0


def chosen() -> tuple[str, ...]:
    """All features that any expert is given, in the program's order."""
    used = {name for kind in (REACH, HAZARD, VULNERABILITY) for names, _ in kind.values() for name in names}
    return tuple(name for name in NAMES if name in used)
