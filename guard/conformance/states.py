"""Made-up worlds that a policy is asked about: two markets, an account, a bot, and whatever can be wrong with them.

Each is built of events, as the daemon builds its own; a policy sees the same ``GuardState``.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
import numpy as np

from guard.events import (
    AccountSnapshot,
    AssetPrice,
    AssetPricesSeen,
    BookStatus,
    BotBorn,
    BotReported,
    CollateralHeld,
    GuardStarted,
    LinkChanged,
    LinkKind,
    MarginMode,
    MarginTermsSeen,
    MarketFeatures,
    MarkPriceSeen,
    MessageRefused,
    Order,
    Pooling,
    Position,
    PositionSource,
    Tick,
)
from guard.forecasts import (
    HORIZONS_S,
    MOVES,
    QUANTILES,
    Amount,
    Band,
    Direction,
    HazardForecast,
    MapForecast,
    MarketOutlook,
    ReachForecast,
    Regime,
    SizingForecast,
)
from guard.margin_terms import MarginTier, TermsSource, TierTable
from guard.market.book import new_book
from guard.market.sampler import features_from
from guard.market.view import BaselineSettings
from guard.state import BotConfig, GuardState
from guard.units import NS_PER_MS, NS_PER_S, AccountId, BotId, MarketId, Nanoseconds, symbol_of
from perpguard_sdk.messages import (
    Birth,
    Entries,
    Mode,
    Posture,
    Reported,
    ReportedPosition,
    StopRule,
    Verb,
    VerbCapability,
)

MARKET = MarketId("sample:BTC/USDT:USDT")
OTHER = MarketId("sample:ETH/USDT:USDT")
ACCOUNT = AccountId("sample:main")
SECOND = AccountId("sample:second")
BOT = BotId("sample-bot")
BEGAN_AT: Nanoseconds = 1_760_000_000 * NS_PER_S
WARM_S = 60.0
STEP_S = 0.25
PRICE = 100.0
LEVELS, LEVEL_BPS, LEVEL_SIZE = 300, 1.0, 100.0

Make = Callable[[], GuardState]


def at(seconds: float) -> Nanoseconds:
    """``seconds`` after the made-up worlds began, Unix nanoseconds."""
    return BEGAN_AT + round(seconds * NS_PER_S)


def empty() -> GuardState:
    """Nothing is known, and nobody is there."""
    return GuardState.of(baseline=_baseline(), markets=(MARKET,), bots=(), keyed_accounts=())


def cold() -> GuardState:
    """One sample, one position, a floor from a former guard."""
    state = _new()
    _start(state, 0.0)
    state.apply(_sample(0.0))
    _hold(state, 0.1, Position(market=MARKET, size=1.0, liquidation_price=90.0))
    return state


def calm() -> GuardState:
    """A minute of a full book, and a position far from danger."""
    state = _warm()
    _hold(state, WARM_S, _long(10.0, leverage=2.0))
    _suppose(state, WARM_S, regime=Regime.NORMAL, share=1.0, hazard=0.001)
    return state


def in_danger() -> GuardState:
    """Everything at once: thin book, cascade, near liquidation, stop in reach, silent bot, link down, fallen coins."""
    state = _warm()
    _start(state, WARM_S)
    for number in range(1, 17):
        seconds = WARM_S + number * STEP_S
        state.apply(_sample(seconds, bid_size=5.0))
        state.apply(MarkPriceSeen(received_at=at(seconds), market=MARKET, mark_price=PRICE))
    now = WARM_S + 4.0
    stop = Order(
        order_id="stop", market=MARKET, size=-50.0, price=None, stop_price=PRICE * 0.995, reduce_only=True
    )
    held = msgspec.structs.replace(_long(50.0, leverage=8.0), liquidation_price=85.0)
    _hold(state, now, held, orders=(stop,))
    _report(state, now, size=50.0, clock_offset_ms=9_000.0)
    state.apply(_terms(now, 0.05))
    _fallen_collateral(state, now)
    state.apply(LinkChanged(received_at=at(now), link=LinkKind.BROKER, up=False, detail="away"))
    for _ in range(5):
        state.apply(
            MessageRefused(received_at=at(now), topic="sample", bot=BOT, detail="signature does not fit")
        )
    _suppose(state, now, regime=Regime.CASCADE, share=0.0, hazard=0.4)
    return state


def short_in_danger() -> GuardState:
    """A short near its liquidation under an empty upper side, in a market that is stressed."""
    state = _warm()
    for number in range(1, 17):
        state.apply(_sample(WARM_S + number * STEP_S, ask_size=5.0))
    now = WARM_S + 4.0
    held = Position(
        market=MARKET,
        size=-50.0,
        entry_price=PRICE,
        mark_price=PRICE,
        liquidation_price=PRICE * 1.06,
        margin_mode=MarginMode.ISOLATED,
        margin_usd=400.0,
        leverage=12.0,
    )
    _hold(state, now, held)
    _suppose(state, now, regime=Regime.STRESSED, share=0.0, hazard=0.2)
    return state


def recovering() -> GuardState:
    """Half of it may be resumed."""
    state = calm()
    _suppose(state, WARM_S + 1.0, regime=Regime.RECOVERY, share=0.5, hazard=0.01)
    return state


def without_mark() -> GuardState:
    """A book and no mark price."""
    state = _new()
    for number in range(200):
        state.apply(_sample(number * STEP_S))
    _hold(state, 50.0, Position(market=MARKET, size=10.0, liquidation_price=99.0))
    return state


def without_book() -> GuardState:
    """The book of a held position has gone."""
    state = _warm()
    now = WARM_S + 1.0
    state.apply(MarketFeatures(received_at=at(now), market=MARKET, status=BookStatus.EMPTY))
    _hold(state, now, Position(market=MARKET, size=10.0, liquidation_price=99.0))
    return state


def with_next_to_no_depth() -> GuardState:
    """Levels with a billionth of the usual on them, and positions that dwarf any book."""
    state = _warm()
    for number in range(1, 17):
        state.apply(_sample(WARM_S + number * STEP_S, bid_size=1e-9, ask_size=1e-9))
    now = WARM_S + 4.0
    _hold(
        state,
        now,
        Position(market=MARKET, size=-1e6, liquidation_price=100.1),
        Position(market=MARKET, size=1e6, liquidation_price=99.9),
    )
    return state


def with_odd_positions() -> GuardState:
    """Both sides at once, liquidation prices that cannot be, no equity, an account whose orders are not known."""
    state = _warm()
    _hold(
        state,
        WARM_S,
        Position(market=MARKET, size=1.0),
        Position(market=MARKET, size=-1.0, liquidation_price=0.0),
        Position(market=MARKET, size=3.0, liquidation_price=120.0),
        Position(market=MARKET, size=-3.0, liquidation_price=80.0, margin_mode=MarginMode.ISOLATED),
        equity_usd=0.0,
    )
    return state


def mark_and_birth_alone() -> GuardState:
    """A bot and a price, nothing else."""
    state = _new()
    state.apply(MarkPriceSeen(received_at=at(0.0), market=MARKET, mark_price=PRICE))
    return state


STATES: Mapping[str, Make] = MappingProxyType(
    {
        make.__name__: make
        for make in (
            empty,
            cold,
            calm,
            in_danger,
            short_in_danger,
            recovering,
            without_mark,
            without_book,
            with_next_to_no_depth,
            with_odd_positions,
            mark_and_birth_alone,
        )
    }
)
"""By name, each made anew at every call."""

MOMENTS_S = (0.0, 30.0, WARM_S + 4.001, WARM_S + 6.001, WARM_S + 3_600.0)
"""When a policy is asked, seconds after the beginning."""


def _baseline() -> BaselineSettings:
    return BaselineSettings(warm_up_s=20.0, recover_ms=1_000)


def _new() -> GuardState:
    state = GuardState.of(
        baseline=_baseline(),
        markets=(MARKET, OTHER),
        bots=(BotConfig(bot=BOT, account=ACCOUNT, markets=()),),
        keyed_accounts=(),
    )
    birth = Birth(
        bot=BOT,
        session="sample",
        ts=BEGAN_AT // NS_PER_MS,
        software="sample",
        software_version="1",
        mode=Mode.PAPER,
        venue="sample",
        account="main",
        symbols=(symbol_of(MARKET), symbol_of(OTHER)),
        verbs={verb: VerbCapability(deadline_ms=2_000) for verb in Verb},
    )
    state.apply(BotBorn(received_at=at(0.0), birth=birth))
    return state


def _warm() -> GuardState:
    return copy.deepcopy(_warmed())


@functools.cache
def _warmed() -> GuardState:
    state = _new()
    state.apply(_terms(0.0, 0.01))
    for number in range(int(WARM_S / STEP_S) + 1):
        seconds = number * STEP_S
        for market in (MARKET, OTHER):
            state.apply(_sample(seconds, market=market))
            state.apply(MarkPriceSeen(received_at=at(seconds), market=market, mark_price=PRICE))
    state.apply(Tick(received_at=at(WARM_S)))
    return state


def _start(state: GuardState, seconds: float) -> None:
    floor = Posture(
        bot=BOT,
        version=7,
        epoch=3,
        session="former",
        ts=0,
        expires_at=0,
        mode=Mode.PAPER,
        entries={symbol_of(MARKET): Entries.HALTED},
        stops={symbol_of(MARKET): StopRule(stop_price=90.0)},
    )
    state.apply(
        GuardStarted(
            received_at=at(seconds),
            guard="sample",
            epoch=4,
            session="sample",
            mode=Mode.PAPER,
            floors=(floor,),
        )
    )


def _sample(
    seconds: float,
    *,
    bid_size: float = LEVEL_SIZE,
    ask_size: float = LEVEL_SIZE,
    market: MarketId = MARKET,
) -> MarketFeatures:
    moment = at(seconds)
    return msgspec.structs.replace(
        _sampled(bid_size, ask_size), market=market, received_at=moment, book_at=moment
    )


@functools.cache
def _sampled(bid_size: float, ask_size: float) -> MarketFeatures:
    away = (np.arange(LEVELS) + 1.0) * LEVEL_BPS / 10_000.0
    book = new_book()
    book.load(
        np.column_stack([PRICE * (1.0 - away), np.full(LEVELS, bid_size)]),
        np.column_stack([PRICE * (1.0 + away), np.full(LEVELS, ask_size)]),
    )
    return features_from(book, market=MARKET, received_at=0, book_at=0, updates=1)


def _terms(seconds: float, ratio: float) -> MarginTermsSeen:
    tiers = (MarginTier(floor=0.0, maintenance_ratio=ratio),)
    tables = tuple(TierTable(market=each, tiers=tiers, source=TermsSource.VENUE) for each in (MARKET, OTHER))
    return MarginTermsSeen(received_at=at(seconds), venue="sample", tiers=tables)


def _long(size: float, *, leverage: float) -> Position:
    return Position(
        market=MARKET,
        size=size,
        entry_price=PRICE,
        mark_price=PRICE,
        margin_mode=MarginMode.ISOLATED,
        margin_usd=size * PRICE / leverage,
        leverage=leverage,
    )


def _hold(
    state: GuardState,
    seconds: float,
    *positions: Position,
    orders: tuple[Order, ...] = (),
    equity_usd: float | None = None,
) -> None:
    state.apply(
        AccountSnapshot(
            received_at=at(seconds),
            account=ACCOUNT,
            source=PositionSource.VENUE,
            equity_usd=equity_usd,
            positions=positions,
            orders=orders,
        )
    )


def _report(state: GuardState, seconds: float, *, size: float, clock_offset_ms: float) -> None:
    said = Reported(
        bot=BOT,
        session="sample",
        ts=at(seconds) // NS_PER_MS,
        mode=Mode.PAPER,
        posture_version=7,
        epoch=3,
        seq=0,
        safe_mode=False,
        positions=(ReportedPosition(symbol=symbol_of(MARKET), size=size),),
        clock_offset_ms=clock_offset_ms,
    )
    state.apply(BotReported(received_at=at(seconds), reported=said))


def _fallen_collateral(state: GuardState, seconds: float) -> None:
    """Another account stands on a stablecoin that lost a third everywhere."""
    for venue in ("bybit", "okx", "kraken"):
        price = AssetPrice(asset="USDE", quote="USD", bid=0.66, ask=0.66)
        state.apply(AssetPricesSeen(received_at=at(seconds), venue=venue, prices=(price,)))
    held = Position(market=OTHER, size=1.0, entry_price=PRICE, mark_price=PRICE, margin_mode=MarginMode.CROSS)
    state.apply(
        AccountSnapshot(
            received_at=at(seconds),
            account=SECOND,
            source=PositionSource.VENUE,
            positions=(held,),
            orders=(),
            pooling=Pooling.ONE_POOL,
            collateral=(
                CollateralHeld(asset="USDE", quantity=5_000.0, venue_price_usd=1.0, venue_haircut=0.0),
            ),
        )
    )


def _suppose(state: GuardState, seconds: float, *, regime: Regime, share: float, hazard: float) -> None:
    """An outlook as if it had been estimated: the same both ways."""
    ways = tuple(Direction)
    state.outlook.suppose(
        MarketOutlook(
            at=at(seconds),
            market=MARKET,
            regime=regime,
            regime_since=at(seconds),
            resume_share=share,
            price=PRICE,
            oi_depth_ratio=20.0,
            maps=tuple(_map(way) for way in ways),
            reaches=tuple(_reach(way) for way in ways),
            hazards=tuple(_hazard(way, hazard) for way in ways),
            sizings=tuple(
                SizingForecast(direction=way, danger=hazard, usual=0.01, leverage_share=0.5) for way in ways
            ),
        )
    )


def _map(way: Direction) -> MapForecast:
    band = Band(
        near=0.02,
        far=0.03,
        near_price=PRICE * (1.0 + way.sign * 0.02),
        far_price=PRICE * (1.0 + way.sign * 0.03),
        mass=Amount(1e7, 5e6, 2e7),
        ratio=5.0,
    )
    within = tuple(Amount(usd, usd / 2.0, usd * 2.0) for usd in (1e6, 1.2e7, 3e7))
    return MapForecast(direction=way, mark_price=PRICE, within=within, bands=(band,))


def _reach(way: Direction) -> ReachForecast:
    quantiles = tuple(0.15 * chance for chance in QUANTILES)
    return ReachForecast(
        direction=way, quantiles=quantiles, probability=(0.8, 0.5, 0.2)[: len(MOVES)], expected=0.07
    )


def _hazard(way: Direction, hazard: float) -> HazardForecast:
    rows = tuple(
        tuple(min(hazard * (1.0 + hour) / (1.0 + move), 0.9) for move in range(len(MOVES)))
        for hour in range(len(HORIZONS_S))
    )
    return HazardForecast(direction=way, probability=rows, vulnerability=hazard, shock=hazard)
