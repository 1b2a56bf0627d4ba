"""The columns of a series that tell a market's outlook, and an outlook as what stands in them."""

from __future__ import annotations

from collections.abc import Iterator

from guard.columns import Column, Kind
from guard.forecasts import (
    HORIZONS_S,
    INTERVAL,
    MOVES,
    QUANTILES,
    Amount,
    Band,
    Direction,
    FittedForecast,
    HazardForecast,
    MapForecast,
    MarketOutlook,
    ReachForecast,
    SizingForecast,
)

Cell = float | int | str | None

BANDS = 3
"""The largest of each direction, the largest first."""

_HAZARD = ("usual", "oi_depth", "flow", "full", "settled", "published")

TARGETS = {
    "map": ("none", "learned"),
    "reach": ("usual", "oi_depth", "flow", "full", "published"),
    "hazard 5 min": _HAZARD,
    "hazard 15 min": _HAZARD,
    "hazard 60 min": _HAZARD,
}
"""What is forecast, and by which estimators, as ``SkillScore`` names them; ``published`` is what is told in the end."""

SIGNALS = (
    "failed_rebounds_down",
    "failed_rebounds_up",
    "volatility_jump",
    "jump_share",
    "vacuum",
    "absorption",
    "open_interest_change_5m",
    "spread_ratio",
    "round_trip_ratio",
    "mark_basis",
    "spot_basis",
    "funding_z",
    "funding_z_venues",
    "venue_divergence",
    "venue_gap",
    "leader_move",
    "comovement",
    "peg_deviation",
    "outside_prior",
)
"""Observables that have columns, as ``SignalValue`` names them."""

_MOVE_NAMES = tuple(f"{move * 100.0:g}pct" for move in MOVES)
_HORIZON_NAMES = tuple(f"{seconds // 60}min" for seconds in HORIZONS_S)
_SIDES = {Direction.DOWN: ("fall", "falls", "longs"), Direction.UP: ("rise", "rises", "shorts")}


def _number(name: str, meaning: str) -> Column:
    return Column(name, Kind.NUMBER, meaning)


def _map_columns(direction: Direction) -> Iterator[Column]:
    _, falls, whose = _SIDES[direction]
    for move, name in zip(MOVES, _MOVE_NAMES, strict=True):
        told = f"of others' {whose} that is liquidated if the mark {falls} by {move:.0%}"
        yield _number(f"{direction}_map_usd_{name}", f"estimated notional {told}, USD")
        yield _number(
            f"{direction}_map_usd_{name}_low",
            f"lower end of the interval that should hold it in {INTERVAL:.0%}",
        )
        yield _number(f"{direction}_map_usd_{name}_high", "upper end of that interval")
    yield _number(
        f"{direction}_map_exact_share", "share of what is within 10 % that rests on published positions, 0..1"
    )
    yield _number(f"{direction}_map_learned_usd", "liquidations that the map has learned from, aged, USD")
    for number in range(1, BANDS + 1):
        at = f"{direction}_band{number}"
        which = {1: "largest", 2: "second", 3: "third"}[number]
        yield _number(
            f"{at}_near", f"{which} band of {whose}: its near edge, a fraction of the mark, positive"
        )
        yield _number(f"{at}_far", "its far edge")
        yield _number(f"{at}_usd", "estimated notional liquidated within it, USD")
        yield _number(f"{at}_usd_low", f"lower end of the interval that should hold it in {INTERVAL:.0%}")
        yield _number(f"{at}_usd_high", "upper end of that interval")


