"""The feeds say which markets they watch; what is watched no more goes, unless somebody is there."""

from __future__ import annotations

from typing import Any

from guard.arbiter import Arbiter, ArbiterSettings
from guard.events import MarketsWatched, Stream, StreamFault, StreamFaultKind
from guard.market.freshness import StreamState
from guard.units import MarketId
from perpguard_sdk.messages import ALL_SYMBOLS, Entries
from policies.distrust_stale_data import DistrustStaleData
from policies.keep_restart_floor import KeepRestartFloor
from tests.support.builders import (
    ALPHA,
    ETH,
    MARKET,
    SYMBOL,
    at,
    born,
    features,
    mark,
    new_state,
    position,
    posture,
    snapshot,
    started,
    tick,
)

SOL = MarketId("loopback:SOL/USDT:USDT")
OTHER = MarketId("bybit:BTC/USDT:USDT")


def watched(at_s: float, *markets: MarketId, venue: str = "loopback", **said: Any) -> MarketsWatched:
    return MarketsWatched(received_at=at(at_s), venue=venue, markets=markets, **said)


def test_a_market_that_is_chosen_is_expected_from_then_on() -> None:
    state = new_state(markets=())
    state.apply(watched(1.0, MARKET, SOL))

    assert set(state.markets) == {MARKET, SOL}
    assert state.watched == {MARKET, SOL}


def test_a_market_that_is_left_goes_and_those_of_other_venues_stay() -> None:
    state = new_state(markets=(MARKET, OTHER))
    state.apply(watched(1.0, MARKET, SOL))
    state.apply(
        StreamFault(received_at=at(2.0), subject=SOL, stream=Stream.BOOK, fault=StreamFaultKind.REFUSED)
    )
    state.apply(watched(3.0, MARKET))

    assert set(state.markets) == {MARKET, OTHER}
    assert state.watched == {MARKET, OTHER}
    assert state.book_faults == {}


def test_what_was_on_its_way_does_not_bring_a_market_back_that_was_left() -> None:
    state = new_state(ALPHA, markets=())
    state.apply(watched(0.1, MARKET, SOL))
    state.apply(born(0.2, symbols=(ALL_SYMBOLS,)))
    state.apply(watched(1.0, MARKET))
    for late in (features(0.9, market=SOL), mark(0.9, market=SOL)):
        state.apply(late)
    state.apply(
        StreamFault(received_at=at(0.9), subject=SOL, stream=Stream.BOOK, fault=StreamFaultKind.MALFORMED)
    )

    assert set(state.markets) == {MARKET}


def test_a_position_in_a_market_that_its_venue_does_not_list_is_unknown() -> None:
    state = new_state(markets=())
    state.apply(watched(0.1, MARKET))
    state.apply(snapshot(1.0, position(size=1.0, market=SOL)))
    state.apply(
        StreamFault(received_at=at(2.0), subject=SOL, stream=Stream.BOOK, fault=StreamFaultKind.REFUSED)
    )
    found = [
        finding for finding in DistrustStaleData().decide(state, at(3.0)) if finding.subject.market == SOL
    ]

    assert [finding.limit.entries for finding in found] == [Entries.REDUCE_ONLY]


def test_a_delisted_market_stays_while_there_is_a_position_and_is_unknown() -> None:
    state = new_state(ALPHA, markets=(MARKET, ETH), named_markets=(MARKET,))
    state.apply(snapshot(1.0, position(market=ETH, size=-1.0)))
    state.apply(watched(2.0, MARKET))
    found = list(DistrustStaleData().decide(state, at(60.0)))

    assert ETH in state.markets
    assert state.needed("loopback") >= {"ETH/USDT:USDT"}
    assert {finding.limit.entries for finding in found if finding.subject.market == ETH} == {
        Entries.REDUCE_ONLY
    }


def test_a_market_that_a_bot_names_stays() -> None:
    state = new_state(ALPHA, named_markets=(ETH,))
    state.apply(watched(1.0, MARKET))

    assert ETH in state.markets
    assert state.bots[ALPHA].markets == (ETH,)


def test_a_restriction_on_a_market_that_is_left_goes_step_by_step() -> None:
    state, policy, arbiter = new_state(ALPHA, markets=()), DistrustStaleData(), Arbiter(ArbiterSettings())

    def entries(at_s: float) -> Entries | None:
        state.apply(tick(at_s))
        limits = arbiter.fold(list(policy.decide(state, state.now)), state, state.now)[ALPHA].get(SOL)
        return None if limits is None else limits.entries

    state.apply(watched(0.1, MARKET, SOL))
    state.apply(born(0.2, symbols=(ALL_SYMBOLS,)))
    before = entries(1.0)
    state.apply(watched(2.0, MARKET))
    seen = [entries(float(second)) for second in range(3, 200)]

    assert before is Entries.REDUCE_ONLY
    assert seen[:50] == [Entries.REDUCE_ONLY] * 50
    assert seen[-1] is Entries.ALLOWED
    assert state.dropping == {(ALPHA, SOL)}  # the engine lets it go now
    assert SOL not in state.markets
    state.let_go(ALPHA, SOL)
    assert state.bots[ALPHA].markets == (MARKET,)


def test_a_floor_of_a_venue_that_has_yet_to_choose_holds() -> None:
    state = new_state(ALPHA, markets=())
    state.choosing = frozenset({"loopback"})
    state.apply(started(1.0, floors=[posture(entries={SYMBOL: Entries.HALTED})]))
    before = [finding.limit.entries for finding in KeepRestartFloor().decide(state, at(2.0))]
    state.apply(watched(3.0, SOL))
    after = list(KeepRestartFloor().decide(state, at(4.0)))

    assert before == [Entries.HALTED]
    assert after == []  # nobody watches it: nothing would ever end its floor
    assert state.choosing == frozenset()


def test_what_is_polled_may_be_silent_for_several_rounds() -> None:
    state = new_state(markets=())
    state.apply(watched(0.0, MARKET, periods_ms={Stream.MARK_PRICE: 20_000}))
    state.apply(mark(1.0))
    view = state.markets[MARKET]

    assert view.stream_state(Stream.MARK_PRICE, at(90.0)) is StreamState.FRESH
    assert view.stream_state(Stream.MARK_PRICE, at(102.0)) is StreamState.STALE


def test_a_mark_price_that_never_comes_is_missed_unless_the_venue_has_none() -> None:
    def missing(**said: Any) -> list[str]:
        state = new_state(markets=())
        state.apply(watched(0.0, MARKET, **said))
        for second in range(12):
            state.apply(features(float(second)))
        return [str(finding.evidence[0].name) for finding in DistrustStaleData().decide(state, at(11.0))]

    assert missing() == ["mark price"]
    assert missing(absent=(Stream.MARK_PRICE,)) == []
