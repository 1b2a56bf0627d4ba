"""How dangerous it is to hold leverage in a market now, and how much of one's usual leverage it bears. Pure.

The danger is the chance that price goes 10 % against a position within 15 minutes, as in markets in which shocks go on:
how rare they are where one lives is left out. Rarity is common to all markets and moments, so it says nothing of where
and when leverage is dear; while markets are quiet it is also so large that it hides what differs between them. A root
of open interest over depth is set beside it, for worlds that are unlike those of the fit (decision 0264).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log

from msgspec import Struct

from guard.calibration.cells import LOGIT_MAX
from guard.forecasts import MOVES, Direction, SizingForecast
from guard.hazard.experts import Opinions
from guard.hazard.features import HAZARD_HORIZONS_S, REACH_DISTANCES
from guard.units import NS_PER_S, MarketId, Nanoseconds

WITHIN_S = 900
"""A position that cannot be changed at once (a locked venue, a slow bot) has to bear what comes within it."""
AGAINST = 0.10
"""What ends a position of nearly 10x."""

CELL = len(REACH_DISTANCES) + HAZARD_HORIZONS_S.index(WITHIN_S) * len(MOVES) + MOVES.index(AGAINST)
"""Of a row of ``Opinions``."""

POWER = 2.0
"""Chosen of 0.5, 1 and 2 on training episodes, as for every rule of the decision test; 1.5 and 3 do as well.

Where a move of x has a chance of ``c x ** -a``, the leverage with the best ``gain x leverage - chance of the end`` goes
with ``c ** (-1 / (a - 1))``; in training episodes a is between 1.3 and 2.5.
"""
DANGER_USUAL = 0.014
"""At which a market bears one's usual leverage, until a guard knows what is usual where it is.

With it, at 0.018 of the former fit, training episodes were held at 5x of 1x..10x on the mean; the fit of decision 0272
tells 0.77 of the former dangers there. On recorded books of four small perpetuals of one venue
(Hyperliquid, 15 June 2026) it was 0.06 in calm hours: what is usual has to be learned.
"""
RATIO_POWER = 0.25
"""Open interest over depth moves the odds of danger by this power, and so leverage by its root.

