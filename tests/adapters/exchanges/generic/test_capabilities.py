"""What each venue of ccxt gives is known without connecting, and never more than ccxt says."""

from __future__ import annotations

import pytest

from adapters.exchanges import capabilities_of
from adapters.exchanges.ccxt_client import tapped_class
from adapters.exchanges.generic.capabilities import capabilities_of as generic_capabilities_of
from adapters.exchanges.generic.capabilities import without
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import DepthSource, Way
from adapters.exchanges.venue_ids import BY_ADDRESS, UNREADABLE, VENUE_IDS, WITH_PASSWORD
from guard.events import Stream


def settings(venue: str, count: int = 10) -> VenueSettings:
    return VenueSettings(id=venue, symbols=[f"C{number}/USDT:USDT" for number in range(count)])


def test_the_venues_of_the_settings_are_those_of_ccxt_with_perpetuals() -> None:
    import ccxt

    stock = {venue: tapped_class(venue)({}) for venue in ccxt.exchanges}
    swap = {venue for venue, client in stock.items() if client.has.get("swap")}
    needs = {venue: {name for name, yes in stock[venue].requiredCredentials.items() if yes} for venue in swap}

    assert swap == VENUE_IDS
    assert {venue for venue in swap if "password" in needs[venue]} == WITH_PASSWORD
    strange = {"privateKey", "uid", "accountId", "login", "token"}
    assert {venue for venue in swap if needs[venue] & strange} == UNREADABLE | BY_ADDRESS


@pytest.mark.parametrize("venue", sorted(VENUE_IDS))
def test_every_venue_is_described_without_connecting(venue: str) -> None:
    gives, has = generic_capabilities_of(settings(venue)), tapped_class(venue)({}).has

    assert gives.depth_source is DepthSource.WHOLE
    assert (gives.way(Stream.BOOK) is Way.STREAMED) == (has.get("watchOrderBook") is True)
    assert (gives.way(Stream.TRADES) is Way.STREAMED) == (has.get("watchTrades") is True)
    for stream, way in gives.ways.items():
        polled_by_us = way is Way.POLLED
        assert polled_by_us == (stream in gives.periods_ms)
    if gives.way(Stream.LIQUIDATIONS) is not Way.ABSENT:
        assert venue in {"binance", "binanceusdm", "binancecoinm", "bybit", "bybitid", "okx", "okxus"}
    assert gives.notes


def test_a_liquidation_whose_side_is_not_established_is_not_read() -> None:
    gives = generic_capabilities_of(settings("lighter"))

    assert tapped_class("lighter")({}).has["watchLiquidations"] is True
    assert gives.way(Stream.LIQUIDATIONS) is Way.ABSENT
    assert any("whose side" in note for note in gives.notes)


def test_rounds_of_polling_grow_with_the_markets_and_with_the_venues_limit() -> None:
    few = generic_capabilities_of(settings("delta", 2)).periods_ms[Stream.BOOK]
    many = generic_capabilities_of(settings("delta", 200)).periods_ms[Stream.BOOK]
    free = VenueSettings(id="delta", symbols=["A"], rate_limit=False)

    assert (few, many) == (2 * 300 * 4, 200 * 300 * 4)
    assert generic_capabilities_of(free).periods_ms[Stream.BOOK] == 1_000


def test_venues_in_depth_are_described_by_their_own_packages() -> None:
    assert capabilities_of(settings("binanceusdm")).depth_source is DepthSource.REST
    assert capabilities_of(settings("krakenfutures")).depth_source is DepthSource.WHOLE


def test_what_turns_out_not_to_be_given_is_absent_and_said() -> None:
    gives = generic_capabilities_of(settings("krakenfutures"))
    less = without(gives, Stream.MARK_PRICE, "its answers hold none")

    assert gives.way(Stream.MARK_PRICE) is Way.POLLED
    assert less.way(Stream.MARK_PRICE) is Way.ABSENT
    assert less.notes[-1] == "mark_price: its answers hold none"
    assert without(less, Stream.MARK_PRICE, "again") is less
