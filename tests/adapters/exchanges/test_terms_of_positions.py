"""Whatever contract an account's reading names has the venue's own terms, by the name that the reading gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.exchanges import AccountCredentials, VenueSettings, venue_feeds
from adapters.exchanges.account_state import AccountState
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.margin_terms import MarginTermsFeed, PartlyReadError
from adapters.exchanges.modules import connect_terms, module_of
from adapters.exchanges.venue import AccountConnection
from guard.account.terms import VenueTerms, maintenance_ratio_of
from guard.errors import VenueError
from guard.events import AccountSnapshot, MarginTermsSeen
from guard.margin_terms import ContractKind, TermsSource, TierTable, TierUnit
from guard.state import GuardState
from guard.units import account_id, market_id
from tests.adapters.exchanges.bybit import inverse
from tests.adapters.exchanges.bybit.payloads import fixture as bybit_fixture
from tests.adapters.exchanges.coinm.venue import coin_venue
from tests.adapters.exchanges.hyperliquid import builders
from tests.adapters.exchanges.hyperliquid.sinks import QuietSink
from tests.adapters.exchanges.okx.payloads import fixture as okx_fixture
from tests.adapters.exchanges.okx.server import KEY, PASSPHRASE, SECRET, OkxServer
from tests.support.answer_server import AnswerServer
from tests.support.builders import QUICK
from tests.support.eventually import eventually
from tests.support.exchange_feeds import running, secret_is_its_name

KEYS = AccountCredentials(
    api_key_env=KEY, api_secret_env=SECRET, password_env=PASSPHRASE, trade_keys_allowed=True
)
Venue = Callable[[], AbstractAsyncContextManager[VenueSettings]]


def settings_of(venue: str, watched: str, urls: dict[str, Any], **more: Any) -> VenueSettings:
    accounts = {"main": more.pop("account", KEYS)}
    return VenueSettings(id=venue, symbols=[watched], urls=urls, rate_limit=False, accounts=accounts, **more)


@asynccontextmanager
async def coin_margined() -> AsyncIterator[VenueSettings]:
    async with coin_venue() as venue:
        yield settings_of("binancecoinm", "BTC/USD:BTC", venue.ccxt_urls())


@asynccontextmanager
async def bybit() -> AsyncIterator[VenueSettings]:
    async with AnswerServer(inverse.answer) as server:
        yield settings_of("bybit", "BTC/USDT:USDT", bybit_urls(server))


def bybit_urls(server: AnswerServer) -> dict[str, Any]:
    return {"api": dict.fromkeys(("spot", "futures", "v2", "public", "private"), server.url)}


@asynccontextmanager
async def okx() -> AsyncIterator[VenueSettings]:
    async with OkxServer() as server:
        rows = okx_fixture("position_tiers")["data"]
        families = ("BTC-USDT", "XRP-USDT", "BTC-USD")
        told = [{**row, "instFamily": family, "uly": family} for family in families for row in rows]
        server.answers["/api/v5/public/position-tiers"]["data"] = told
        yield settings_of("okx", "BTC/USDT:USDT", server.urls())


@asynccontextmanager
async def hyperliquid() -> AsyncIterator[VenueSettings]:
    async with AnswerServer(builders.answer) as server:
        yield hyperliquid_settings(server)


def hyperliquid_settings(server: AnswerServer) -> VenueSettings:
    urls = {"api": {"public": server.url, "private": server.url}}
    account = AccountCredentials(wallet_address=builders.ADDRESS)
    return settings_of("hyperliquid", "BTC/USDC:USDC", urls, account=account)


async def reading_of(settings: VenueSettings) -> AccountSnapshot:
    """What the account's own connection makes of one reading of the venue."""
    credentials = Credentials(KEY, SECRET, PASSPHRASE, builders.ADDRESS)
    clock, sink = SystemClock(), QuietSink()
    module = module_of(settings.id)
    connection: AccountConnection = await module.connect_account(
        settings, "main", credentials, sink, clock, Markets()
    )
    try:
        await connection.load()
        state = AccountState(account_id(settings.id, "main"), connection.symbol_of)
        state.begin_reading()
        state.apply_reading(await connection.read(orders=False))
        return state.snapshot(clock.now())
    finally:
        await connection.close()


