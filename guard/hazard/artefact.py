"""The fitted numbers of the outlook as they are written down: one document, checked when it is taken. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from guard.calibration.cells import Feature
from guard.errors import ArtefactInvalidError

FORMAT = 1


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


LIFE_SHOCKS_PER_H = 0.03
"""Shocks in a market-hour of real life.

Seven Binance perpetuals of December 2025 and January 2026 moved by 1.5 % between two closes of five minutes 143 times
in 10,415 market-hours (0.0007 an hour in BTC, 0.040 in WIF); by the mid it is about twice as often.
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
    a guard runs, before it has counted any, and counts like ``prior_h`` market-hours of its own.
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
    prior_shocks_per_h: float = LIFE_SHOCKS_PER_H
    prior_h: float = 24.0


def check_format(document: Mapping[str, object]) -> None:
    """Say it plainly where a document is of another format. ArtefactInvalidError."""
    found = document.get("format")
    if found != FORMAT:
        raise ArtefactInvalidError("format", f"it is {found!r}; this program reads {FORMAT}")
