"""Lets ``wickra-radar`` watch the same markets: its severity becomes one more score that needs no model of ours.

It is given all that it takes, each half a minute: open interest, funding and mark; best bid and ask with what rests
within 1 %; what was liquidated. It cannot say how far, in which direction, or how likely: its severity is taken for
both directions, and thresholds and powers are chosen for it as for everybody else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks._peers import PeerWorker, peer_python
from benchmarks._skill_observables import ROWS_RADAR
from benchmarks._skill_tables import MarketRun

NAME = "wickra-radar"
REQUIREMENT = "wickra-radar==0.2.0"


def add_severities(runs: Sequence[MarketRun]) -> None:
    """Put its severity among the scores that each run has; PeerUnavailableError where it cannot be had."""
    with PeerWorker(peer_python("wickra_radar", [REQUIREMENT]), "wickra_radar") as worker:
        for run in runs:
            rows = [
                [int(at // 1_000_000), *(None if value != value else value for value in row)]  # noqa: PLR0124 - NaN
                for at, row in zip(
                    run.at[::ROWS_RADAR].tolist(), run.radar[::ROWS_RADAR].tolist(), strict=True
                )
            ]
            told = worker.ask({"rows": rows})["severities"]
            asked = np.array([np.nan if each is None else each for each in told], np.float64)
            severity = np.repeat(asked, ROWS_RADAR)[: len(run.at)]
            for seen in run.seen.values():
                seen[NAME] = severity
