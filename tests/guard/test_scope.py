"""What an event may have changed: nothing that a policy finds elsewhere, and asked in part it answers the same."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import pytest

from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import encode_record
from guard.dispatch import Dispatch, DispatchSettings
from guard.engine import Engine
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    BookStatus,
    LinkChanged,
    LinkKind,
    MarketFeatures,
    MarketsSampled,
    MarketsWatched,
    MarkPriceSeen,
    MessageRefused,
    PositionSource,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
    StreamsActive,
)
from guard.findings import Finding
from guard.policy import DecideFor
from guard.scope import ONLY_NOTED, before, scope_of
from guard.state import BotConfig, GuardState
from guard.units import AccountId, BotId, MarketId, Nanoseconds, market_id
from perpguard_sdk.messages import Entries
from policies.cut_leverage import CutLeverage
from policies.distrust_bots import DistrustBots
from policies.distrust_collateral import DistrustCollateral
from policies.distrust_links import DistrustLinks
from policies.distrust_liquidation_prices import DistrustLiquidationPrices
from policies.distrust_stale_data import DistrustStaleData
from policies.keep_restart_floor import KeepRestartFloor
from policies.margin_tightening import MarginTightening
from policies.pause_entries import PauseEntries
from policies.widen_stops import WidenStops
from tests.support.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    QUICK,
    at,
    born,
    bot_state,
    features,
    order,
    position,
    posture,
    reported,
    snapshot,
    started,
    tick,
)

POLICIES = (
    DistrustStaleData(),
    DistrustBots(),
    DistrustLinks(),
    KeepRestartFloor(),
    DistrustLiquidationPrices(),
    MarginTightening(),
    DistrustCollateral(confirm_s=0.0),
    PauseEntries(confirm_s=1.0, collapse_s=0.5),
    CutLeverage(confirm_s=0.3),
    WidenStops(confirm_s=0.3, thin_ratio=0.9),
)
MARKETS = tuple(market_id("loopback", f"{base}/USDT:USDT") for base in ("BTC", "ETH", "SOL", "XRP", "ADA"))
LATE = market_id("loopback", "LATE/USDT:USDT")
OTHER = AccountId("loopback:other")
GAMMA = BotId("gamma")


def new_state() -> GuardState:
    return GuardState.of(
        baseline=QUICK,
        markets=MARKETS,
        bots=(
            BotConfig(bot=ALPHA, account=ACCOUNT, markets=MARKETS[:2]),
            BotConfig(bot=BETA, account=ACCOUNT),
            BotConfig(bot=GAMMA, account=OTHER),
        ),
        keyed_accounts=(ACCOUNT,),
    )


def a_wild_minute(seed: int) -> Iterator[AnyEvent]:  # noqa: PLR0912 (one case a kind of event)
    """Everything that can happen, in an order that nobody has thought of; books that thin out and come back."""
    chance = random.Random(seed)
    yield born(0.0, ALPHA, symbols=("BTC/USDT:USDT",))
    yield born(0.0, GAMMA, symbols=("*",))
    yield started(0.1, floors=[posture(entries={"BTC/USDT:USDT": Entries.HALTED})])
    stops = [
        order(f"s{at_}", -8.0, stop_price=99.0, reduce_only=True, market=m) for at_, m in enumerate(MARKETS)
    ]
    numbers = iter(range(1, 100_000))
    for step in range(130):
        seconds = 0.2 + step * 0.5
        yield MarketsSampled(
            received_at=at(seconds),
            samples=tuple(sampled(chance, seconds, market) for market in MARKETS if chance.random() < 0.9),
        )
        for market in MARKETS:
            if chance.random() < 0.5:
                price = 100.0 + chance.uniform(-1.0, 1.0)
                yield MarkPriceSeen(received_at=at(seconds), market=market, mark_price=price)
        match chance.randrange(14):
            case 0:
                held = [position(8.0, market=m, liquidation_price=97.0) for m in chance.sample(MARKETS, 3)]
                yield snapshot(seconds, *held, orders=stops, equity_usd=500.0)
            case 1:
                yield reported(seconds, ALPHA, size=chance.choice((None, 8.0)), number=next(numbers))
            case 2:
                symbol = chance.choice(MARKETS).partition(":")[2]
                yield reported(
                    seconds, GAMMA, size=5.0, symbol=symbol, liquidation_price=98.0, number=next(numbers)
                )
            case 3:
                yield fault(seconds, chance.choice(MARKETS), Stream.BOOK)
            case 4:
                yield fault(seconds, ACCOUNT, Stream.ACCOUNT)
            case 5:
                yield LinkChanged(received_at=at(seconds), link=LinkKind.BROKER, up=chance.random() < 0.5)
            case 6:
                yield born(
                    seconds, BETA, symbols=(chance.choice(MARKETS).partition(":")[2],), session=f"b{step}"
                )
            case 7:
                yield MessageRefused(received_at=at(seconds), topic="t", bot=BETA, detail="signature")
            case 8:
                yield active(seconds)
            case 9:
                yield features(seconds, market=LATE)
            case 10:
                yield bot_state(seconds, ALPHA)
            case 11 if step % 5 == 0:
                watched = (*MARKETS, LATE) if chance.random() < 0.7 else MARKETS
                yield MarketsWatched(received_at=at(seconds), venue="loopback", markets=watched)
            case 12:
                source = PositionSource.BOT
                yield snapshot(seconds, position(1.0), account=OTHER, source=source, orders=None)
            case _:
                pass
        yield tick(seconds + 0.1)


def sampled(chance: random.Random, seconds: float, market: MarketId) -> MarketFeatures:
    if chance.random() < 0.02:
        return MarketFeatures(received_at=at(seconds), market=market, status=BookStatus.CROSSED)
    depth = chance.choice((1.0, 1.0, 1.0, 0.1)) if seconds > 25.0 else 1.0
    mid = 100.0 + chance.uniform(-0.1, 0.1)
    return features(seconds, mid, bid_size=100.0 * depth * chance.uniform(0.9, 1.1), market=market)


def fault(seconds: float, subject: MarketId | AccountId, stream: Stream) -> StreamFault:
    kind = StreamFaultKind.DISCONNECTED if int(seconds) % 2 else StreamFaultKind.RECONCILED
    return StreamFault(received_at=at(seconds), subject=subject, stream=stream, fault=kind)


def active(seconds: float) -> StreamsActive:
    subjects: list[tuple[MarketId | AccountId, Stream]] = [(each, Stream.BOOK) for each in MARKETS]
    subjects.append((ACCOUNT, Stream.ACCOUNT))
    said = tuple(
        StreamActivity(
            received_at=at(seconds),
            subject=subject,
            stream=stream,
            updates=9,
            last_at=at(seconds),
            gap_ns_max=10**8,
        )
        for subject, stream in subjects
    )
    return StreamsActive(received_at=at(seconds), activities=said)


def decided(state: GuardState, now: Nanoseconds) -> list[Finding]:
    return [found for policy in POLICIES for found in policy.decide(state, now)]


@pytest.mark.parametrize("seed", range(2))
def test_what_an_event_changes_lies_within_its_scope(seed: int) -> None:
    state, kinds = new_state(), set()
    for event in a_wild_minute(seed):
        now = max(state.now, event.received_at)
        was, former = before(event, state), decided(state, now)
        state.apply(event)
        if isinstance(event, ONLY_NOTED):
            continue
        scope = scope_of(event, was, state)
        if scope is None:
            continue
        found = decided(state, now)
        others = [
            *(each for each in found if each not in former),
            *(each for each in former if each not in found),
        ]
        outside = [
            each for each in others if each.subject.market is not None and each.subject.market not in scope
        ]
        assert outside == [], type(event).__name__
        kinds |= {type(event)} if others else set()

    assert {MarketsSampled, AccountSnapshot} <= kinds, "a run in which nothing changes proves nothing"


@pytest.mark.parametrize("seed", range(1))
def test_asked_about_some_markets_a_policy_says_what_it_says_of_them_when_asked_about_all(seed: int) -> None:
    state, chance, compared = new_state(), random.Random(seed), 0
    for number, event in enumerate(a_wild_minute(seed)):
        state.apply(event)
        if number % 7:
            continue
        asked = frozenset(chance.sample((*MARKETS, LATE), 3))
        for policy in POLICIES:
            decide_for: DecideFor | None = getattr(policy, "decide_for", None)
            if decide_for is None:
                continue
            some = list(decide_for(state, state.now, asked))
            every = policy.decide(state, state.now)
            wanted = [each for each in every if each.subject.market is None or each.subject.market in asked]
            assert sorted(map(repr, some)) == sorted(map(repr, wanted)), policy.name
            compared += len(wanted)
    assert compared > 100


@pytest.mark.parametrize("seed", range(3))
def test_every_step_is_what_it_would_be_if_all_were_worked_out_anew(seed: int) -> None:
    def engine() -> Engine:
        arbiter = Arbiter(ArbiterSettings(hold_down_s=2.0, step_s=1.0))
        return Engine(new_state(), POLICIES, arbiter, Dispatch(DispatchSettings()))

    one, anew, commands = engine(), engine(), 0
    for event in a_wild_minute(seed):
        anew.forget_shortcuts()
        step = one.process(event)
        assert encode_record(step) == encode_record(anew.process(copy.deepcopy(event)))
        commands += len(step.commands)
    assert commands > 10
