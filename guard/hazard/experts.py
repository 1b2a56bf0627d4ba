"""All experts at once: what each makes of a market's features, for the gate to weigh and for the outlook to tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Self

import numpy as np
from numpy.typing import NDArray

from guard.calibration.blend import Blend
from guard.calibration.cell_pass import CellPass, KindPool
from guard.calibration.cells import Cells, CellTerms, Feature
from guard.calibration.kernel import Reaching
from guard.calibration.trees import Beside, Trees
from guard.errors import ArtefactInvalidError
from guard.forecasts import (
    HORIZONS_S,
    MOVES,
    QUANTILES,
    Direction,
    FittedForecast,
    HazardForecast,
    ReachForecast,
)
from guard.hazard.artefact import (
    LIFE_HAZARD,
    LIFE_SHOCK,
    LIFE_SHOCKS_PER_H,
    Expert,
    Forest,
    Head,
    Heads,
    Outlook,
    check_format,
)
from guard.hazard.climate import FITTED_REACH, LIFE_REACH
from guard.hazard.features import GRADED, HAZARD_HORIZONS_S, NAMES, REACH_DISTANCES, Features, Quiet
from guard.leverage.cascade.result import CascadeResult
from guard.skill.outcomes import ONSET_MOVE

Floats = NDArray[np.float64]

_REACH = len(REACH_DISTANCES)
_HAZARD = len(HAZARD_HORIZONS_S) * len(MOVES)
CELLS = _REACH + _HAZARD + 2
"""Of each expert: reach, hazard, vulnerability, shock."""

_OF_FLOW = (Expert.FLOW, Expert.FULL)

SHIFT_MAX = 4.0
"""Shocks are not taken to be rarer (more frequent) than by this in log-odds, however long none came."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """Probabilities of one market and direction, each in order.

    Attributes:
        reach: of going as far as each of ``REACH_DISTANCES`` within 30 minutes, a shock being under way.
        hazard: ``(HAZARD_HORIZONS_S, MOVES)`` of a move of as much within the horizon, from now.
        vulnerability: that a shock, were it to come now, goes on to 5 %.
        shock: that one comes within 15 minutes.
    """

    reach: Floats
    hazard: Floats
    vulnerability: float
    shock: float


class Opinions(Mapping[Expert, Estimates]):
    """What experts say of one market and direction, by expert; those that say nothing of it are not there.

    Attributes:
        told: all probabilities, ``(experts, CELLS)``.
        rows: which of its rows is whose.
        fitted: the same as they were fitted, at the rates of made-up markets.
        weight: how far that counts in what is told, 0..1.
    """

    __slots__ = ("fitted", "rows", "told", "weight")

    def __init__(self, told: Floats, rows: Mapping[Expert, int], fitted: Floats, weight: float = 1.0) -> None:
        self.told, self.rows, self.fitted, self.weight = told, rows, fitted, weight

    def __getitem__(self, name: Expert) -> Estimates:
        return _estimates(self.told[self.rows[name]])

    def as_fitted(self, name: Expert) -> Estimates:
        """What one says at the rates of what it was fitted on."""
        return _estimates(self.fitted[self.rows[name]])

    def __contains__(self, name: object) -> bool:
        return name in self.rows

    def __iter__(self) -> Iterator[Expert]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Experts:
    """The fitted experts, evaluated together: one pass over the features, and what that is in life.

    Cost: some 12 us for both directions without trees, 3 of them for the two kinds of market; 9 more for five
    forests (decision 0258).
    """

    document: Outlook
    names: tuple[Expert, ...]
    _pass: CellPass
    _kinds: KindPool
    _trees: tuple[tuple[Beside, bool], ...]
    """And whether they are given what is graded by distance of the reach, not by cell of the hazard."""

    @classmethod
    def of(cls, document: Outlook) -> Self:
        """Take a document. ArtefactInvalidError where it is not made for this program's features and cells."""
        _check(document)
        names = tuple(Expert(name) for name in document.experts)
        heads = [head for name in names for head in _heads(document.experts[name])]
        terms = CellTerms(
            features=document.features,
            graded=document.graded,
            intercept=tuple(number for head in heads for number in head.intercept),
            weights=tuple(row for head in heads for row in _rows(head, head.weights, document.features)),
            graded_weights=tuple(row for head in heads for row in _rows(head, head.graded, document.graded)),
        )
        Cells.of(terms)  # says what cannot be
        places = [NAMES.index(each.name) for each in document.features]
        graded_places = [GRADED.index(each.name) for each in document.graded]
        told = CellPass(terms, places, graded_places, _GRADED_ROWS, _SHARES, _BLOCKS)
        forests = document.trees if Expert.FULL in names else ()
        return cls(document, names, told, _kinds(document), tuple(_beside(each) for each in forests))

    def __reduce__(self) -> tuple[object, ...]:
        """Copy them: what is compiled is made anew of the document."""
        return Experts.of, (self.document,)

    def estimate(self, both: Sequence[Features]) -> tuple[Opinions, ...]:
        """What each expert makes of each of ``both``; the full one says nothing where there is no map.

        Neither it nor the flow says anything of a price that is not known for a minute yet.
        """
        told, fitted = np.empty((2, len(both), len(self.names), CELLS))
        found = []
        for at, each in enumerate(both):
            quiet = each.quiet
            self._pass.tell(each.values.reshape(1, -1), each.reach, each.hazard, 0.0, fitted[at])
            if self._trees and each.has_map:
                self._bend(each, fitted[at])
            rarity = self.rarity(quiet)
            # A shock elsewhere ends the quiet of all markets in worlds that crash together.
            at_once = 0.0 if quiet.is_shaken else rarity
            self._kinds.tell(fitted[at], quiet.fitted, quiet.share, at_once, rarity, told[at])
            rows = _speaking(self.names, each.has_map, each.is_young)
            found.append(Opinions(told[at], rows, fitted[at], quiet.fitted))
        return tuple(found)

    def _bend(self, given: Features, fitted: Floats) -> None:
        """Move what the full expert says by what trees see more, and put it in order."""
        row = self.names.index(Expert.FULL)
        for beside, is_near in self._trees:
            beside.move(given.values, given.reach if is_near else given.hazard, fitted, row)
        self._pass.order(fitted, row)

    def rarity(self, quiet: Quiet) -> float:
        """Give how much rarer shocks are here than where it was fitted, as what that adds to log-odds in quiet.

        Formula: ``log(((p T + shocks) / (T + hours)) / r)``, the mean of a Gamma prior of T market-hours at the rate p
        over the rate r of what was fitted on.
        """
        document = self.document
        expected = document.prior_shocks_per_h * document.prior_h + quiet.shocks
        ratio = expected / ((document.prior_h + quiet.hours) * document.shocks_per_h)
        return min(max(log(ratio), -SHIFT_MAX), SHIFT_MAX)

    def shift(self, quiet: Quiet) -> float:
        """Give what rarity adds to log-odds at this moment: less the farther price has gone, none in a shock."""
        return quiet.share * self.rarity(quiet)

    def weights(self, given: Mapping[str, float] | None = None) -> dict[Expert, float]:
        """Weights by expert: ``given`` (missing ones are 0), or those of the document; they need not sum to 1."""
        source = self.document.weights if given is None else given
        return {name: max(float(source.get(name, 0.0)), 0.0) for name in self.names}