def _reach_columns(direction: Direction) -> Iterator[Column]:
    fall, falls, whose = _SIDES[direction]
    for level in QUANTILES:
        yield _number(
            f"{direction}_reach_q{level * 100.0:02.0f}",
            f"how far price {falls} within 30 min if a shock is under way, {level:.0%} quantile, a fraction",
        )
    for move, name in zip(MOVES, _MOVE_NAMES, strict=True):
        yield _number(
            f"{direction}_reach_p_{name}", f"probability that it {falls} by {move:.0%} or more then"
        )
    yield _number(f"{direction}_reach_expected", "mean of that distance, a fraction")
    for move, name in zip(MOVES, _MOVE_NAMES, strict=True):
        way = "sold" if direction is Direction.DOWN else "bought"
        yield _number(
            f"{direction}_barrier_usd_{name}",
            f"what others than the liquidated must have {way} until price is {move:.0%} away (Qc), USD; "
            "null without a map",
        )
    yield _number(
        f"{direction}_reproduction",
        "greatest local reproduction number R up to 10 %; above 1 it feeds itself; null without a map",
    )
    yield _number(
        f"{direction}_reproduction_at", f"the distance where that is; null: no {whose} are forced, or no map"
    )
    yield _number(
        f"{direction}_liquidity_factor", "normal depth over what is expected to be left on the way, 1 or more"
    )
    yield _number(
        f"{direction}_forced_factor",
        "1 + forced orders up to 5 % over the depth that stands there; null without a map",
    )
    yield _number(
        f"{direction}_feedback_factor",
        f"how much farther a normal shock {falls} price because of them, 1 or more; null without a map",
    )
    yield _number(
        f"{direction}_shock_flow_usd",
        f"net flow into the {fall} that was counted with, USD of the last minutes",
    )
    yield _number(
        f"{direction}_extrapolated_from",
        "distance from which on depth was extrapolated; null: all seen to 10 %",
    )


def _hazard_columns(direction: Direction) -> Iterator[Column]:
    fall, *_ = _SIDES[direction]
    for seconds, within in zip(HORIZONS_S, _HORIZON_NAMES, strict=True):
        for move, name in zip(MOVES, _MOVE_NAMES, strict=True):
            yield _number(
                f"{direction}_hazard_{name}_{within}",
                f"probability of a {fall} of {move:.0%} or more within {seconds // 60} minutes",
            )
    yield _number(
        f"{direction}_vulnerability",
        f"probability that a shock of 1.5 %, were it to come now, becomes a {fall} of 5 %",
    )
    yield _number(
        f"{direction}_shock", f"probability that one (a {fall} of 1.5 % in 5 min) comes within 15 minutes"
    )


def _sizing_columns(direction: Direction) -> Iterator[Column]:
    fall, _, whose = _SIDES[direction]
    yield _number(
        f"{direction}_sizing_danger",
        f"chance of a {fall} of 10 % within 15 minutes as in markets in which shocks go on, its odds moved by a root "
        "of open interest over depth: it compares markets and moments, and is no probability of life",
    )
    yield _number(f"{direction}_sizing_usual", "what that is on the mean in the markets that are watched")
    yield _number(
        f"{direction}_sizing_leverage_share",
        f"how much of their usual leverage {whose} should hold, 0.2 .. 2",
    )


def _fitted_columns(direction: Direction) -> Iterator[Column]:
    fall, *_ = _SIDES[direction]
    where = "in a market whose shocks go on, as in most that were fitted on"
    yield _number(
        f"{direction}_fitted_weight", "how far such a market counts in what is told, 0..1; the rest is life"
    )
    for move, name in zip(MOVES, _MOVE_NAMES, strict=True):
        yield _number(
            f"{direction}_fitted_reach_p_{name}",
            f"probability of a {fall} of {move:.0%} or more within 30 min if a shock is under way, {where}",
        )
    for seconds, within in zip(HORIZONS_S, _HORIZON_NAMES, strict=True):
        for move, name in zip(MOVES, _MOVE_NAMES, strict=True):
            yield _number(
                f"{direction}_fitted_hazard_{name}_{within}",
                f"probability of a {fall} of {move:.0%} or more within {seconds // 60} minutes, {where}",
            )
    yield _number(f"{direction}_fitted_vulnerability", f"the vulnerability {where}")
    yield _number(f"{direction}_fitted_shock", f"the probability of a shock within 15 minutes {where}")


def _skill_columns() -> Iterator[Column]:
    for target, estimators in TARGETS.items():
        for estimator in estimators:
            name = f"{target.replace(' ', '_')}_{estimator}"
            yield _number(f"weight_{name}", f"what `{estimator}` counts for {target} now, 0..1")
            yield _number(
                f"skill_{name}", "1 - its loss over the baseline's so far; null: not enough has come due"
            )


