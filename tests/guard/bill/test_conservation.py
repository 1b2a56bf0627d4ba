"""What decisions saved and cost adds up to guarded equity less its twin's, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perpguard_sdk.messages import Mode
from tests.support.billed_guard import SETTINGS, BilledGuard, trade_cost_usd
from tests.support.builders import ACCOUNT, finding

PRICES = st.sampled_from([80.0, 95.0, 99.0, 100.0, 101.0, 107.0, 130.0])
DEEDS = st.one_of(
    st.tuples(st.just("price"), PRICES),
    st.tuples(st.just("cut"), st.sampled_from([0.0, 2.0, 5.0, 8.0])),
    st.tuples(st.just("calm"), st.just(0.0)),
    st.tuples(st.just("grow"), st.sampled_from([0.25, 1.0])),
    st.tuples(st.just("shrink"), st.sampled_from([0.25, 0.5, 1.0])),
    st.tuples(st.just("wait"), st.sampled_from([3.0, 30.0])),
)


@dataclass
class Unguarded:
    """A whole account that is commanded nothing and else trades as its trader does; it knows no ledger."""

    cash_usd: float
    size: float

    def trade(self, *parts: float, price: float) -> None:
        for size in parts:
            self.cash_usd -= size * price + trade_cost_usd(size, price)
            self.size += size

    def worth(self, price: float) -> float:
        return self.cash_usd + self.size * price


def follow(guard: BilledGuard, twin: Unguarded, deed: str, value: float) -> None:
    """One thing happens in both worlds, as the rules of the twin say (decision 0302)."""
    extra = twin.size - guard.size
    match deed:
        case "price":
            guard.live(1.0, price=value)
        case "cut":
            guard.policy.findings = [finding(max_size=value, account=ACCOUNT)]
            guard.live(4.0)
        case "calm":
            guard.policy.findings = []
            guard.live(2.0)
        case "grow" if extra * twin.size > 1e-9 and not guard.policy.findings:
            guard.trade(extra * value)  # he takes back what was taken off: the twin has it
        case "shrink" if abs(guard.size) > 1e-9:
            twin.trade(-guard.size * value, -extra * value, price=guard.price)
            guard.trade(-guard.size * value)
        case "wait":
            guard.live(value)
        case _:
            pass
    guard.live(1.0)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=st.sampled_from([10.0, -10.0]),
    deeds=st.lists(DEEDS, min_size=4, max_size=10),
    mode=st.sampled_from([Mode.PAPER, Mode.LIVE]),
)
def test_decisions_add_up_to_the_difference_of_the_two_accounts(
    size: float, deeds: list[tuple[str, float]], mode: Mode
) -> None:
    guard = BilledGuard(size=size, equity_usd=100_000.0, bot_mode=mode)
    twin = Unguarded(guard.cash_usd, guard.size)
    for deed, value in deeds:
        if mode is Mode.PAPER:
            follow(guard, twin, deed, value)
        elif deed != "grow":  # who is not obeyed has no say in what the trader takes back
            follow(guard, Unguarded(0.0, guard.size), deed, value)
        entered, told = guard.conserved
        assert entered == pytest.approx(told, abs=1e-6)
        lines = [*guard.lines, *guard.ledger.books.lines]
        lines += guard.ledger.open_lines(guard.guard.engine.state)
        assert sum(line.net_usd for line in lines) == pytest.approx(told, abs=1e-6)
        for line in lines:
            assert line.net_usd == pytest.approx(line.saved_usd - line.cost_usd, abs=1e-9)
    guard.policy.findings = []
    guard.live(60.0)
    assert not [each for each in guard.ledger.books.decisions.values() if each.left]
    assert abs(guard.ledger.books.residual_usd) < 1e-6
    assert sum(row.net_usd for row in guard.ledger.books.run.rows) == pytest.approx(
        guard.conserved[0], abs=1e-6
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(size=st.sampled_from([10.0, -10.0]), deeds=st.lists(DEEDS, min_size=4, max_size=10))
def test_what_is_booked_is_what_two_whole_accounts_differ_by(
    size: float, deeds: list[tuple[str, float]]
) -> None:
    never = replace(SETTINGS, settle_s=86_400.0)  # what is settled is the trader's choice from there on
    guard = BilledGuard(size=size, equity_usd=100_000.0, settings=never)
    twin = Unguarded(guard.cash_usd, guard.size)
    for deed, value in deeds:
        follow(guard, twin, deed, value)
        assert guard.worth is not None
        # The book takes a little more for one trade than for its parts, which decisions are billed for one by one.
        assert guard.conserved[0] == pytest.approx(guard.worth - twin.worth(guard.price), abs=0.02)
