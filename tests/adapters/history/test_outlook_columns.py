"""What a series tells of an outlook."""

from __future__ import annotations

from adapters.history.outlook_columns import COLUMNS, SIGNALS, TARGETS, cells_of
from guard.forecasts import MarketOutlook
from guard.signals.outside import SCALES
from guard.signals.signals import Signals
from guard.skill.gate import PRIORS
from tests.support.market import MARKET
from tests.support.outlooks import outlook_of, without_map

NAMES = [column.name for column in COLUMNS]


def test_every_name_is_there_once() -> None:
    assert len(NAMES) == len(set(NAMES))


def test_everything_known_is_told_in_its_column() -> None:
    row = dict(zip(NAMES, cells_of(outlook_of(at=7)), strict=True))
    assert (row["outlook_at"], row["regime"], row["outlook_unknown"]) == (7, "watch", "")
    assert (row["down_map_usd_5pct"], row["up_map_usd_10pct_high"]) == (9e6, 6e7)
    assert [row[f"down_band{number}_usd"] for number in (1, 2, 3)] == [1.2e7, 4e6, 2e6], "the largest first"
    assert (row["up_band1_near"], row["up_band1_usd_low"]) == (0.05, 6e6)
    assert (row["down_reach_q05"], row["down_reach_q50"], row["down_reach_p_5pct"]) == (0.005, 0.04, 0.40)
    assert (row["down_barrier_usd_2pct"], row["down_extrapolated_from"]) == (1e6, 0.03)
    assert (row["up_hazard_2pct_60min"], row["up_hazard_10pct_5min"]) == (0.03, 0.01 / 3)
    assert (row["down_vulnerability"], row["down_shock"]) == (0.3, 0.02)
    assert (row["up_fitted_weight"], row["down_fitted_reach_p_5pct"]) == (0.25, 0.7)
    assert (row["up_fitted_hazard_2pct_60min"], row["down_fitted_hazard_10pct_5min"]) == (0.06, 0.02 / 3)
    assert (row["down_fitted_vulnerability"], row["up_fitted_shock"]) == (0.6, 0.1)
    assert (row["signal_volatility_jump"], row["signal_funding_z"]) == (3.5, None)
    assert (row["weight_hazard_15_min_full"], row["skill_hazard_15_min_full"]) == (0.6, 0.12)
    assert row["weight_map_learned"] is None


def test_what_is_not_known_is_null() -> None:
    row = dict(zip(NAMES, cells_of(MarketOutlook(at=7, market=MARKET, unknown=("book", "map"))), strict=True))
    assert {name for name, cell in row.items() if cell is not None} == {
        "outlook_at",
        "outlook_unknown",
        "regime_reasons",
    }
    assert row["outlook_unknown"] == "book, map"
    assert set(cells_of(None)) == {None}


def test_without_a_map_what_is_forced_is_null_and_the_distribution_is_not() -> None:
    row = dict(zip(NAMES, cells_of(without_map(outlook_of(at=7))), strict=True))
    unknown = ("barrier_usd_5pct", "reproduction", "reproduction_at", "forced_factor", "feedback_factor")
    assert [row[f"down_{name}"] for name in unknown] == [None] * 5
    assert (row["down_reach_q50"], row["down_liquidity_factor"], row["up_shock_flow_usd"]) == (0.04, 1.5, 3e5)


def test_the_estimators_that_are_weighed_have_columns() -> None:
    assert set(map(str, PRIORS)) == set(TARGETS)
    assert all(set(weights) <= set(TARGETS[target]) for target, weights in PRIORS.items())


def test_observables_have_columns_by_the_names_that_they_go_by() -> None:
    told = [value.name for value in Signals().values(MARKET, 0)]
    assert set(SIGNALS) <= set(told)
    assert set(told) - set(SIGNALS) <= {"own_round_trip", *(scale.name for scale in SCALES)}
