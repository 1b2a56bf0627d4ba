"""The parts of a limit and what nobody can cut add up to the limit."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guard.account.allocation import Allocation
from guard.account.positions import AccountView
from tests.support.builders import ACCOUNT, ALPHA, BETA, MARKET, at, position, snapshot

OWNERS = (ALPHA, BETA)
_size = st.floats(-100.0, 100.0).map(lambda size: round(size, 3))


def account(one: float, two: float, foreign: float = 0.0) -> AccountView:
    view = AccountView(ACCOUNT)
    view.apply_bot(ALPHA, (position(one),), at(0.0))
    view.apply_bot(BETA, (position(two),), at(0.0))
    for seconds in (0.0, 5.0):
        view.apply_snapshot(snapshot(seconds, position(one + two + foreign)))
    return view


@given(one=_size, two=_size, limit=st.floats(0.0, 300.0))
def test_if_every_bot_obeys_the_account_holds_no_more_than_the_limit(
    one: float, two: float, limit: float
) -> None:
    net = one + two
    assume(abs(net) > 0.1)
    parts = Allocation().split(account(one, two), MARKET, OWNERS, limit)

    after = 0.0
    for bot, size in ((ALPHA, one), (BETA, two)):
        part = parts[bot]
        after += size if part is None or abs(size) <= part else part if size > 0.0 else -part
    assert abs(after) <= max(limit, 0.0) + 1e-9
    if limit <= abs(net):
        assert abs(after) == pytest.approx(limit, abs=1e-6), "no more is cut than was asked"


@given(one=st.floats(0.0, 100.0), two=st.floats(0.0, 100.0), limit=st.floats(0.0, 300.0))
def test_the_parts_sum_to_the_limit(one: float, two: float, limit: float) -> None:
    parts = Allocation().split(account(one, two), MARKET, OWNERS, limit)

    assert sum(part or 0.0 for part in parts.values()) == pytest.approx(limit)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_humans_part_is_left_out_and_never_asked_of_a_bot(sign: float) -> None:
    view = account(sign * 6.0, sign * 4.0, foreign=sign * 5.0)

    assert Allocation().split(view, MARKET, OWNERS, 10.0) == pytest.approx({ALPHA: 3.0, BETA: 2.0})
    assert Allocation().split(view, MARKET, OWNERS, 3.0) == pytest.approx({ALPHA: 0.0, BETA: 0.0})


def test_a_foreign_position_on_the_other_side_gives_no_room() -> None:
    parts = Allocation().split(account(6.0, 4.0, foreign=-4.0), MARKET, OWNERS, 5.0)

    assert parts == pytest.approx({ALPHA: 3.0, BETA: 2.0})


def test_weights_stay_while_a_limit_stands_and_are_taken_anew_after() -> None:
    allocation = Allocation()
    assert allocation.split(account(6.0, 4.0), MARKET, OWNERS, 5.0) == pytest.approx({ALPHA: 3.0, BETA: 2.0})
    assert allocation.split(account(3.0, 4.0), MARKET, OWNERS, 5.0) == pytest.approx({ALPHA: 3.0, BETA: 2.0})
    allocation.release()
    assert allocation.split(account(3.0, 1.0), MARKET, OWNERS, 4.0) == pytest.approx({ALPHA: 3.0, BETA: 1.0})


def test_a_new_owner_is_given_its_part() -> None:
    allocation = Allocation()
    allocation.split(account(6.0, 0.0), MARKET, (ALPHA,), 4.0)

    assert allocation.split(account(6.0, 2.0), MARKET, OWNERS, 4.0) == pytest.approx({ALPHA: 3.0, BETA: 1.0})