COLUMNS = (
    Column(
        "outlook_at", Kind.INTEGER, "when what follows was estimated, Unix ns; null: not yet, or turned off"
    ),
    Column("regime", Kind.NAME, "normal, watch, stressed, cascade or recovery; null: not known"),
    Column("regime_reasons", Kind.NAME, "what holds it there, worst first; empty: it is only left slowly"),
    _number("resume_share", "how much of what was cut may be resumed in it, 0..1"),
    Column(
        "outlook_unknown",
        Kind.NAME,
        "what was not known then, so that what rests on it is null; empty: nothing",
    ),
    _number(
        "oi_depth_ratio",
        "open interest over bids and asks within 1 % of mid, both USD: the one-line baseline",
    ),
    *(column for each in Direction for column in _map_columns(each)),
    *(column for each in Direction for column in _reach_columns(each)),
    *(column for each in Direction for column in _hazard_columns(each)),
    *(column for each in Direction for column in _fitted_columns(each)),
    *(column for each in Direction for column in _sizing_columns(each)),
    *(
        _number(f"signal_{name}", f"the observable `{name}`, in its unit ([signals](signals.md))")
        for name in SIGNALS
    ),
    *_skill_columns(),
)


def cells_of(outlook: MarketOutlook | None) -> tuple[Cell, ...]:
    """What stands in ``COLUMNS``; all null without an outlook."""
    if outlook is None:
        return _NOTHING
    signals = {each.name: each.value for each in outlook.signals}
    skill = {(each.target, each.estimator): each for each in outlook.skill}
    cells: list[Cell] = [
        outlook.at,
        None if outlook.regime is None else outlook.regime.value,
        ", ".join(outlook.regime_reasons),
        outlook.resume_share,
        ", ".join(outlook.unknown),
        outlook.oi_depth_ratio,
    ]
    for direction in Direction:
        cells += _map_cells(outlook.map(direction))
    for direction in Direction:
        cells += _reach_cells(outlook.reach(direction))
    for direction in Direction:
        cells += _hazard_cells(outlook.hazard(direction))
    for direction in Direction:
        cells += _fitted_cells(outlook.as_fitted(direction))
    for direction in Direction:
        cells += _sizing_cells(outlook.sizing(direction))
    cells += [signals.get(name) for name in SIGNALS]
    for target, estimators in TARGETS.items():
        for estimator in estimators:
            score = skill.get((target, estimator))
            cells += [None, None] if score is None else [score.weight, score.skill]
    return tuple(cells)


_NOTHING: tuple[Cell, ...] = (None,) * len(COLUMNS)


def _map_cells(told: MapForecast | None) -> list[Cell]:
    if told is None:
        return [None] * (3 * len(MOVES) + 2 + 5 * BANDS)
    largest = sorted(told.bands, key=_band_order)[:BANDS]
    cells: list[Cell] = [cell for amount in told.within for cell in _amount(amount)]
    cells += [told.exact_share, told.learned_usd]
    for number in range(BANDS):
        band = largest[number] if number < len(largest) else None
        cells += [None] * 5 if band is None else [band.near, band.far, *_amount(band.mass)]
    return cells


def _band_order(band: Band) -> tuple[float, float]:
    return -band.mass.usd, band.near


def _amount(amount: Amount) -> tuple[float, float, float]:
    return amount.usd, amount.low_usd, amount.high_usd


def _reach_cells(told: ReachForecast | None) -> list[Cell]:
    if told is None:
        return [None] * (len(QUANTILES) + 2 * len(MOVES) + 8)
    return [
        *told.quantiles,
        *told.probability,
        told.expected,
        *(told.barrier_usd or (None,) * len(MOVES)),
        told.reproduction,
        told.reproduction_at,
        told.liquidity_factor,
        told.forced_factor,
        told.feedback_factor,
        told.flow_usd,
        told.extrapolated_from,
    ]


def _hazard_cells(told: HazardForecast | None) -> list[Cell]:
    if told is None:
        return [None] * (len(HORIZONS_S) * len(MOVES) + 2)
    return [
        *(probability for row in told.probability for probability in row),
        told.vulnerability,
        told.shock,
    ]


def _sizing_cells(told: SizingForecast | None) -> list[Cell]:
    return [None] * 3 if told is None else [told.danger, told.usual, told.leverage_share]


def _fitted_cells(told: FittedForecast | None) -> list[Cell]:
    if told is None:
        return [None] * (len(MOVES) * (1 + len(HORIZONS_S)) + 3)
    return [
        told.weight,
        *told.reach,
        *(probability for row in told.hazard for probability in row),
        told.vulnerability,
        told.shock,
    ]