HELD = {
    "binancecoinm": {"BTC/USD:BTC", "ETH/USD:ETH", "BTC/USD:BTC-200925"},
    "bybit": {"BTC/USDT:USDT", "BTC/USDT:USDT-261225", "BTC/USD:BTC", inverse.INVERSE_DATED},
    "okx": {"BTC/USDT:USDT", "XRP/USDT:USDT", "BTC/USD:BTC"},
    "hyperliquid": {
        *("BTC/USDC:USDC", "ETH/USDC:USDC"),
        *("XYZ-TSLA/USDH:USDH", "XYZ-BRK-B/USDH:USDH", "FLX-GOLD/USDC:USDC"),
    },
}
VENUES = {"binancecoinm": coin_margined, "bybit": bybit, "okx": okx, "hyperliquid": hyperliquid}


@pytest.mark.parametrize("name", VENUES)
async def test_every_position_of_a_reading_has_the_venues_own_table_by_its_name(name: str) -> None:
    venue: Venue = VENUES[name]
    async with venue() as settings:
        snapshot = await reading_of(settings)
        state = GuardState.of(
            baseline=QUICK, markets=(), bots=(), keyed_accounts=(account_id(settings.id, "main"),)
        )
        state.apply(snapshot)
        terms = VenueTerms(settings.id)
        feeds = venue_feeds(
            settings,
            clock=SystemClock(),
            resolve_secret=secret_is_its_name,
            held=lambda: state.needed(settings.id),
        )
        async with running([feed for feed in feeds if isinstance(feed, MarginTermsFeed)]) as events:
            await eventually(
                lambda: (
                    {
                        position.market
                        for position in snapshot.positions
                        if not any(
                            table.market == position.market
                            for seen in events.of(MarginTermsSeen)
                            for table in seen.tiers
                        )
                    }
                    == set()
                ),
                what="a table for each position",
            )
        for seen in events.of(MarginTermsSeen):
            terms.apply(seen)

    # The reading tells contracts of all these kinds, of which but one is watched.
    assert {position.market for position in snapshot.positions} == {
        market_id(name, symbol) for symbol in HELD[name]
    }
    for position in snapshot.positions:
        table = terms.table(position.market)
        assert (table.source, table.kind) == (TermsSource.VENUE, position.kind), position.market
        assert table.unit is (TierUnit.SIZE if name == "okx" else TierUnit.NOTIONAL)


async def tables_of(settings: VenueSettings, *symbols: str) -> dict[str, TierTable]:
    """What the connection reads of these; also what it could if it could not read all."""
    connection = await connect_terms(settings, {}, Markets())
    try:
        await connection.load()
        return dict(await connection.read_tiers(symbols))
    except PartlyReadError as error:
        return dict(error.found)
    finally:
        await connection.close()


@pytest.mark.parametrize("symbol", ["BTC/USD:BTC", inverse.INVERSE_DATED])
async def test_limits_of_inverse_contracts_are_coins_and_their_percents_ratios(symbol: str) -> None:
    async with bybit() as settings:
        table = (await tables_of(settings, symbol))[symbol]

    assert [(tier.floor, tier.maintenance_ratio, tier.leverage_max) for tier in table.tiers] == [
        (0.0, 0.005, 100.0),
        (150.0, 0.01, 66.66),
    ]
    # 149 coins at any price belong to the lowest tier: a continuous margin has 300 at 0.75 % on average.
    for price in (20_000.0, 90_000.0):
        assert maintenance_ratio_of(table, 149.0 * price, price) == 0.005
        assert maintenance_ratio_of(table, 300.0 * price, price) == pytest.approx(0.0075)


