"""One account from several sources: each position once, and what belongs to nobody."""

from __future__ import annotations

import pytest

from guard.account.positions import AccountView
from guard.events import Position, PositionSource
from tests.support.builders import ACCOUNT, ALPHA, BETA, ETH, MARKET, at, order, position, snapshot


def view() -> AccountView:
    return AccountView(ACCOUNT)


def bots(account: AccountView, seconds: float, **sizes: float) -> None:
    for bot, size in sizes.items():
        account.apply_bot({"alpha": ALPHA, "beta": BETA}[bot], (position(size),), at(seconds))


def test_a_position_that_venue_and_bot_tell_is_counted_once() -> None:
    account = view()
    bots(account, 0.0, alpha=2.0)
    account.apply_snapshot(snapshot(0.1, position(2.0, entry_price=99.0)))

    assert account.positions == (position(2.0, entry_price=99.0),)
    assert account.size(MARKET) == 2.0


@pytest.mark.parametrize("first", ["venue", "bot"])
def test_the_venue_is_believed_before_the_bot_whoever_speaks_first(first: str) -> None:
    account = view()
    for source in (first, "bot" if first == "venue" else "venue"):
        if source == "venue":
            account.apply_snapshot(snapshot(0.0, position(3.0)))
        else:
            bots(account, 0.0, alpha=2.0)

    assert (account.source, account.size(MARKET)) == (PositionSource.VENUE, 3.0)


def test_bots_are_believed_before_the_settings_and_summed() -> None:
    account = view()
    account.apply_snapshot(snapshot(0.0, position(9.0), source=PositionSource.SETTINGS))
    assert account.size(MARKET) == 9.0
    bots(account, 1.0, alpha=2.0, beta=1.0)

    assert (account.source, account.size(MARKET)) == (PositionSource.BOT, 3.0)


def test_nobody_has_said_anything() -> None:
    account = view()
    assert (account.source, account.positions, account.orders, account.seen_at) == (None, (), None, None)


def test_both_legs_of_a_hedge_stay_apart() -> None:
    account = view()
    legs = (position(5.0, liquidation_price=90.0), position(-3.0, liquidation_price=110.0))
    account.apply_snapshot(snapshot(0.0, *legs, position(1.0, market=ETH)))

    assert account.legs(MARKET) == legs
    assert account.size(MARKET) == 2.0


def test_what_bots_tell_is_as_old_as_the_oldest_word() -> None:
    account = view()
    bots(account, 0.0, alpha=1.0)
    bots(account, 9.0, beta=1.0)
    assert account.seen_at == at(0.0)
    bots(account, 10.0, alpha=1.0)

    assert account.seen_at == at(9.0)


def test_a_snapshot_replaces_the_whole_of_the_former_one() -> None:
    account = view()
    account.apply_snapshot(snapshot(0.0, position(1.0), orders=[order("o1", 1.0)], equity_usd=10.0))
    account.apply_snapshot(snapshot(1.0, orders=None))

    assert (account.positions, account.orders, account.equity_usd) == ((), None, None)


def test_prices_of_positions_that_bots_tell_are_weighted() -> None:
    account = view()
    one = Position(market=MARKET, size=1.0, entry_price=100.0, liquidation_price=90.0)
    account.apply_bot(ALPHA, (one,), at(0.0))
    account.apply_bot(BETA, (position(3.0, entry_price=104.0, liquidation_price=80.0),), at(0.0))

    (both,) = account.positions
    assert (both.size, both.entry_price, both.liquidation_price) == (4.0, 103.0, None)


# ---------------------------------------------------------------- what belongs to no bot


def test_a_difference_that_stands_is_foreign() -> None:
    account = view()
    bots(account, 0.0, alpha=2.0)
    account.apply_snapshot(snapshot(0.0, position(5.0)))
    assert account.foreign(MARKET) == 0.0
    account.apply_snapshot(snapshot(3.5, position(5.0)))

    assert account.foreign(MARKET) == pytest.approx(3.0)
    assert not account.agrees(MARKET)


def test_a_fill_told_by_one_before_the_other_is_not() -> None:
    account = view()
    bots(account, 0.0, alpha=2.0)
    account.apply_snapshot(snapshot(0.0, position(2.0)))
    for number in range(20):
        size = 2.0 + number
        account.apply_snapshot(snapshot(1.0 + number * 2, position(size)))
        bots(account, 2.0 + number * 2, alpha=size)
        assert account.foreign(MARKET) == 0.0
    assert account.agrees(MARKET)


def test_a_report_that_the_venue_does_not_follow_is_not_proof_of_anything() -> None:
    account = view()
    bots(account, 0.0, alpha=2.0)
    account.apply_snapshot(snapshot(0.1, position(2.0)))
    for number in range(1, 20):
        bots(account, number, alpha=0.0)  # says that it has sold, and has not
        account.apply_snapshot(snapshot(number + 0.5, position(2.0)))

    assert account.foreign(MARKET) == 0.0


def test_a_human_who_closes_again_leaves_nothing() -> None:
    account = view()
    bots(account, 0.0, alpha=2.0)
    for seconds, size in ((0.0, 5.0), (4.0, 5.0), (5.0, 2.0)):
        account.apply_snapshot(snapshot(seconds, position(size)))

    assert account.foreign(MARKET) == 0.0
    assert account.agrees(MARKET)
