"""Scenarios: how long an episode is, when its stress begins, and what is done to the market then.

What comes before the onset is drawn without a look at the scenario: equal seeds open alike in all of those that have
the same calm before (``STRESSED``), so that none gives itself away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from adapters.simulation.laboratory.parameters import ImpulseKind
from adapters.simulation.worlds.ranges import Drawn, Range, log


class Where(StrEnum):
    """Whom an impulse concerns."""

    ALL = "all"
    ALTS = "alts"
    """Each symbol other than the two largest, with sizes of its own."""
    EACH = "each"
    """Each symbol, with sizes of its own."""
    SMALL = "small"
    """Each of the small ones, with sizes of its own."""
    VENUE = "venue"
    """One venue, drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One impulse to draw. Times are seconds after the onset, or shares of the time before it (``is_before``)."""

    name: str
    kind: ImpulseKind
    after_s: Drawn
    duration_s: Drawn
    size: Drawn
    where: Where = Where.ALL
    chance: float = 1.0
    of_world: bool = False
    """Whether the world's ratio of this kind applies to its size."""
    is_before: bool = False
    """Within the calm: ``after_s`` is a share of the time before the onset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One family of episodes."""

    name: str
    about: str
    before_s: Drawn
    after_s: Drawn
    has_onset: bool = True
    rules: tuple[Rule, ...] = ()
    choices: tuple[tuple[Rule, ...], ...] = ()
    """One of these is drawn in addition."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Other times of sampling than usual: ``sample_ms``, ``truth_s``, ``positions_s``."""


HOUR = 3600.0
DAY = 24 * HOUR

BEFORE = Range(2_400.0, 5_400.0)
"""Calm before the onset, in every scenario in which something happens within minutes."""

