"""What a cut, or a cap before it, is told with: the facts with their units, and what would have had to be different."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guard.account.distance import Distance
from guard.account.time_to_liquidation import ACTIONS_MIN
from guard.events import Position
from guard.forecasts import Direction
from guard.market.book import Side
from guard.units import AccountId
from guard.unwinding.verdict import Verdict
from perpguard_sdk.messages import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The distances that a position needs, bps of mark.

    ``floor_bps`` is what the present book asks for: with ``exit_bps``, the cost of leaving, and ``shock_multiple``
    times ``shock_bps``, the reach of ``shock_usd``. ``reach_bps`` is the ``reach_quantile`` of the reach of a cascade,
    ``None`` where nobody tells it.
    """

    side: Side
    direction: Direction
    floor_bps: float
    exit_bps: float
    shock_bps: float
    shock_usd: float
    shock_multiple: float
    reach_bps: float | None
    reach_quantile: float
    extrapolated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A position that is nearer to its liquidation than it should be.

    ``wanted_bps`` is the distance it should have, ``until_bps`` the one up to which this stands, ``size`` the largest
    that has it, and a margin, ``equity_usd`` what stands behind it; ``chance`` that price goes beyond its liquidation
    within ``horizon_s``, which is a reason to cut from ``hazard_min`` on. ``is_cut`` says that the cut is asked for,
    and not a cap alone.
    """

    account: AccountId
    position: Position
    mark: float
    distance: Distance
    need: Need
    wanted_bps: float
    until_bps: float
    size: float
    equity_usd: float
    chance: float | None
    hazard_min: float
    horizon_s: float
    verdict: Verdict | None
    is_cut: bool
    depth_ratio: float | None


def evidence_of(case: Case) -> Iterator[Evidence]:
    """The facts, what matters most first."""
    need, distance, position = case.need, case.distance, case.position
    yield Evidence(name="distance to liquidation", value=distance.bps, unit="bps", limit=case.wanted_bps)
    yield Evidence(name="mark price", value=case.mark, unit="USD")
    yield Evidence(name=distance.name, value=distance.price, unit="USD")
    yield Evidence(name="position", value=position.size, unit="base units", limit=case.size)
    if case.equity_usd > 0.0:
        yield Evidence(
            name="leverage",
            value=abs(position.size) * case.mark / case.equity_usd,
            unit="x",
            limit=case.size * case.mark / case.equity_usd,
        )
    if need.reach_bps is not None:
        yield Evidence(
            name=f"reach of a cascade, {need.reach_quantile:.0%} of them", value=need.reach_bps, unit="bps"
        )
    yield Evidence(name="exit cost of the position", value=need.exit_bps, unit="bps")
    yield Evidence(name="reach of the shock", value=need.shock_bps, unit="bps")
    yield Evidence(name="shock", value=need.shock_usd, unit="USD")
    if case.depth_ratio is not None:
        yield Evidence(name=f"{need.side} depth over normal", value=case.depth_ratio, unit="ratio")
    if need.extrapolated:
        yield Evidence(name="book", value="extrapolated beyond its visible levels", unit="text")
    yield from _of_verdict(case)
    yield from _of_distance(case)


def _of_verdict(case: Case) -> Iterator[Evidence]:
    verdict = case.verdict
    if case.chance is not None:
        name = f"chance of liquidation within {case.horizon_s / 60.0:.0f} min"
        yield Evidence(name=name, value=100.0 * case.chance, unit="%", limit=100.0 * _chance_needed(case))
    if verdict is None:
        return
    yield Evidence(name="cost of the cut", value=verdict.cost_usd, unit="USD", limit=verdict.saving_usd)
    if verdict.saving_usd is not None:
        yield Evidence(name="expected saving of the cut", value=verdict.saving_usd, unit="USD")


def _of_distance(case: Case) -> Iterator[Evidence]:
    """What is told of a distance besides its length."""
    distance = case.distance
    if distance.seconds is not None and distance.action_s is not None:
        limit = ACTIONS_MIN * distance.action_s
        yield Evidence(
            name="time until then at stressed speed", value=distance.seconds, unit="s", limit=limit
        )
    for words in distance.guessed:
        yield Evidence(name="not known", value=words, unit="text")
    if distance.margin_usd is not None and distance.margin_usd > 0.0:
        yield Evidence(name="margin that would do instead", value=distance.margin_usd, unit="USD")


def _chance_needed(case: Case) -> float:
    return case.hazard_min if case.verdict is None else max(case.hazard_min, case.verdict.threshold)


def counterfactual_of(case: Case) -> str:
    """What would have had to be different; each of what is named would have been enough by itself."""
    need = case.need
    words = [f"the liquidation price {case.until_bps:.0f} bps or more from the mark price"]
    if case.is_cut and 0.0 < case.size < abs(case.position.size) and case.equity_usd > 0.0:
        words.append(f"a leverage of {case.size * case.mark / case.equity_usd:.2g}x or less")
    if case.distance.bps < need.floor_bps:
        short_bps = need.floor_bps - case.distance.bps
        is_only_near = case.wanted_bps <= need.floor_bps and case.is_cut
        if is_only_near and need.shock_multiple > 0.0 and short_bps <= need.shock_multiple * need.shock_bps:
            calm_bps = need.shock_bps - short_bps / need.shock_multiple
            words.append(f"a book in which the shock reached {calm_bps:.0f} bps or less")
        return f"would not {_done(case)} with {', or with '.join(words)}"
    if need.reach_bps is not None and case.distance.bps < need.reach_bps and case.is_cut:
        words.append(
            f"a reach of {case.distance.bps:.0f} bps or less in {need.reach_quantile:.0%} of cascades"
        )
    if case.chance is not None and case.is_cut:
        words.append(
            f"a chance of liquidation within {case.horizon_s / 60.0:.0f} minutes below {_chance_needed(case):.1%}"
        )
    return f"would not {_done(case)} with {', or with '.join(words)}"


def _done(case: Case) -> str:
    return "have been cut" if case.is_cut else "stand"
