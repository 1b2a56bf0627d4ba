"""What the guard knows after each kind of event."""

from __future__ import annotations

from msgspec import structs

from guard.bots import REFUSALS_FORGOTTEN_NS
from guard.events import (
    EpochContested,
    LinkChanged,
    LinkKind,
    MessageRefused,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
)
from guard.market.view import BookTrust
from guard.units import NS_PER_S
from perpguard_sdk.messages import BotStatus, Entries
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    ETH,
    MARKET,
    SYMBOL,
    at,
    born,
    bot_state,
    features,
    mark,
    new_state,
    position,
    posture,
    reported,
    snapshot,
    started,
    tick,
)


def test_time_never_runs_backwards() -> None:
    state = new_state(ALPHA)
    state.apply(tick(5.0))
    state.apply(tick(3.0))

    assert state.now == at(5.0)


def test_a_start_takes_the_floors_of_known_bots_only() -> None:
    state = new_state(ALPHA)
    floor = posture(ALPHA)
    state.apply(started(1.0, epoch=4, floors=[floor, posture(BETA)]))

    assert (state.epoch, state.session, state.started_at) == (4, "s1", at(1.0))
    assert state.floors == {ALPHA: floor}


def test_a_floor_names_markets_before_the_bot_is_born() -> None:
    """The first posture after a restart must not forget what the former guard restricted."""
    state = new_state(ALPHA)
    state.apply(started(1.0, floors=[posture(entries={SYMBOL: Entries.HALTED})]))

    assert state.bots[ALPHA].markets == (MARKET,)


def test_a_floor_on_a_market_that_the_settings_name_no_more_is_let_go() -> None:
    """Nobody watches it, so its baseline would never be warm and the floor would stand for ever."""
    state = new_state(ALPHA, markets=())
    state.apply(started(1.0, floors=[posture(entries={SYMBOL: Entries.HALTED})]))

    assert state.bots[ALPHA].markets == ()


def test_a_bot_trades_what_the_settings_name_else_what_its_birth_names() -> None:
    named = new_state(ALPHA, named_markets=(ETH,))
    named.apply(born(0.0))
    assert named.bots[ALPHA].markets == (ETH,)

    unnamed = new_state(ALPHA, markets=())
    unnamed.apply(born(0.0))
    assert unnamed.bots[ALPHA].markets == (MARKET,)


def test_a_bot_that_trades_everything_trades_every_market_of_its_venue() -> None:
    state = new_state(ALPHA, markets=(MARKET,))
    state.apply(born(0.0, symbols=("*",)))
    assert state.bots[ALPHA].markets == (MARKET,)
    state.apply(features(1.0, market=ETH))

    assert state.bots[ALPHA].markets == (MARKET, ETH)


def test_a_bot_with_a_new_life_may_trade_other_markets() -> None:
    state = new_state(ALPHA, markets=())
    state.apply(born(0.0, session="b1"))
    state.apply(born(1.0, session="b2", symbols=("ETH/USDT:USDT",)))

    assert state.bots[ALPHA].markets == (ETH, MARKET)
    assert state.dropping == {(ALPHA, MARKET)}, "the engine lets it go once nothing is restricted there"


def test_an_old_birth_that_comes_late_or_is_played_back_changes_nothing() -> None:
    state = new_state(ALPHA, markets=())
    record = state.bots[ALPHA]
    state.apply(born(0.0, session="b1"))
    state.apply(born(1.0, session="b2", symbols=("ETH/USDT:USDT",)))
    state.apply(born(2.0, session="b1"))

    assert (record.session, record.is_online, state.dropping) == ("b2", True, {(ALPHA, MARKET)})


def test_a_life_is_found_again_by_its_reports_after_a_birth_that_was_never_heard_before() -> None:
    """A guard that has just started cannot know that the birth is an old one; the bot's next report tells it."""
    state = new_state(ALPHA)
    record = state.bots[ALPHA]
    state.apply(born(0.0, session="b2"))
    state.apply(reported(1.0, session="b2", number=1))
    state.apply(born(2.0, session="b1"))
    assert record.session == "b1"
    state.apply(reported(3.0, session="b2", number=2))
    assert (record.session, record.birth and record.birth.session) == ("b2", "b2")
    state.apply(born(4.0, session="b1"))
    assert record.session == "b2"


