"""Many markets for the engine: rounds of samples in batches, prices, Ticks, and one urgent sample beside them."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import structs

from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import encode_record
from guard.dispatch import Dispatch, DispatchSettings
from guard.engine import Engine
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    BotBorn,
    GuardStarted,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    Position,
    PositionSource,
    Tick,
)
from guard.market.book import Floats, new_book
from guard.market.sampler import features_from
from guard.market.view import BaselineSettings
from guard.policy import Policy
from guard.state import BotConfig, GuardState
from guard.units import NS_PER_S, AccountId, BotId, MarketId, market_id
from perpguard_sdk.messages import Birth, Mode, Verb, VerbCapability

BATCH = 128
"""What the inbox gives at once when a market takes 150 us."""
WARM_ROUNDS = 60
"""Four rounds a second, until the baselines are warm."""
T0 = 1_760_000_000 * NS_PER_S
ACCOUNT = AccountId("benchmark:main")
BOT = BotId("alpha")
BOOKS = 40


@dataclass(slots=True)
class Spent:
    """Microseconds of CPU a kind of event (of a sample: each), and the bytes of every step if asked for."""

    us: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    count: Counter[str] = field(default_factory=Counter)
    steps: list[bytes] = field(default_factory=list)

    def of(self, kind: str) -> float:
        return self.us[kind] / self.count[kind]


def play(
    policies: Sequence[Policy],
    markets: int,
    *,
    traded: bool,
    rounds: int,
    falls: bool = False,
    anew: bool = False,
    keeps: bool = False,
) -> Spent:
    """Feed rounds to a new engine; what comes before the baselines are warm is not counted.

    Args:
        policies: all that judge.
        markets: how many there are.
        traded: whether one bot trades and holds all of them, else only the first two.
        rounds: how many rounds count.
        falls: whether the books empty half-way.
        anew: whether all is worked out anew at every event.
        keeps: whether the steps are kept.
    """
    names = tuple(market_id("benchmark", f"B{number}/USDT:USDT") for number in range(markets))
    engine, spent = _engine(policies, names, names if traded else names[:2]), Spent()
    for kind, event in _events(names, names if traded else names[:2], rounds, falls=falls):
        if anew:
            engine.forget_shortcuts()
        began_ns = time.process_time_ns()
        step = engine.process(event)
        took_us = (time.process_time_ns() - began_ns) / 1e3
        if event.received_at >= T0 + WARM_ROUNDS * NS_PER_S // 4:
            spent.us[kind] += took_us
            spent.count[kind] += len(event.samples) if isinstance(event, MarketsSampled) else 1
        if keeps:
            spent.steps.append(encode_record(step))
    return spent


def _engine(
    policies: Sequence[Policy], markets: tuple[MarketId, ...], traded: tuple[MarketId, ...]
) -> Engine:
    state = GuardState.of(
        baseline=BaselineSettings(half_life_s=1_800.0, warm_up_s=10.0),
        markets=markets,
        bots=(BotConfig(bot=BOT, account=ACCOUNT, markets=traded),),
        keyed_accounts=(ACCOUNT,),
    )
    arbiter = Arbiter(ArbiterSettings(hold_down_s=2.0, step_s=1.0))
    return Engine(state, policies, arbiter, Dispatch(DispatchSettings()))


def _events(
    markets: tuple[MarketId, ...], traded: tuple[MarketId, ...], rounds: int, *, falls: bool
) -> Iterator[tuple[str, AnyEvent]]:
    drawn = random.Random(1)
    calm, empty = _samples(drawn, 1.0), _samples(drawn, 0.15)
    yield "start", GuardStarted(received_at=T0, guard="guard", epoch=1, session="s", mode=Mode.PAPER)
    yield "start", born(BOT)
    for number in range(WARM_ROUNDS + rounds):
        at = T0 + number * NS_PER_S // 4
        books = empty if falls and number >= WARM_ROUNDS + rounds // 2 else calm
        samples = [
            structs.replace(drawn.choice(books), market=market, received_at=at, book_at=at)
            for market in markets
        ]
        for first in range(0, len(samples), BATCH):
            yield "sample", MarketsSampled(received_at=at, samples=tuple(samples[first : first + BATCH]))
        for market in markets:
            yield "price", MarkPriceSeen(received_at=at, market=market, mark_price=100.0)
        if number % 4 == 0:
            yield "account", _account(at, traded)
        yield "urgent", MarketsSampled(received_at=at, samples=(drawn.choice(samples),))
        yield "tick", Tick(received_at=at)


def _samples(drawn: random.Random, depth: float) -> list[MarketFeatures]:
    away = (np.arange(40) + 1.0) * 5e-4
    found = []
    for _ in range(BOOKS):
        mid = 100.0 * (1.0 + drawn.gauss(0.0, 1e-4))
        sizes: Floats = np.full(40, 100.0 * depth * drawn.uniform(0.95, 1.05))
        book = new_book()
        bids, asks = mid * (1.0 - away), mid * (1.0 + away)
        book.load(np.column_stack([bids, sizes]), np.column_stack([asks, sizes]))
        found.append(features_from(book, market=MarketId("any"), received_at=T0, book_at=T0, updates=1))
    return found


def _account(at: int, markets: tuple[MarketId, ...]) -> AccountSnapshot:
    positions = tuple(
        Position(market=market, size=8.0, entry_price=100.0, mark_price=100.0, liquidation_price=80.0)
        for market in markets
    )
    return AccountSnapshot(
        received_at=at,
        account=ACCOUNT,
        source=PositionSource.VENUE,
        equity_usd=10_000.0,
        positions=positions,
        orders=(),
    )


def born(bot: BotId) -> BotBorn:
    """A bot that can do everything, on the one account."""
    birth = Birth(
        bot=bot,
        session=f"life of {bot}",
        ts=T0 // 1_000_000,
        software="benchmark",
        software_version="0",
        mode=Mode.PAPER,
        venue="benchmark",
        account="main",
        symbols=("*",),
        verbs={verb: VerbCapability(deadline_ms=3_000) for verb in Verb},
    )
    return BotBorn(received_at=T0, birth=birth)