OPENING = (
    Rule(
        name="crowding",
        kind=ImpulseKind.ENTRIES,
        after_s=Range(0.05, 0.4),
        duration_s=Range(600.0, 1_500.0),
        size=Range(-0.01, 0.025),
        where=Where.EACH,
        is_before=True,
    ),
    Rule(
        name="thinning",
        kind=ImpulseKind.WITHDRAW,
        after_s=Range(0.1, 0.7),
        duration_s=log(60.0, 600.0),
        size=Range(0.4, 0.9),
        chance=0.5,
        is_before=True,
    ),
    Rule(
        name="dip",
        kind=ImpulseKind.VALUE,
        after_s=Range(0.1, 0.8),
        duration_s=log(60.0, 900.0),
        size=Range(-0.012, 0.012),
        chance=0.5,
        is_before=True,
    ),
)
"""What may happen in the calm: crowding, makers who step back for some minutes, a small move. None of it tells."""

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="calm",
            about="Days to weeks without news, busier at some hours than at others.",
            before_s=log(3 * DAY, 14 * DAY),
            after_s=0.0,
            has_onset=False,
        ),
        Scenario(
            name="fall",
            about="The common factor falls by 3 to 8 % within minutes or hours, and nothing breaks.",
            before_s=BEFORE,
            after_s=2 * HOUR,
            rules=(
                *OPENING,
                Rule(
                    name="news",
                    kind=ImpulseKind.VALUE,
                    after_s=0.0,
                    duration_s=log(600.0, 5_400.0),
                    size=Range(-0.08, -0.03),
                ),
            ),
        ),
        Scenario(
            name="bleed",
            about="Value falls by 8 to 25 % over days.",
            before_s=Range(6 * HOUR, 24 * HOUR),
            after_s=Range(3 * DAY, 5 * DAY),
            rules=(
                Rule(
                    name="bleeding",
                    kind=ImpulseKind.VALUE,
                    after_s=0.0,
                    duration_s=Range(2 * DAY, 3 * DAY),
                    size=Range(-0.25, -0.08),
                ),
            ),
        ),
        Scenario(
            name="squeeze",
            about="Shorts have crowded into the alts; value rises and somebody buys.",
            before_s=BEFORE,
            after_s=1.5 * HOUR,
            rules=(
                *OPENING,
                Rule(
                    name="news",
                    kind=ImpulseKind.VALUE,
                    after_s=0.0,
                    duration_s=log(120.0, 900.0),
                    size=Range(0.02, 0.05),
                    of_world=True,
                ),
                Rule(
                    name="alts",
                    kind=ImpulseKind.VALUE,
                    after_s=Range(0.0, 180.0),
                    duration_s=log(240.0, 1_200.0),
                    size=Range(0.05, 0.15),
                    where=Where.ALTS,
                ),
                Rule(
                    name="buyer",
                    kind=ImpulseKind.SELL,
                    after_s=Range(0.0, 120.0),
                    duration_s=log(240.0, 1_200.0),
                    size=Range(-6.0, -1.5),
                    of_world=True,
                ),
                Rule(
                    name="withdrawal",
                    kind=ImpulseKind.WITHDRAW,
                    after_s=Range(0.0, 120.0),
                    duration_s=log(300.0, 1_200.0),
                    size=log(0.1, 0.5),
                    of_world=True,
                ),
            ),
        ),
        Scenario(
            name="venue-failure",
            about="One venue fails alone: its collateral loses its peg, its prices come loose, or it goes silent.",
            before_s=BEFORE,
            after_s=1.5 * HOUR,
            rules=(
                *OPENING,
                Rule(
                    name="apart",
                    kind=ImpulseKind.ARBITRAGE_STOP,
                    after_s=0.0,
                    duration_s=log(900.0, 3_000.0),
                    size=Range(0.9, 1.0),
                    where=Where.VENUE,
                ),
                Rule(
                    name="withdrawal",
                    kind=ImpulseKind.WITHDRAW,
                    after_s=Range(0.0, 60.0),
                    duration_s=log(600.0, 2_400.0),
                    size=log(0.05, 0.4),
                    where=Where.VENUE,
                    of_world=True,
                ),
            ),
            choices=(
                (
                    Rule(
                        name="depeg",
                        kind=ImpulseKind.DEPEG,
                        after_s=Range(0.0, 120.0),
                        duration_s=log(900.0, 3_000.0),
                        size=log(-0.08, -0.45),
                        where=Where.VENUE,
                    ),
                    Rule(
                        name="seller",
                        kind=ImpulseKind.SELL,
                        after_s=Range(0.0, 240.0),
                        duration_s=log(300.0, 1_500.0),
                        size=Range(1.0, 5.0),
                        where=Where.VENUE,
                        of_world=True,
                    ),
                ),
                (
                    Rule(
                        name="seller",
                        kind=ImpulseKind.SELL,
                        after_s=Range(0.0, 120.0),
                        duration_s=log(240.0, 1_200.0),
                        size=Range(3.0, 12.0),
                        where=Where.VENUE,
                        of_world=True,
                    ),
                ),
                (
                    Rule(
                        name="outage",
                        kind=ImpulseKind.OUTAGE,
                        after_s=Range(60.0, 400.0),
                        duration_s=log(60.0, 900.0),
                        size=1.0,
                        where=Where.VENUE,
                    ),
                    Rule(
                        name="news",
                        kind=ImpulseKind.VALUE,
                        after_s=Range(0.0, 300.0),
                        duration_s=log(300.0, 1_200.0),
                        size=Range(-0.05, 0.02),
                    ),
                ),
            ),
        ),
        Scenario(
            name="october-2025",
            about="The family of 10 October 2025: news, makers gone, forced selling, and what each does to the others.",
            before_s=BEFORE,
            after_s=1.75 * HOUR,
            rules=(
                *OPENING,
                Rule(
                    name="news",
                    kind=ImpulseKind.VALUE,
                    after_s=0.0,
                    duration_s=log(300.0, 1_200.0),
                    size=Range(-0.085, -0.045),
                    of_world=True,
                ),
                Rule(
                    name="seller",
                    kind=ImpulseKind.SELL,
                    after_s=Range(0.0, 90.0),
                    duration_s=log(90.0, 300.0),
                    size=log(0.5, 1.2),
                    of_world=True,
                ),
                Rule(
                    name="alts",
                    kind=ImpulseKind.SELL,
                    after_s=Range(0.0, 90.0),
                    duration_s=log(90.0, 300.0),
                    size=log(1.5, 4.0),
                    where=Where.ALTS,
                    of_world=True,
                ),
                Rule(
                    name="small",
                    kind=ImpulseKind.VALUE,
                    after_s=Range(60.0, 300.0),
                    duration_s=log(300.0, 1_200.0),
                    size=Range(-0.42, -0.2),
                    where=Where.SMALL,
                ),
                Rule(
                    name="withdrawal",
                    kind=ImpulseKind.WITHDRAW,
                    after_s=Range(120.0, 420.0),
                    duration_s=log(600.0, 1_300.0),
                    size=log(0.08, 0.25),
                    of_world=True,
                ),
                Rule(
                    name="alts-news",
                    kind=ImpulseKind.VALUE,
                    after_s=Range(0.0, 240.0),
                    duration_s=log(240.0, 720.0),
                    size=Range(-0.07, -0.02),
                    where=Where.ALTS,
                ),
                Rule(
                    name="small-withdrawal",
                    kind=ImpulseKind.WITHDRAW,
                    after_s=Range(120.0, 420.0),
                    duration_s=log(600.0, 1_300.0),
                    size=log(0.12, 0.4),
                    where=Where.SMALL,
                    of_world=True,
                ),
                Rule(
                    name="shorts",
                    kind=ImpulseKind.ENTRIES,
                    after_s=Range(300.0, 900.0),
                    duration_s=log(300.0, 900.0),
                    size=Range(-0.15, -0.05),
                    where=Where.EACH,
                ),
                Rule(
                    name="apart",
                    kind=ImpulseKind.ARBITRAGE_STOP,
                    after_s=Range(60.0, 300.0),
                    duration_s=log(900.0, 2_400.0),
                    size=Range(0.2, 0.7),
                ),
                Rule(
                    name="depeg",
                    kind=ImpulseKind.DEPEG,
                    after_s=Range(300.0, 1_500.0),
                    duration_s=log(1_200.0, 3_000.0),
                    size=log(-0.1, -0.42),
                    chance=0.7,
                ),
                Rule(
                    name="rebound",
                    kind=ImpulseKind.VALUE,
                    after_s=Range(1_200.0, 2_100.0),
                    duration_s=log(240.0, 720.0),
                    size=Range(0.045, 0.075),
                ),
                Rule(
                    name="small-rebound",
                    kind=ImpulseKind.VALUE,
                    after_s=Range(1_200.0, 2_100.0),
                    duration_s=log(240.0, 720.0),
                    size=Range(0.05, 0.15),
                    where=Where.SMALL,
                ),
            ),
        ),
        Scenario(
            name="minute",
            about="Calm, depth that thins, and a fall of about 10 % with liquidations, within 70 s: to look at.",
            before_s=Range(18.0, 22.0),
            after_s=50.0,
            rules=(
                Rule(
                    name="withdrawal",
                    kind=ImpulseKind.WITHDRAW,
                    after_s=Range(-6.0, -3.0),
                    duration_s=60.0,
                    size=Range(0.08, 0.15),
                ),
                Rule(
                    name="news",
                    kind=ImpulseKind.VALUE,
                    after_s=0.0,
                    duration_s=Range(18.0, 26.0),
                    size=Range(-0.07, -0.05),
                ),
                Rule(
                    name="seller",
                    kind=ImpulseKind.SELL,
                    after_s=Range(0.0, 2.0),
                    duration_s=Range(18.0, 26.0),
                    size=Range(0.8, 1.6),
                ),
            ),
            sampling={"sample_ms": 250.0, "truth_s": 5.0, "positions_s": 60.0},
        ),
    )
}

STRESSED = tuple(name for name, scenario in SCENARIOS.items() if scenario.before_s is BEFORE)
