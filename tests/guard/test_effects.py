"""Effects are read from the venue where it can be seen, else from the bot, and only from later looks."""

from __future__ import annotations

import pytest

from guard.effects import Effect, Reading, pause_effect, resume_effect, size_effect, size_of, stop_effect
from guard.state import GuardState
from guard.units import NS_PER_S, BotId
from perpguard_sdk.messages import Entries, ReportedOrder, StopRule
from tests.support.builders import (
    ALPHA,
    BETA,
    MARKET,
    SYMBOL,
    at,
    born,
    mark,
    new_state,
    order,
    position,
    reported,
    snapshot,
)


def state_of(*bots: BotId) -> GuardState:
    state = new_state(*(bots or (ALPHA,)))
    for bot in state.bots:
        state.apply(born(0.0, bot))
    return state


def size(state: GuardState, bot: BotId = ALPHA) -> float | None:
    read = size_of(state, state.bots[bot], MARKET)
    return None if read is None else read.value


def at_most(state: GuardState, limit: float, since: float = 0.0, bot: BotId = ALPHA) -> Effect:
    return size_effect(state, state.bots[bot], MARKET, limit, 0.02, at(since))


def test_nobody_has_told_a_size() -> None:
    assert size(state_of()) is None
    assert at_most(state_of(), 1.0).reading is Reading.UNSEEN


def test_a_bots_word_counts_where_the_venue_cannot_be_seen() -> None:
    state = state_of()
    state.apply(reported(1.0, size=2.0))

    assert at_most(state, 2.0) == Effect(Reading.HOLDS, "bot", "position 2, at most 2 asked")


def test_the_venues_word_counts_before_the_bots() -> None:
    state = state_of()
    state.apply(snapshot(1.0, position(3.0)))
    state.apply(reported(1.1, size=3.0))
    state.apply(reported(2.0, size=1.0))
    state.apply(snapshot(9.0, position(3.0)))

    assert at_most(state, 1.0).reading is Reading.FAILS


def test_only_a_look_later_than_the_issue_counts() -> None:
    state = state_of()
    state.apply(snapshot(1.0, position(1.0)))

    assert at_most(state, 1.0, since=1.0).reading is Reading.UNSEEN
    assert at_most(state, 1.0, since=0.9).reading is Reading.HOLDS


def test_a_lot_that_cannot_be_split_is_not_a_disobedience() -> None:
    state = state_of()
    state.apply(snapshot(1.0, position(1.019)))
    assert at_most(state, 1.0).reading is Reading.HOLDS
    state.apply(snapshot(2.0, position(1.021)))
    assert at_most(state, 1.0).reading is Reading.FAILS


def test_in_hedge_mode_the_larger_leg_counts() -> None:
    state = state_of()
    state.apply(snapshot(1.0, position(5.0), position(-7.0)))

    assert size(state) == -7.0
    assert at_most(state, 2.0).reading is Reading.FAILS, "the net position of 2 would hide both"


def test_on_a_shared_account_the_others_part_is_taken_off() -> None:
    state = state_of(ALPHA, BETA)
    state.apply(reported(1.0, ALPHA, size=6.0))
    state.apply(reported(1.0, BETA, size=4.0))
    state.apply(snapshot(1.1, position(10.0)))

    assert (size(state, ALPHA), size(state, BETA)) == (6.0, 4.0)


def test_anothers_cut_does_not_pass_for_ones_own() -> None:
    state = state_of(ALPHA, BETA)
    state.apply(reported(1.0, ALPHA, size=6.0))
    state.apply(reported(1.0, BETA, size=4.0))
    state.apply(snapshot(2.0, position(6.0)))  # BETA has closed, its report is on its way

    assert size(state, ALPHA) == 6.0
    assert at_most(state, 3.0, bot=ALPHA).reading is not Reading.HOLDS


def test_while_an_owner_has_not_reported_nobodys_part_is_known() -> None:
    state = state_of(ALPHA, BETA)
    state.apply(reported(1.0, ALPHA, size=6.0))
    state.apply(snapshot(1.1, position(10.0)))

    assert size(state, ALPHA) is None


def test_a_humans_part_is_not_the_bots() -> None:
    state = state_of()
    for seconds in (0.0, 2.0, 4.0):
        state.apply(reported(seconds, size=2.0))
        state.apply(snapshot(seconds, position(5.0)))

    assert size(state) == pytest.approx(2.0)


# ---------------------------------------------------------------- pause


def paused(
    state: GuardState, *, since: float = 0.0, settle_s: float = 0.0, at_most_size: float | None = None
) -> Effect:
    return pause_effect(
        state,
        state.bots[ALPHA],
        MARKET,
        Entries.REDUCE_ONLY,
        at_most_size,
        0.02,
        at(since),
        round(settle_s * NS_PER_S),
    )


def test_a_pause_is_unseen_while_nobody_speaks() -> None:
    assert paused(state_of()).reading is Reading.UNSEEN


def test_a_bot_that_says_that_it_enters_fails_whatever_the_venue_shows() -> None:
    state = state_of()
    state.apply(snapshot(1.0))
    state.apply(reported(1.0, entries=Entries.ALLOWED))

    assert paused(state).reading is Reading.FAILS