async def test_tiers_of_inverse_swaps_are_counted_in_dollars() -> None:
    async with okx() as settings:
        table = (await tables_of(settings, "BTC/USD:BTC"))["BTC/USD:BTC"]

    assert table.kind is ContractKind.INVERSE
    # 500 contracts of 100 dollars belong to the first tier, whatever a coin costs.
    for price in (20_000.0, 90_000.0):
        assert maintenance_ratio_of(table, 50_000.0, price) == 0.004
        assert maintenance_ratio_of(table, 50_001.0, price) == 0.005


async def test_markets_of_builders_have_the_tables_of_their_exchange_and_by_either_name() -> None:
    async with hyperliquid() as settings:
        names = ("XYZ-TSLA/USDH:USDH", "xyz:TSLA", "XYZ-BRK-B/USDH:USDH", "XYZ-NONE/USDH:USDH", "NO-DEX/A:A")
        found = await tables_of(settings, *names)

    tesla = [(tier.floor, tier.maintenance_ratio, tier.deduction) for tier in found[names[0]].tiers]
    assert tesla == [(0.0, 0.05, 0.0), (5e6, 0.1, pytest.approx(250_000.0))]
    assert found["xyz:TSLA"].tiers == found[names[0]].tiers
    assert [tier.maintenance_ratio for tier in found["XYZ-BRK-B/USDH:USDH"].tiers] == [0.05]
    assert not {"XYZ-NONE/USDH:USDH", "NO-DEX/A:A"} & found.keys()


async def test_no_exchange_is_asked_in_which_nothing_is_held() -> None:
    async with AnswerServer(builders.answer) as server:
        settings = hyperliquid_settings(server)
        await tables_of(settings, "BTC/USDC:USDC")
        assert not {"perpDexs", "meta"} & {asked["type"] for _, asked in server.asked}
        await tables_of(settings, "FLX-GOLD/USDC:USDC")
        assert [asked["dex"] for _, asked in server.asked if asked["type"] == "meta"] == ["flx"]


@pytest.mark.parametrize("refused", ["meta", "perpDexs"])
async def test_an_exchange_that_cannot_be_read_leaves_the_others_as_they_are(refused: str) -> None:
    def answer(path: str, asked: dict[str, str]) -> Any:
        is_refused = asked["type"] == refused and asked.get("dex", "xyz") == "xyz"
        return {"no": "exchange"} if is_refused else builders.answer(path, asked)

    async with AnswerServer(answer) as server:
        found = await tables_of(
            hyperliquid_settings(server), "BTC/USDC:USDC", "XYZ-TSLA/USDH:USDH", "FLX-GOLD/USDC:USDC"
        )

    assert "BTC/USDC:USDC" in found
    assert "XYZ-TSLA/USDH:USDH" not in found
    assert ("FLX-GOLD/USDC:USDC" in found) is (refused == "meta")


async def test_a_contract_that_the_venue_refuses_leaves_the_others_as_they_are() -> None:
    def answer(path: str, asked: dict[str, str]) -> Any:
        if path.endswith("risk-limit") and asked.get("symbol") == inverse.DATED:
            return {"retCode": 10001, "retMsg": "params error: symbol invalid", "result": {}, "time": 1}
        return inverse.answer(path, asked)

    async with AnswerServer(answer) as server:
        settings = settings_of("bybit", "BTC/USDT:USDT", bybit_urls(server))
        found = await tables_of(settings, "BTC/USDT:USDT", "BTC/USDT:USDT-261225", "BTC/USD:BTC")
    assert {symbol for symbol in found if symbol in HELD["bybit"]} == {"BTC/USDT:USDT", "BTC/USD:BTC"}


async def test_a_venue_that_answers_nothing_is_not_asked_for_each_contract() -> None:
    async with AnswerServer(inverse.answer) as server:
        connection = await connect_terms(
            settings_of("bybit", "BTC/USDT:USDT", bybit_urls(server)), {}, Markets()
        )
        try:
            await connection.load()
            server.answer = lambda path, asked: bybit_fixture("risk_limit") | {"retCode": 10006}
            server.asked.clear()
            with pytest.raises(VenueError):
                await connection.read_tiers(["BTC/USDT:USDT", "BTC/USDT:USDT-261225", "BTC/USD:BTC"])
            assert len(server.asked) == 1
        finally:
            await connection.close()