More of it orders markets of a stranger's worlds better and those of validation worse; as a new guard tells it, which
does not know yet what is usual, it also costs where the ratio is far from that of the fit.
"""
RATIO_USUAL = 20.0
"""Open interest over depth at which odds stay as they are fitted: with it validation is held at 5.1x of 1x..10x."""
_RATIO_LEAST, _RATIO_MOST = 1e-3, 1e6
USUAL_PRIOR_H = 72.0
"""``DANGER_USUAL`` counts like so many market-hours."""
HALF_LIFE_S = 7 * 86_400.0
EVERY_S, GAP_MAX_S = 30.0, 60.0
_LEAST = 1e-12
SHARE_MIN, SHARE_MAX = 0.2, 2.0


def danger(said: Opinions, shares: Mapping[str, float]) -> float | None:
    """Give the chance of ``AGAINST`` within ``WITHIN_S`` where shocks go on; ``None`` where nobody counts.

    Formula: ``logit d = sum_e w_e logit p_e / sum_e w_e`` over the experts that speak, p as fitted, w their weights
    (``shares``, by name). Odds are averaged, not chances, for the least danger to be as well told as the greatest: a
    mean of chances is never below what the least informed of them says.

    Assumes:
        Markets differ in danger as those that experts were fitted on do, and leverage is scaled to what is usual for
        its holder.

    Fails:
        As a probability: in life such moves are far rarer. ``HazardForecast`` is what is likely, this is what compares.
    """
    odds = total = 0.0
    for name, row in said.rows.items():
        share = shares.get(name, 0.0)
        if share > 0.0:
            chance = said.fitted.item(row, CELL)
            odds += share * log(max(chance, _LEAST) / max(1.0 - chance, _LEAST))
            total += share
    if not total > 0.0:
        return None
    return 1.0 / (1.0 + exp(-min(max(odds / total, -LOGIT_MAX), LOGIT_MAX)))


def beside_ratio(found: float, ratio: float | None) -> float:
    """Set open interest over depth beside a danger; one that is not known changes nothing.

    Formula: ``odds(d') = odds(d) (ratio / RATIO_USUAL) ** RATIO_POWER``.

    Assumes:
        What is fitted and the one-line rule err in different worlds.

    Fails:
        Where positions are hedged, or a venue counts its open interest as others do not: until what is usual is
        learned, its markets are all told too much danger, or too little.

    >>> beside_ratio(0.014, None), round(beside_ratio(0.014, 20.0), 4), round(beside_ratio(0.014, 320.0), 4)
    (0.014, 0.014, 0.0276)
    """
    if ratio is None:
        return found
    known = min(max(ratio, _RATIO_LEAST), _RATIO_MOST)
    odds = log(found / (1.0 - found)) + RATIO_POWER * log(known / RATIO_USUAL)
    return 1.0 / (1.0 + exp(-min(max(odds, -LOGIT_MAX), LOGIT_MAX)))


def leverage_share(found: float, usual: float = DANGER_USUAL, fitted: float | None = None) -> float:
    """Give how much of one's usual leverage a market of this danger bears, ``SHARE_MIN`` .. ``SHARE_MAX``.

    ``(usual / danger) ** POWER``; more than 1 only as far as it were so at ``DANGER_USUAL`` too, by what is ``fitted``
    alone (where it is not given: by ``found``): where a crisis has become usual, what is less dangerous than it is not
    safe. ValueError for what is no chance.

    >>> leverage_share(DANGER_USUAL), round(leverage_share(0.028), 4), leverage_share(0.5), leverage_share(1e-4)
    (1.0, 0.25, 0.2, 2.0)
    >>> leverage_share(0.05, usual=0.2)
    1.0
    """
    alone = found if fitted is None else fitted
    if not (0.0 < found <= 1.0 and 0.0 < alone <= 1.0 and usual > 0.0):
        raise ValueError(f"a danger is a chance above 0, not {found!r} (usual: {usual!r})")
    borne: float = (usual / found) ** POWER
    most: float = max((DANGER_USUAL / alone) ** POWER, 1.0)
    return min(max(min(borne, most), SHARE_MIN), SHARE_MAX)


def sizing_forecast(
    direction: Direction,
    said: Opinions,
    shares: Mapping[str, float],
    usual: float = DANGER_USUAL,
    ratio: float | None = None,
) -> SizingForecast | None:
    """Tell it, with open interest over depth (``ratio``) beside it; ``None`` where nobody counts."""
    fitted = danger(said, shares)
    if fitted is None:
        return None
    found = beside_ratio(fitted, ratio)
    return SizingForecast(
        direction=direction, danger=found, usual=usual, leverage_share=leverage_share(found, usual, fitted)
    )


class UsualState(Struct, frozen=True, kw_only=True):
    """What was learned: ``hours`` of markets, and the mean of log danger in them."""

    at: Nanoseconds
    hours: float
    log_danger: float


@dataclass(slots=True)
class UsualDanger:
    """What danger is usual in the markets that are watched, all of them together: some are worse than others.

    Formula: ``exp((T log d0 + sum h log d) / (T + sum h))`` over market-hours h, which halve in a week, with d0
    ``DANGER_USUAL`` and T ``USUAL_PRIOR_H``. Gaps count as ``GAP_MAX_S`` at most.

    Fails: where nothing but crashes was seen, they are usual; a market that is less dangerous than they are is then
    told to bear one's usual leverage, and no more.

    >>> usual = UsualDanger()
    >>> for at in range(0, 72 * 3600, 60):
    ...     usual.learn(MarketId("a:B"), at * NS_PER_S, [0.072])
    >>> round(usual.value, 4)
    0.0299
    """

    hours: float = 0.0
    _log_sum: float = 0.0
    _at: Nanoseconds = 0
    _heard_at: dict[MarketId, Nanoseconds] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """As of what was learned last."""
        return exp((USUAL_PRIOR_H * log(DANGER_USUAL) + self._log_sum) / (USUAL_PRIOR_H + self.hours))

    def learn(self, market: MarketId, at: Nanoseconds, dangers: Sequence[float]) -> None:
        """Take what was told of a market, each half minute; of its directions the mean counts."""
        before = self._heard_at.get(market)
        if before is None or not dangers:
            self._heard_at[market] = at
            return
        elapsed_s = (at - before) / NS_PER_S
        if elapsed_s < EVERY_S:
            return
        self._heard_at[market] = at
        hours = min(elapsed_s, GAP_MAX_S) / 3600.0
        kept = 0.5 ** (max(at - self._at, 0) / NS_PER_S / HALF_LIFE_S)
        self._at = max(at, self._at)
        self.hours = kept * self.hours + hours
        self._log_sum = kept * self._log_sum + hours * sum(map(log, dangers)) / len(dangers)

    def forget(self, market: MarketId) -> None:
        """The market is watched no more; what was learned from it stays."""
        self._heard_at.pop(market, None)

    def state(self) -> UsualState:
        """All that it learned."""
        mean = self._log_sum / self.hours if self.hours > 0.0 else log(DANGER_USUAL)
        return UsualState(at=self._at, hours=self.hours, log_danger=mean)

    def restore(self, state: UsualState) -> None:
        """Go on from a former state."""
        self._at, self.hours, self._log_sum = state.at, state.hours, state.hours * state.log_danger