def mixed(estimates: Mapping[Expert, Estimates], weights: Mapping[Expert, float]) -> Estimates | None:
    """Mean of probabilities by weight (the linear pool), which keeps their order; ``None`` where nobody has weight."""
    chosen = [
        (weights.get(name, 0.0), each) for name, each in estimates.items() if weights.get(name, 0.0) > 0.0
    ]
    total = sum(weight for weight, _ in chosen)
    if not total > 0.0:
        return None
    return Estimates(
        reach=np.sum([weight / total * each.reach for weight, each in chosen], axis=0),
        hazard=np.sum([weight / total * each.hazard for weight, each in chosen], axis=0),
        vulnerability=sum(weight / total * each.vulnerability for weight, each in chosen),
        shock=sum(weight / total * each.shock for weight, each in chosen),
    )


def reach_forecast(estimates: Estimates, cascade: CascadeResult) -> ReachForecast:
    """Tell a reach: its distribution as calibrated, its factors from the structure."""
    reach = estimates.reach.tolist()
    return cascade.told(
        _REACHING.quantiles(reach), tuple([reach[at] for at in _MOVES_IN_REACH]), _REACHING.mean(reach)
    )


def hazard_forecast(direction: Direction, estimates: Estimates) -> HazardForecast:
    """Tell a hazard."""
    hazard = estimates.hazard.tolist()
    return HazardForecast(
        direction=direction,
        probability=tuple([tuple(hazard[at]) for at in _HORIZONS_TOLD]),
        vulnerability=estimates.vulnerability,
        shock=estimates.shock,
    )


