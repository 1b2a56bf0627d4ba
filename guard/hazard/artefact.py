"""The fitted numbers of the outlook as they are written down: one document, checked when it is taken. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from guard.calibration.cells import Feature
from guard.errors import ArtefactInvalidError

FORMAT = 2
FORMATS = (1, 2)
"""That are read: the second may hold trees, which a program that knows the first alone would not ask."""


class Expert(StrEnum):
    """Who estimates, by what they look at; the gate says how much each counts."""

    CLIMATOLOGY = "climatology"
    """Nothing: how often it came."""
    OI_DEPTH = "oi_depth"
    """Open interest over depth, the one-line baseline."""
    FLOW = "flow"
    """All but open interest and the map."""
    FULL = "full"
    """All."""


class Head(Struct, frozen=True, kw_only=True):
    """What one expert makes of the features for cells of one kind.

    ``weights[name]`` and ``graded[name]`` go along the cells, as ``intercept`` does; ``name>k`` is the k-th hinge of a
    feature, from 0. What is not named has no weight.
    """

    intercept: tuple[float, ...]
    weights: dict[str, tuple[float, ...]] = {}
    graded: dict[str, tuple[float, ...]] = {}


class Heads(Struct, frozen=True, kw_only=True):
    """All of one expert: reach by distance, hazard by horizon and move, and the two stages."""

    reach: Head
    hazard: Head
    vulnerability: Head
    shock: Head


class Forest(Struct, frozen=True, kw_only=True):
    """Trees that move what the line of the full expert says (``guard.calibration.trees.Beside``).

    Attributes:
        head: of which: the name of one of ``Heads``.
        asked: which cell of it they were grown for.
        moved: the first cell of it that is moved, and the one after the last.
        share: how much of what trees see more counts, 0..1.
        features: of ``columns``, by number; after them come ``graded`` ones, as they are for the cell that is asked.
        graded: see there.
        bias: of trees, as are ``depth``, ``columns``, ``cuts``, ``unknown_left`` and ``leaves``, which lie as in
            ``guard.calibration.trees.Trees``.
    """

    head: str
    asked: int
    moved: tuple[int, int]
    share: float
    features: tuple[str, ...]
    graded: tuple[str, ...]
    bias: float
    depth: int
    columns: tuple[int, ...]
    cuts: tuple[float, ...]
    unknown_left: tuple[bool, ...]
    leaves: tuple[float, ...]


LIFE_SHOCKS_PER_H = 0.03
"""Shocks in a market-hour of real life.

Seven Binance perpetuals of December 2025 and January 2026 moved by 1.5 % between two closes of five minutes 143 times
in 10,415 market-hours (0.0007 an hour in BTC, 0.040 in WIF); by the mid it is about twice as often.
"""


LIFE_HAZARD = (
    2.5e-4, 1e-5, 1e-6,
    2.1e-3, 3.6e-5, 3e-6,
    1.37e-2, 7.6e-4, 4e-5,
    2.08e-2, 1.4e-3, 1e-4,
)  # fmt: skip
"""How often price fell (rose) by ``MOVES`` within 5, 15, 45 and 60 minutes in real life, flat; of the same two months.

Of all moments of seven perpetuals, by closes of five minutes; below 3e-5 fewer than anyone counted.
"""
LIFE_SHOCK = 3.5e-3
"""How often a shock in one direction came within 15 minutes there."""

CALM_HAZARD = (0.0162, 0.0083, 0.0046, 0.0685, 0.0405, 0.0300, 0.1961, 0.1451, 0.1119, 0.2362, 0.1866, 0.1484)
CALM_SHOCK = 0.0897
"""What the full expert of the artefact tells of the same on the mean in calm training episodes, as it was fitted.

On recorded books of June 2026 it told 0.046 of 5 % in 15 minutes and 0.19 of 2 % in 60, as in calm episodes.
"""


class FittedOn(Struct, frozen=True, kw_only=True):
    """What the numbers come from, so that somebody else gets the same.

    Attributes:
        tag: of the worlds that were released (``adapters.simulation.worlds.tag``).
        split: of the seeds.
        worlds: which worlds.
        per_world: episodes of each.
        onsets: samples of the reach.
        moments: samples of the hazard.
        mixture: whose frequencies the hazards are calibrated to, in words.
        report: SHA-256 of the report that was made with it, its first 16 digits.
    """

    tag: str
    split: str
    worlds: tuple[str, ...]
    per_world: int
    onsets: int
    moments: int
    mixture: str
    report: str = ""


class Outlook(Struct, frozen=True, kw_only=True):
    """The document.

    ``weights`` are those of the experts before anything was seen of how they do. ``shocks_per_h`` is how often shocks
    came in a quiet market-hour of what was fitted on; ``prior_shocks_per_h`` is how often they are taken to come where
    a guard runs, before it has counted any (half as often, which is not life: decision 0265), and counts like
    ``prior_h`` market-hours of its own.
    """

    format: int
    name: str
    fitted_on: FittedOn
    reach_distances: tuple[float, ...]
    horizons_s: tuple[int, ...]
    moves: tuple[float, ...]
    features: tuple[Feature, ...]
    graded: tuple[Feature, ...]
    experts: dict[str, Heads]
    weights: dict[str, float]
    shocks_per_h: float
    prior_shocks_per_h: float = 0.3
    prior_h: float = 8.0
    calm_hazard: tuple[float, ...] = CALM_HAZARD
    calm_shock: float = CALM_SHOCK
    trees: tuple[Forest, ...] = ()


def check_format(document: Mapping[str, object]) -> None:
    """Say it plainly where a document is of another format. ArtefactInvalidError."""
    found = document.get("format")
    if found not in FORMATS:
        raise ArtefactInvalidError("format", f"it is {found!r}; this program reads 1 to {FORMAT}")
