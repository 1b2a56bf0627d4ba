"""Our solver, with each venue's rules, against prices that were not worked out by us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from math import inf

import pytest

from guard.leverage.margin_pool import LiquidationKind
from guard.leverage.solver import liquidation_of
from guard.units import MarketId
from tests.guard.liquidation import independent
from tests.guard.liquidation.books import WORKED_OUT, account_of
from tests.guard.liquidation.cases import Case, Label, load, mark_of, pool_of
from tests.guard.liquidation.conftest import ERRORS

CASES = load()
PAIRS = [(venue, case) for venue, cases in CASES.items() for case in cases]
ALL = [pytest.param(venue, case, id=f"{venue}-{case.id}") for venue, case in PAIRS]
BISECTED = [
    pytest.param(venue, case, id=f"{venue}-{case.id}")
    for venue, case in PAIRS
    if case.source.what == WORKED_OUT
]
second_opinion = cache(independent.first_failure)

ERROR_BPS_MAX = 2.0
ARITHMETIC = 5e-7
"""What is forgiven besides a source's last digit, as a share of price: its own arithmetic on the way there."""
VENUES = ("binanceusdm", "binancecoinm", "bybit", "okx", "hyperliquid")


@pytest.mark.parametrize(("venue", "case"), ALL)
def test_liquidation_price_is_the_source_s(
    venue: str, case: Case, record_property: Callable[[str, object], None]
) -> None:
    """Each expected price is found, to what the source rounds."""
    pool = pool_of(venue, case)
    assert case.expected
    for expected in case.expected:
        found = liquidation_of(pool, MarketId(expected.market))
        if expected.price is None:
            assert found.kind is LiquidationKind.CANNOT
            assert found.price is None
            continue
        assert found.kind is LiquidationKind.PRICE, f"{found} instead of {expected.price}"
        assert found.price is not None
        error = abs(found.price - float(expected.price))
        record_property(ERRORS, (venue, case.label.value, error / float(expected.price) * 1e4))
        assert error <= float(case.rounding) + ARITHMETIC * float(expected.price), (
            f"{found.price} for {expected.price}"
        )


@pytest.mark.parametrize(("venue", "case"), BISECTED)
def test_independent_price_of_a_file_is_what_the_second_opinion_finds(venue: str, case: Case) -> None:
    """The stored prices are those of ``independent.py``, so that nobody can write ours in their place."""
    account = account_of(venue, case)
    for expected in case.expected:
        below, above = second_opinion(account, expected.market)
        mark = Fraction(mark_of(case, expected.market))
        found = min(
            (price for price in (below, above) if price is not None), key=lambda price: abs(price - mark)
        )
        assert expected.price is not None
        assert abs(float(found) / float(expected.price) - 1.0) < 1e-10


@pytest.mark.parametrize(("venue", "case"), ALL)
def test_second_opinion_agrees_with_every_source(venue: str, case: Case) -> None:
    """A documented price that the second opinion does not find was read wrongly, or the rule was."""
    account = account_of(venue, case)
    for expected in case.expected:
        found = second_opinion(account, expected.market)
        if expected.price is None:
            assert found == (None, None)
        else:
            nearest = min(abs(float(price) - float(expected.price)) for price in found if price is not None)
            assert nearest <= float(case.rounding) + ARITHMETIC * float(expected.price), (
                f"{found} for {expected.price}"
            )


def test_liquidation_cases_that_count_are_enough() -> None:
    """At least 60 over the five venues are documented or independent, and each says where it is from."""
    counted = Counter(
        venue for venue, cases in CASES.items() for case in cases if case.label is not Label.DERIVED
    )
    assert sum(counted.values()) >= 60
    assert set(VENUES) <= set(counted)
    for venue, cases in CASES.items():
        assert len({case.id for case in cases}) == len(cases), f"two cases of {venue} have one name"
        for case in cases:
            assert case.source.what
            if case.label is Label.DOCUMENTED:
                assert case.source.address.startswith("https://"), case.id
                assert case.source.read, case.id


def test_p99_error_of_liquidation_prices_that_count_is_within_two_bps() -> None:
    """Over documented and independent cases; no rounding is forgiven here."""
    errors_bps = sorted(
        inf if found is None else abs(found / float(expected.price) - 1.0) * 1e4
        for venue, case in PAIRS
        if case.label is not Label.DERIVED
        for expected in case.expected
        if expected.price is not None
        for found in [liquidation_of(pool_of(venue, case), MarketId(expected.market)).price]
    )
    assert len(errors_bps) >= 60
    assert errors_bps[min(len(errors_bps) - 1, int(0.99 * len(errors_bps)))] <= ERROR_BPS_MAX