def fitted_forecast(direction: Direction, said: Opinions) -> FittedForecast | None:
    """Tell what the one that sees most says before life is weighed; ``None`` where nobody reads prices."""
    row = said.rows.get(Expert.FULL, said.rows.get(Expert.FLOW))
    if row is None:
        return None
    cells = said.fitted[row].tolist()
    return FittedForecast(
        direction=direction,
        weight=said.weight,
        reach=tuple([cells[at] for at in _MOVES_IN_REACH]),
        hazard=tuple([tuple(cells[first : first + len(MOVES)]) for first in _FIRST_TOLD]),
        vulnerability=cells[-2],
        shock=cells[-1],
    )


def blend() -> Blend:
    """What averages rows of ``Opinions.told`` into what messages tell."""
    return Blend(
        _REACHING, _MOVES_IN_REACH, _HAZARDS_TOLD, CELLS - 2, CELLS - 1, horizon=HORIZONS_S.index(900)
    )


def _estimates(row: Floats) -> Estimates:
    return Estimates(
        reach=row[:_REACH],
        hazard=row[_REACH : _REACH + _HAZARD].reshape(len(HAZARD_HORIZONS_S), len(MOVES)),
        vulnerability=float(row[-2]),
        shock=float(row[-1]),
    )


def _kinds(document: Outlook) -> KindPool:
    """What cells are in life beside what they are fitted to be (decision 0265).

    Reach and vulnerability are what they are in life, whatever is seen; hazards of a quiet market are as much below the
    fit as they are on the mean, but for how rare shocks are, which is counted; once a shock is under way, as the reach
    of what the move lacks.
    """
    rare = log(LIFE_SHOCKS_PER_H / document.shocks_per_h)
    quiet = [
        _odds(life) - _odds(fitted) - rare
        for life, fitted in zip(
            (*LIFE_HAZARD, LIFE_SHOCK), (*document.calm_hazard, document.calm_shock), strict=True
        )
    ]
    lower = [_odds(life) - _odds(fitted) for life, fitted in zip(LIFE_REACH, FITTED_REACH, strict=True)]
    onward = [float(np.interp(log(move - ONSET_MOVE), _LOG_DISTANCES, lower)) for move in MOVES]
    follows = (-1.0,) * _HAZARD
    return KindPool(
        (*LIFE_REACH, *follows, LIFE_REACH[VULNERABLE_AT], -1.0),
        (*(0.0,) * _REACH, *quiet[:-1], 0.0, quiet[-1]),
        (*(0.0,) * _REACH, *onward * len(HAZARD_HORIZONS_S), 0.0, 0.0),
        _SHARES,
        _BLOCKS,
        _FORCED,
    )


def _beside(forest: Forest) -> tuple[Beside, bool]:
    """Take trees; and whether their graded features are those of the reach.

    ArtefactInvalidError where they are no whole ones, or not for cells and features of this program.
    """
    if forest.head not in _FIRST:
        raise ArtefactInvalidError("trees", f"there is no head named {forest.head}")
    first, cells = _FIRST[forest.head]
    if not (0 <= forest.asked < cells and 0 <= forest.moved[0] <= forest.moved[1] <= cells):
        raise ArtefactInvalidError("trees", f"the {forest.head} has {cells} cells")
    missing = [name for name in forest.features if name not in NAMES]
    missing += [name for name in forest.graded if name not in GRADED]
    if missing:
        raise ArtefactInvalidError("trees", f"this program has no feature named {', '.join(missing)}")
    graded_row = _GRADED_ROWS[first + forest.asked]
    is_near = graded_row < _REACH
    try:
        trees = Trees(
            forest.bias, forest.depth, forest.columns, forest.cuts, forest.unknown_left, forest.leaves
        )
        beside = Beside(
            trees,
            forest.share,
            [NAMES.index(name) for name in forest.features],
            [GRADED.index(name) for name in forest.graded],
            graded_row if is_near else graded_row - _REACH,
            first + forest.moved[0],
            first + forest.moved[1],
            first + forest.asked,
        )
    except ValueError as error:
        raise ArtefactInvalidError("trees", str(error)) from error
    return beside, is_near


def _odds(probability: float) -> float:
    return log(probability / (1.0 - probability))


@lru_cache(maxsize=64)
def _speaking(names: tuple[Expert, ...], has_map: bool, is_young: bool) -> Mapping[Expert, int]:
    """Rows of those that say something."""
    return {
        name: row
        for row, name in enumerate(names)
        if not ((name is Expert.FULL and not has_map) or (name in _OF_FLOW and is_young))
    }


def _heads(heads: Heads) -> tuple[Head, ...]:
    return heads.reach, heads.hazard, heads.vulnerability, heads.shock


