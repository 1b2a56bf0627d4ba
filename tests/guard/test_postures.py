"""Versions that only rise, refreshes, and changes that are each purely tighter or purely looser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.desired import Limits
from guard.postures import PostureBook, PostureSettings, is_tighter_anywhere
from guard.state import GuardState
from guard.units import MarketId
from perpguard_sdk.messages import Entries, Posture, StopRule
from tests.support.builders import ALPHA, ETH, MARKET, SYMBOL, at, new_state, posture, reported, started

SETTINGS = PostureSettings(ttl_s=60.0, refresh_s=10.0)


class Book:
    def __init__(self, floor: Posture | None = None) -> None:
        self.state: GuardState = new_state(ALPHA)
        self.state.apply(started(0.0, epoch=4, floors=[] if floor is None else [floor]))
        self.book = PostureBook(SETTINGS)
        self.book.restart(self.state)

    def say(self, seconds: float, limits: dict[MarketId, Limits] | None = None):  # type: ignore[no-untyped-def]
        wanted = limits if limits is not None else {MARKET: Limits()}
        return self.book.publish(self.state.bots[ALPHA], wanted, self.state, at(seconds))


def test_the_first_posture_is_published_whatever_is_wanted() -> None:
    first = Book().say(0.0, {MARKET: Limits(entries=Entries.HALTED)})

    assert first.changed
    assert not first.tightens, "the bot may remember something tighter of a guard that is gone"
    assert (first.posture.version, first.posture.epoch) == (1, 4)
    assert first.posture.entries == {SYMBOL: Entries.HALTED}
    assert first.posture.expires_at - first.posture.ts == 60_000


def test_an_unchanged_posture_is_only_refreshed_in_time_under_the_same_version() -> None:
    book = Book()
    book.say(0.0)
    assert book.say(9.9) is None

    refresh = book.say(10.0)

    assert (refresh.changed, refresh.tightens, refresh.posture.version) == (False, False, 1)
    assert refresh.posture.expires_at // 1000 == at(70.0) // 10**9


def test_a_version_begins_above_floors_and_above_what_the_bot_reports() -> None:
    book = Book(floor=posture(version=17))
    assert book.say(0.0).posture.version == 18
    book.state.apply(reported(1.0, version=40))

    assert book.say(1.0).posture.version == 41


def test_a_new_epoch_publishes_everything_again_and_never_falls() -> None:
    book = Book()
    assert book.say(0.0).posture.version == 1
    book.state.apply(started(1.0, epoch=9))
    book.book.restart(book.state)

    again = book.say(1.0)

    assert (again.posture.version, again.posture.epoch, again.changed) == (2, 9, True)


def test_what_is_tighter_in_one_market_and_looser_in_another_is_said_in_two_steps() -> None:
    book = Book()
    book.say(0.0, {MARKET: Limits(entries=Entries.HALTED), ETH: Limits()})
    mixed = {MARKET: Limits(), ETH: Limits(max_size=1.0)}

    first, second, third = book.say(1.0, mixed), book.say(1.25, mixed), book.say(1.5, mixed)

    assert first.tightens
    assert first.posture.entries == {SYMBOL: Entries.HALTED}
    assert first.posture.max_size == {"ETH/USDT:USDT": 1.0}
    assert (second.tightens, second.posture.entries) == (False, {})
    assert second.posture.version == first.posture.version + 1
    assert third is None


_limits = st.builds(
    Limits,
    entries=st.sampled_from(Entries),
    max_size=st.none() | st.floats(0.0, 10.0),
    max_leverage=st.none() | st.floats(1.0, 10.0),
    entry_share=st.sampled_from([0.25, 0.5, 1.0]),
    stop=st.none() | st.builds(StopRule, stop_price=st.floats(90.0, 99.0)),
)


@given(wanted=st.lists(st.fixed_dictionaries({MARKET: _limits, ETH: _limits}), max_size=8))
def test_versions_rise_with_every_change_and_a_tightening_never_loosens(
    wanted: list[dict[MarketId, Limits]],
) -> None:
    book, last = Book(), None
    for number, limits in enumerate(wanted):
        for again in range(3):
            said = book.say(number + again / 4, limits)
            if said is None:
                continue
            if last is not None and said.changed:
                assert said.posture.version == last.version + 1
                looser = is_tighter_anywhere(last, said.posture)
                moved = said.posture.stops != last.stops
                assert not (said.tightens and looser and not moved)
            last = said.posture
    if wanted and last is not None:
        final = wanted[-1]
        assert last.entries == {
            market.partition(":")[2]: limits.entries
            for market, limits in final.items()
            if limits.entries is not Entries.ALLOWED
        }
        assert last.entry_share == {
            market.partition(":")[2]: limits.entry_share
            for market, limits in final.items()
            if limits.entry_share < 1.0
        }


@pytest.mark.parametrize(
    "changed",
    [{"entries": {SYMBOL: Entries.HALTED}}, {"max_size": {SYMBOL: 1.0}}, {"entry_share": {SYMBOL: 0.5}}],
)
def test_a_new_key_is_tighter(changed: dict[str, object]) -> None:
    assert is_tighter_anywhere(posture(**changed), posture())  # type: ignore[arg-type]
    assert not is_tighter_anywhere(posture(), posture(**changed))  # type: ignore[arg-type]
