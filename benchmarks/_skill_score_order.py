"""Does the coarse mode flatter? The same figures of a few episodes that were played order by order.

Thresholds and powers are those chosen on coarse episodes. Beside each figure stands the coarse one of the same
scenarios: the mix of scenarios differs otherwise, and with it every figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks._frame import Result
from benchmarks._skill_rows import ORACLE, Runs
from benchmarks._skill_score_alarms import score_alarms
from benchmarks._skill_score_decisions import score_decisions
from benchmarks._skill_score_hazard import score_hazard
from benchmarks._skill_score_maps import score_maps
from benchmarks._skill_score_reach import score_reach

COARSE = "coarse, same scenarios"
SHOWN = (
    "map, calm: estimated over true mass within 5 %",
    "map, calm: estimated over true mass within 10 %",
    "map, calm: log-sd of that ratio within 5 %",
    "map, calm: distance of shapes within 10 % (W1)",
    "map, calm: greatest three peaks found within 75 bps",
    "reach: share within the 80 % band",
    "reach: mean width of the 80 % band",
    "reach: AUC of P(reach >= 5 %) at onsets",
    "hazard: 5 % within 45 min: Brier skill against climatology",
    "hazard: 5 % within 45 min: reliability error",
    "alarms by",
    "decisions: fewer liquidated than at constant leverage",
    "decisions: liquidated by OI / depth less",
)
"""How their cases begin."""

COUNTS = ("onsets", "came", "events", "market days", "positions")
DRAWS_COARSE = 2
"""Their intervals are in their own rows."""


def score_order(order: Runs, coarse: Runs) -> list[Result]:
    """A subset of the figures, of the episodes order by order; nothing where there are none."""
    if not order.judged:
        return []
    scenarios = {run.scenario for run in order.judged}
    same = tuple(run for run in coarse.judged if run.scenario in scenarios)
    beside = {
        result.case: result.value
        for result in _score(Runs(same, coarse.chosen_by, coarse.seed, DRAWS_COARSE))
    }
    return [_shown(result, beside.get(result.case)) for result in _score(order)]


def _score(runs: Runs) -> list[Result]:
    """The figures that are shown."""
    if not runs.judged:
        return []
    results: Sequence[Result] = (
        *score_maps(runs),
        *score_reach(runs),
        *score_hazard(runs),
        *score_alarms(runs, simple=()),
        *score_decisions(runs),
    )
    return [each for each in results if each.case.startswith(SHOWN) and "average precision" not in each.case]


def _shown(result: Result, coarse: float | None) -> Result:
    """Without a target: so few episodes decide nothing."""
    kept = {name: result.baselines[name] for name in (ORACLE, *COUNTS) if name in result.baselines}
    beside = {} if coarse is None else {COARSE: coarse}
    return msgspec.structs.replace(
        result, case=f"order level: {result.case}", target=None, met=None, gap=None, baselines=beside | kept
    )