def columns(features: Sequence[Feature]) -> list[str]:
    """Names of what weights are laid on: features, then hinges feature by feature, the k-th as ``name>k``."""
    return [each.name for each in features] + [
        f"{each.name}>{at}" for each in features for at in range(len(each.hinges))
    ]


def _rows(
    head: Head, named: Mapping[str, tuple[float, ...]], features: Sequence[Feature]
) -> list[tuple[float, ...]]:
    known = columns(features)
    for name, numbers in named.items():
        if name not in known:
            raise ArtefactInvalidError(f"weights.{name}", "there is no such feature")
        if len(numbers) != len(head.intercept):
            raise ArtefactInvalidError(f"weights.{name}", f"not {len(head.intercept)} numbers")
    nothing = (0.0,) * len(head.intercept)
    return list(zip(*(named.get(name, nothing) for name in known), strict=True))


def _check(document: Outlook) -> None:
    check_format({"format": document.format})
    for where, found, wanted in (
        ("reach_distances", document.reach_distances, REACH_DISTANCES),
        ("horizons_s", document.horizons_s, HAZARD_HORIZONS_S),
        ("moves", document.moves, MOVES),
    ):
        if tuple(found) != tuple(wanted):
            raise ArtefactInvalidError(
                where, "not those of this program: fit anew (python -m benchmarks.fit_outlook)"
            )
    if not (document.shocks_per_h > 0.0 and document.prior_shocks_per_h > 0.0 and document.prior_h > 0.0):
        raise ArtefactInvalidError("shocks_per_h", "rates and the weight of one have to be above 0")
    missing = [each.name for each in document.features if each.name not in NAMES]
    missing += [each.name for each in document.graded if each.name not in GRADED]
    if missing:
        raise ArtefactInvalidError("features", f"this program has none named {', '.join(missing)}")
    unknown = sorted(set(document.experts) - set(Expert))
    if unknown or not document.experts:
        raise ArtefactInvalidError("experts", f"there is no expert named {', '.join(unknown) or 'at all'}")
    for name, heads in document.experts.items():
        for head, cells in zip(_heads(heads), (_REACH, _HAZARD, 1, 1), strict=True):
            if len(head.intercept) != cells:
                raise ArtefactInvalidError(
                    f"experts.{name}", f"{len(head.intercept)} cells where {cells} belong"
                )


VULNERABLE_AT = REACH_DISTANCES.index(0.05)
"""Graded features of the vulnerability are those of this distance."""
SHOCK_AT = HAZARD_HORIZONS_S.index(900) * len(MOVES)
"""Those of the shock are of 15 minutes and the least move."""
_GRADED_ROWS = (*range(_REACH + _HAZARD), VULNERABLE_AT, _REACH + SHOCK_AT)
"""Of ``Features.reach`` and then ``Features.hazard``: which is meant for each of ``CELLS``."""
_FIRST = {
    "reach": (0, _REACH),
    "hazard": (_REACH, _HAZARD),
    "vulnerability": (CELLS - 2, 1),
    "shock": (CELLS - 1, 1),
}
"""Where the cells of each head begin, and how many they are."""
_SHARES = (0.0,) * _REACH + (1.0,) * _HAZARD + (0.0, 1.0)
"""How much of what rarity adds each of ``CELLS`` takes: hazards and shock all of it."""
_FORCED = (
    (CELLS - 1, _REACH + HAZARD_HORIZONS_S.index(900) * len(MOVES) + MOVES.index(0.05)),
    (CELLS - 1, _REACH + HAZARD_HORIZONS_S.index(300) * len(MOVES)),
)
"""A fall of 5 % in 15 minutes has five in which it fell by a third of it: a shock. So has one of 2 % in five."""
_BLOCKS = ((1, _REACH), (len(HAZARD_HORIZONS_S), len(MOVES)), (1, 1), (1, 1))
"""Rows and columns that are put in order, of all ``CELLS``."""
_LOG_DISTANCES = np.log(np.array(REACH_DISTANCES))
_REACHING = Reaching(REACH_DISTANCES, QUANTILES)
_MOVES_IN_REACH = tuple(REACH_DISTANCES.index(move) for move in MOVES)
_HORIZONS_TOLD = tuple(HAZARD_HORIZONS_S.index(horizon) for horizon in HORIZONS_S)
_HAZARDS_TOLD = tuple(
    tuple(_REACH + at * len(MOVES) + move for move in range(len(MOVES))) for at in _HORIZONS_TOLD
)
_FIRST_TOLD = tuple(_REACH + at * len(MOVES) for at in _HORIZONS_TOLD)