def test_the_venue_is_looked_at_only_once_orders_in_flight_have_settled() -> None:
    state = state_of()
    state.apply(snapshot(1.5))
    state.apply(reported(1.5, entries=Entries.HALTED))
    assert paused(state, since=1.0, settle_s=1.0).reading is Reading.UNSEEN
    state.apply(snapshot(2.5))
    assert paused(state, since=1.0, settle_s=1.0).reading is Reading.HOLDS


@pytest.mark.parametrize(
    ("resting", "reading"),
    [
        (order("o1", 1.0, price=99.0), Reading.FAILS),
        (order("o1", -1.0, price=101.0), Reading.FAILS),
        (order("o1", -1.0, price=101.0, reduce_only=True), Reading.HOLDS),
        (order("o1", -1.0, stop_price=95.0, reduce_only=True), Reading.HOLDS),
    ],
)
def test_orders_that_can_enter_are_no_pause(resting: object, reading: Reading) -> None:
    state = state_of()
    state.apply(snapshot(1.0, position(1.0), orders=[resting]))  # type: ignore[list-item]

    assert paused(state).reading is reading


def test_growth_is_no_pause() -> None:
    state = state_of()
    state.apply(snapshot(1.0, position(-3.0)))

    assert paused(state, at_most_size=3.0).reading is Reading.HOLDS
    assert paused(state, at_most_size=2.0).reading is Reading.FAILS


# ---------------------------------------------------------------- resume


def test_a_resume_needs_the_bots_word_and_its_posture() -> None:
    state = state_of()
    record = state.bots[ALPHA]
    assert resume_effect(record, MARKET, Entries.ALLOWED, 5, at(0.0)).reading is Reading.UNSEEN
    state.apply(reported(1.0, version=4))
    assert resume_effect(record, MARKET, Entries.ALLOWED, 5, at(0.0)).reading is Reading.FAILS
    state.apply(reported(2.0, version=5, entries=Entries.REDUCE_ONLY))
    assert resume_effect(record, MARKET, Entries.ALLOWED, 5, at(0.0)).reading is Reading.FAILS
    state.apply(reported(3.0, version=5))
    assert resume_effect(record, MARKET, Entries.ALLOWED, 5, at(0.0)).reading is Reading.HOLDS


# ---------------------------------------------------------------- stops


def stop_at(state: GuardState, price: float = 95.0, since: float = 0.0) -> Effect:
    return stop_effect(state, state.bots[ALPHA], MARKET, StopRule(stop_price=price), 5.0, at(since))


@pytest.mark.parametrize(
    ("resting", "reading"),
    [
        ((), Reading.FAILS),
        ((order("s", -2.0, stop_price=95.0, reduce_only=True),), Reading.HOLDS),
        ((order("s", -2.0, stop_price=95.02, reduce_only=True),), Reading.HOLDS),
        ((order("s", -2.0, stop_price=97.0, reduce_only=True),), Reading.FAILS),
        ((order("s", -2.0, stop_price=95.0),), Reading.FAILS),
        ((order("s", 2.0, stop_price=95.0, reduce_only=True),), Reading.FAILS),
        (
            (
                order("s", -2.0, stop_price=95.0, reduce_only=True),
                order("t", -2.0, stop_price=105.0, reduce_only=True),
            ),
            Reading.HOLDS,
        ),
    ],
    ids=["none", "there", "a tick off", "elsewhere", "not reducing", "wrong side", "with a take-profit"],
)
def test_a_protective_stop_must_rest_where_it_was_asked(
    resting: tuple[object, ...], reading: Reading
) -> None:
    state = state_of()
    state.apply(mark(0.5, 100.0))
    state.apply(snapshot(1.0, position(2.0), orders=resting))  # type: ignore[arg-type]

    assert stop_at(state).reading is reading


def test_the_stop_of_another_bot_on_the_same_account_is_not_ours() -> None:
    """Two bots with rules of their own on one account once failed for ever, each by the other's stop."""
    own = order("s", -2.0, stop_price=95.0, reduce_only=True)
    theirs = order("b", -1.0, stop_price=90.0, reduce_only=True)
    resting = ReportedOrder(order_id="b", symbol=SYMBOL, size=-1.0, stop_price=90.0, reduce_only=True)
    state = new_state(ALPHA, BETA)
    state.apply(born(0.0, ALPHA))
    state.apply(born(0.0, BETA))
    state.apply(mark(0.5, 100.0))
    state.apply(reported(0.8, ALPHA, size=2.0))
    state.apply(reported(0.8, BETA, size=1.0, orders=(resting,)))
    state.apply(snapshot(1.0, position(3.0), orders=(own, theirs)))

    assert stop_at(state).reading is Reading.HOLDS


def test_a_closed_position_needs_no_stop() -> None:
    state = state_of()
    state.apply(snapshot(1.0))

    assert stop_at(state).reading is Reading.HOLDS
    assert stop_at(state, since=2.0).reading is Reading.UNSEEN


def test_where_orders_cannot_be_seen_a_stop_is_unseen() -> None:
    state = state_of()
    state.apply(snapshot(1.0, position(2.0), orders=None))

    assert stop_at(state).reading is Reading.UNSEEN


def test_looking_changes_nothing() -> None:
    state = new_state(ALPHA, markets=())
    state.apply(snapshot(1.0, position(2.0)))
    stop_at(state)
    paused(state)

    assert state.markets == {}
