"""What the account feed does over hours, with a clock turned by hand and a connection that is told."""

from __future__ import annotations

import pytest

from adapters.exchanges.account_feed import AccountFeed
from adapters.exchanges.settings import AccountCredentials, VenueSettings
from adapters.exchanges.venue import AccountUpdate, KeyPermissions, PositionSeen
from guard.errors import VenueAuthError, VenueError
from guard.events import AccountSnapshot, StreamFault, StreamFaultKind
from tests.adapters.exchanges.fakes import VENUE, FakeAccount, reading
from tests.support.exchange_feeds import Events, running
from tests.support.hand_clock import HandClock

LONG = PositionSeen("BTCUSDT", "BOTH", 0.5, entry_price=60_000.0)


def a_feed(connection: FakeAccount, clock: HandClock, *, trade_keys_allowed: bool = False) -> AccountFeed:
    account = AccountCredentials(api_key_env="K", api_secret_env="S", trade_keys_allowed=trade_keys_allowed)
    settings = VenueSettings(id=VENUE, symbols=["BTC/USDT:USDT"], accounts={"main": account})
    return AccountFeed(settings, "main", clock=clock, connect=connection.connect)


def kinds(events: Events) -> list[StreamFaultKind]:
    return [fault.fault for fault in events.of(StreamFault)]


async def test_the_account_is_told_every_five_seconds_while_it_can_be_read() -> None:
    clock, connection = HandClock(), FakeAccount()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(2.0)
        events.forget()
        await clock.advance(25.5, step_s=0.25)
        told = len(events.of(AccountSnapshot))
        connection.reading = VenueError(VENUE, "busy")
        await clock.advance(5.5, step_s=0.25)
        events.forget()
        await clock.advance(20.0, step_s=0.25)
        stale = len(events.of(AccountSnapshot))
        connection.reading = reading()
        await clock.advance(12.0, step_s=0.25)

    assert told == 5
    assert stale == 0
    assert events.of(AccountSnapshot)
    assert kinds(events) == [StreamFaultKind.RECONNECTED]
    assert connection.closed


async def test_rest_that_was_only_faster_than_the_stream_is_no_difference() -> None:
    clock, connection = HandClock(), FakeAccount()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(1.0)
        connection.reading = reading(LONG)
        await clock.advance(4.5)
        feed.on_update(AccountUpdate(positions=(LONG,)))
        await clock.advance(8.0)

    assert kinds(events) == []
    assert connection.reopened == []
    assert len(events.of(AccountSnapshot)[-1].positions) == 1


async def test_a_stream_that_lost_an_update_is_opened_again() -> None:
    clock, connection = HandClock(), FakeAccount()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(1.0)
        connection.reading = reading(LONG)
        await clock.advance(8.0)

    assert kinds(events)[0] is StreamFaultKind.RECONCILED
    assert connection.reopened == ["it lost an update that REST knows"]
    assert kinds(events)[-1] is StreamFaultKind.RECONNECTED


async def test_a_private_event_has_rest_asked_soon_and_a_burst_of_them_once() -> None:
    clock, connection = HandClock(), FakeAccount()
    feed = a_feed(connection, clock)
    async with running([feed]):
        await clock.advance(2.0)
        before = connection.readings
        for _ in range(20):
            feed.on_update(AccountUpdate(stale=True))
        await clock.advance(0.5)

    assert connection.readings == before + 1


async def test_a_refused_key_is_said_once_and_tried_slowly() -> None:
    clock, connection = HandClock(), FakeAccount()
    connection.reading = VenueAuthError(VENUE, "refused")
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(200.0, step_s=0.5)
        asked = connection.readings
        connection.reading = reading()
        await clock.advance(65.0, step_s=0.5)

    assert kinds(events) == [StreamFaultKind.REFUSED, StreamFaultKind.RECONNECTED]
    assert asked == 4
    assert events.of(AccountSnapshot)


async def test_the_listen_key_is_renewed_and_replaced_when_it_cannot_be() -> None:
    clock, connection = HandClock(), FakeAccount()
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(20 * 60 + 5, step_s=1.0)
        renewed = connection.renewals
        connection.renewable = False
        await clock.advance(20 * 60 + 5, step_s=1.0)

    assert renewed == 1
    assert connection.reopened == ["its listen key could not be renewed"]
    assert kinds(events)[-1] is StreamFaultKind.RECONNECTED


@pytest.mark.parametrize(
    ("may", "word"),
    [
        (
            KeyPermissions(can_trade=True, can_withdraw=False, detail="enableFutures"),
            "may trade (enableFutures)",
        ),
        (KeyPermissions(can_trade=False, can_withdraw=True), "may withdraw"),
    ],
)
async def test_a_key_that_can_do_more_than_read_is_refused_and_the_account_stays_unknown(
    may: KeyPermissions, word: str
) -> None:
    clock, connection = HandClock(), FakeAccount()
    connection.may = may
    feed = a_feed(connection, clock)
    async with running([feed]) as events:
        await clock.advance(30.0, step_s=0.5)
        readings = connection.readings
        connection.may = KeyPermissions(can_trade=False, can_withdraw=False)
        await clock.advance(70.0, step_s=0.5)

    (refused,) = events.faults(StreamFaultKind.REFUSED)
    assert word in refused.detail
    assert "trade_keys_allowed" in refused.detail
    assert readings == 0
    assert events.of(AccountSnapshot)  # the key was changed at the venue: tried again
    assert kinds(events)[-1] is StreamFaultKind.RECONNECTED


@pytest.mark.parametrize(
    ("may", "allowed"),
    [
        (KeyPermissions(can_trade=True, can_withdraw=True), True),
        (KeyPermissions(can_trade=None, can_withdraw=None), False),
        (VenueError(VENUE, "no such page"), False),
    ],
)
async def test_a_key_that_is_allowed_or_of_which_the_venue_does_not_tell_is_used(
    may: KeyPermissions | VenueError, *, allowed: bool
) -> None:
    clock, connection = HandClock(), FakeAccount()
    connection.may = may
    feed = a_feed(connection, clock, trade_keys_allowed=allowed)
    async with running([feed]) as events:
        await clock.advance(10.0, step_s=0.25)

    assert events.of(AccountSnapshot)
    assert kinds(events) == []