def test_a_bot_whose_own_birth_was_written_over_is_known_by_its_reports() -> None:
    state = new_state(ALPHA)
    record = state.bots[ALPHA]
    state.apply(born(0.0, session="b1"))
    state.apply(reported(1.0, session="b2", number=7))

    assert record.session == "b2"


def test_a_report_that_comes_late_twice_or_is_played_back_is_not_taken() -> None:
    state = new_state(ALPHA)
    record = state.bots[ALPHA]
    state.apply(born(0.0, session="b2"))
    state.apply(reported(1.0, session="b2", number=5, size=1.0))
    for session, number in (("b2", 5), ("b2", 4), ("b1", 99)):
        state.apply(reported(2.0, session=session, number=number, size=9.0))

    assert (record.session, record.reported_at) == ("b2", at(1.0))
    assert state.accounts[ACCOUNT].size(MARKET) == 1.0


def test_a_market_that_a_bot_trades_and_nobody_watches_is_unknown_and_not_calm() -> None:
    state = new_state(ALPHA, markets=())
    state.apply(born(0.0))

    assert state.markets[MARKET].trust(at(1.0)) is BookTrust.NEVER


def test_owners_are_the_bots_of_the_account_that_trade_the_market() -> None:
    state = new_state(ALPHA, BETA)
    state.apply(born(0.0, ALPHA))
    assert state.owners(ACCOUNT, MARKET) == (ALPHA,)
    state.apply(born(0.0, BETA))

    assert state.owners(ACCOUNT, MARKET) == (ALPHA, BETA)


def test_the_will_of_this_life_takes_a_bot_offline_and_that_of_another_does_not() -> None:
    state = new_state(ALPHA)
    record = state.bots[ALPHA]
    assert not record.is_online
    state.apply(born(0.0, session="b2"))
    assert record.is_online
    state.apply(bot_state(1.0, state=BotStatus.OFFLINE, session="b1"))
    assert record.is_online
    state.apply(bot_state(2.0, state=BotStatus.OFFLINE, session="b2"))
    assert not record.is_online


def test_a_late_will_does_not_outweigh_reports_that_go_on_coming() -> None:
    state = new_state(ALPHA)
    state.apply(born(0.0))
    state.apply(bot_state(1.0, state=BotStatus.OFFLINE))
    state.apply(reported(1.1))
    assert not state.bots[ALPHA].is_online, "a retained report may arrive just behind a retained Will"
    state.apply(reported(3.5))

    assert state.bots[ALPHA].is_online


def test_a_report_without_known_positions_changes_none() -> None:
    state = new_state(ALPHA)
    state.apply(reported(0.0, size=2.0))
    state.apply(reported(1.0, positions_known=False))

    assert state.accounts[ACCOUNT].size(MARKET) == 2.0
    assert state.accounts[ACCOUNT].seen_at == at(0.0)


def test_messages_of_bots_that_the_settings_do_not_name_change_nothing() -> None:
    state = new_state(ALPHA)
    for event in (born(0.0, BETA), reported(0.0, BETA, size=5.0), bot_state(0.0, BETA)):
        state.apply(event)

    assert list(state.bots) == [ALPHA]
    assert state.accounts[ACCOUNT].source is None


def test_links_go_down_and_come_back() -> None:
    state = new_state()
    state.apply(LinkChanged(received_at=at(0.0), link=LinkKind.BROKER, up=False, detail="refused"))
    assert state.links_down[LinkKind.BROKER].detail == "refused"
    state.apply(LinkChanged(received_at=at(1.0), link=LinkKind.BROKER, up=True))

    assert state.links_down == {}


def test_an_account_fault_stands_until_the_account_is_seen_again() -> None:
    state = new_state(keyed=True)
    fault = StreamFault(
        received_at=at(0.0), subject=ACCOUNT, stream=Stream.ACCOUNT, fault=StreamFaultKind.DISCONNECTED
    )
    state.apply(fault)
    assert state.account_faults == {ACCOUNT: fault}
    state.apply(snapshot(1.0, position(1.0)))

    assert state.account_faults == {}


def test_activity_of_an_account_is_not_that_of_a_market() -> None:
    state = new_state(keyed=True)
    activity = StreamActivity(
        received_at=at(1.0), subject=ACCOUNT, stream=Stream.ACCOUNT, updates=1, last_at=at(1.0), gap_ns_max=0
    )
    state.apply(activity)

    assert state.account_clocks[ACCOUNT].last_at == at(1.0)
    assert list(state.markets) == [MARKET]


def test_refused_messages_count_together_only_while_they_come_close_together() -> None:
    state = new_state(ALPHA)
    for seconds in (0.0, 1.0, 2.0):
        state.apply(MessageRefused(received_at=at(seconds), topic="t", bot=ALPHA, detail="signature"))
    assert state.refusals[ALPHA].count == 3
    later = 3.0 + REFUSALS_FORGOTTEN_NS / NS_PER_S
    state.apply(MessageRefused(received_at=at(later), topic="t", bot=ALPHA, detail="signature"))

    assert state.refusals[ALPHA].count == 1


def test_a_refusal_that_speaks_for_many_messages_counts_as_many() -> None:
    state = new_state(ALPHA)
    state.apply(MessageRefused(received_at=at(0.0), topic="t", bot=ALPHA, detail="signature"))
    state.apply(MessageRefused(received_at=at(10.0), topic="t", bot=ALPHA, detail="signature", count=7))

    assert state.refusals[ALPHA].count == 8


def test_a_book_fault_stands_until_the_book_is_seen_again() -> None:
    state = new_state()
    fault = StreamFault(
        received_at=at(0.0),
        subject=MARKET,
        stream=Stream.BOOK,
        fault=StreamFaultKind.REFUSED,
        detail="no such",
    )
    state.apply(fault)
    assert state.book_faults == {MARKET: fault}
    state.apply(features(1.0))

    assert state.book_faults == {}


def test_a_baseline_that_was_warm_before_the_start_does_not_spare_the_floor() -> None:
    state = new_state(ALPHA)
    for number in range(100):
        state.apply(features(number * 0.25))
        state.apply(mark(number * 0.25))
    state.apply(started(25.0))
    assert state.warmed == set()
    state.apply(features(25.25))

    assert state.warmed == {MARKET}


def test_a_guard_is_outranked_by_what_a_bot_obeys() -> None:
    state = new_state(ALPHA)
    state.apply(reported(0.0, epoch=9))
    assert not state.is_outranked, "it has no epoch of its own yet"
    state.apply(started(1.0, epoch=8))
    assert state.is_outranked
    state.apply(started(2.0, epoch=10))
    assert not state.is_outranked


def test_a_market_counts_as_warmed_once_its_baseline_was() -> None:
    state = new_state()
    for number in range(100):
        state.apply(features(number * 0.25))
        state.apply(mark(number * 0.25))

    assert state.warmed == {MARKET}


def test_a_contested_epoch_outranks_us_until_a_higher_one_is_claimed() -> None:
    state = new_state(ALPHA)
    state.apply(started(0.0, epoch=4))
    assert not state.is_outranked
    state.apply(EpochContested(received_at=at(1.0), epoch=4))
    assert state.is_outranked
    state.apply(started(2.0, epoch=state.highest_epoch_reported + 1))
    assert not state.is_outranked


def test_a_bot_that_obeys_another_guard_in_our_epoch_outranks_us() -> None:
    """As where store and retained messages were lost, and a dead guard's epoch was claimed again."""
    state = new_state(ALPHA)
    state.apply(started(0.0, epoch=4))
    ours = reported(1.0, epoch=4)
    state.apply(ours)
    assert not state.is_outranked
    theirs = structs.replace(ours.reported, guard="another session")
    state.apply(structs.replace(ours, reported=theirs))
    assert state.is_outranked
