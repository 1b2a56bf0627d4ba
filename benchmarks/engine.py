"""What a judgement costs: CPU time of ``Engine.process`` by kind of event, over a calm and over a falling market.

With 4 to 500 markets too: samples that are judged together, Ticks, and one urgent sample.
Beside it the same engine made to work out everything anew at every event: what is left out because nothing has
changed must not change a byte of what is decided, or the benchmark fails.
"""

from __future__ import annotations

import functools
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks._engine_markets import T0, Spent, born, play
from benchmarks._frame import Better, Options, Result, interleave, main, ratios, result_of
from guard.arbiter import Arbiter, ArbiterSettings
from guard.audit import encode_record
from guard.dispatch import Dispatch, DispatchSettings
from guard.engine import Engine
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    BotReported,
    GuardStarted,
    MarkPriceSeen,
    Position,
    PositionSource,
    Tick,
)
from guard.market.book import Book, Floats, new_book
from guard.market.sampler import features_from
from guard.market.view import BaselineSettings
from guard.state import BotConfig, GuardState
from guard.units import NS_PER_S, AccountId, BotId, MarketId, market_id
from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    Entries,
    Mode,
    Reported,
    ReportedPosition,
)
from policies.cut_leverage import CutLeverage
from policies.distrust_bots import DistrustBots
from policies.distrust_links import DistrustLinks
from policies.distrust_stale_data import DistrustStaleData
from policies.keep_restart_floor import KeepRestartFloor
from policies.pause_entries import PauseEntries
from policies.widen_stops import WidenStops

SECONDS, SECONDS_QUICK = 80, 50
PAUSED_S = 16
"""Until baselines are warm and what that held back is given back."""
MARKETS = tuple(market_id("benchmark", f"{base}/USDT:USDT") for base in ("BTC", "ETH", "SOL", "XRP"))
BOTS = tuple(BotId(name) for name in ("alpha", "beta", "gamma", "delta"))
ACCOUNT = AccountId("benchmark:main")
POLICIES = (
    DistrustStaleData(),
    DistrustBots(),
    DistrustLinks(),
    KeepRestartFloor(),
    PauseEntries(),
    CutLeverage(),
    WidenStops(),
)

MARKETS_MANY, MARKETS_QUICK = (4, 50, 200, 500), (4, 50)
GROWTH_FROM = 50
ROUNDS, ROUNDS_QUICK = 24, 8
EQUAL_MARKETS, EQUAL_ROUNDS = 50, 24
FIGURES = {
    "sample": ("a sample, of many at once", (60.0, 150.0)),
    "tick": ("a Tick", (15_000.0, 15_000.0)),
    "urgent": ("one urgent sample", (1_500.0, 1_500.0)),
    "account": ("an account's snapshot", (1_500.0, None)),
    "price": ("a price", (None, None)),
}
"""By the kind of event: what it is called, and its target with the most markets, watched and all traded."""


@dataclass(frozen=True, slots=True)
class Played:
    """What one pass cost and decided: microseconds an event, and the bytes of every step."""

    us: float
    steps: list[bytes]


def measure(options: Options) -> list[Result]:
    """Return microseconds an event, with and without what is left out, calm and falling."""
    seconds = SECONDS_QUICK if options.quick else SECONDS
    results: list[Result] = []
    for name, falls in (("calm", False), ("falling", True)):
        events = list(_events(seconds, options.seed, falls=falls))
        cases: dict[str, Callable[[], float]] = {
            "as it runs": functools.partial(_us, events, anew=False),
            "all worked out anew": functools.partial(_us, events, anew=True),
        }
        if _play(events, anew=False).steps != _play(events, anew=True).steps:
            raise RuntimeError(f"{name}: what was left out would have changed a step")
        samples = interleave(cases, options)
        ours, anew = samples["as it runs"], samples["all worked out anew"]
        base = {"all worked out anew": sorted(anew)[len(anew) // 2]}
        results.append(result_of("engine", f"{name}: an event", ours, "us", baselines=base))
        results.append(
            result_of("engine", f"{name}: times faster", ratios(anew, ours), "ratio", better=Better.HIGHER)
        )
    return results + _many_markets(options)


def _many_markets(options: Options) -> list[Result]:
    """What samples in batches, Ticks and one urgent sample cost with so many markets, and how it grows."""
    for falls in (False, True):
        plain, anew = (
            play(
                POLICIES, EQUAL_MARKETS, traded=True, rounds=EQUAL_ROUNDS, falls=falls, anew=each, keeps=True
            )
            for each in (False, True)
        )
        if plain.steps != anew.steps:
            raise RuntimeError(f"{EQUAL_MARKETS} markets: what was left out would have changed a step")
    rounds = ROUNDS_QUICK if options.quick else ROUNDS
    sizes = MARKETS_QUICK if options.quick else MARKETS_MANY
    results: list[Result] = []
    for traded, who in ((False, "watched"), (True, "all traded")):
        spent = {
            size: [play(POLICIES, size, traded=traded, rounds=rounds) for _ in range(options.repetitions)]
            for size in sizes
        }
        for size, runs in spent.items():
            for kind, (words, targets) in FIGURES.items():
                figures = [run.of(kind) for run in runs]
                target = targets[traded] if size == max(MARKETS_MANY) else None
                results.append(result_of("engine", f"{size} {who}: {words}", figures, "us", target=target))
        if not options.quick:
            few, many = (spent[size] for size in (GROWTH_FROM, max(sizes)))
            exponents = [_growth(*pair, markets=max(sizes)) for pair in zip(few, many, strict=True)]
            results.append(
                result_of("engine", f"{who}: growth with markets", exponents, "exponent", target=1.05)
            )
    return results


def _growth(few: Spent, many: Spent, *, markets: int) -> float:
    """The exponent with which a second's work grows from ``GROWTH_FROM`` markets on."""
    whole = [sum(spent.us[kind] for kind in ("sample", "price", "tick")) for spent in (few, many)]
    return math.log(whole[1] / whole[0]) / math.log(markets / GROWTH_FROM)


def _us(events: list[AnyEvent], *, anew: bool) -> float:
    return _play(events, anew=anew).us


def _play(events: list[AnyEvent], *, anew: bool) -> Played:
    engine = _engine()
    steps: list[bytes] = []
    spent_ns = 0
    for event in events:
        if anew:
            engine.forget_shortcuts()
        began_ns = time.process_time_ns()
        step = engine.process(event)
        spent_ns += time.process_time_ns() - began_ns
        steps.append(encode_record(step))
    return Played(spent_ns / 1e3 / len(events), steps)


def _engine() -> Engine:
    state = GuardState.of(
        baseline=BaselineSettings(half_life_s=30.0, warm_up_s=10.0),
        markets=MARKETS,
        bots=tuple(BotConfig(bot=bot, account=ACCOUNT, markets=MARKETS) for bot in BOTS),
        keyed_accounts=(ACCOUNT,),
    )
    return Engine(
        state, POLICIES, Arbiter(ArbiterSettings(hold_down_s=3.0, step_s=1.0)), Dispatch(DispatchSettings())
    )


def _events(seconds: int, seed: int, *, falls: bool) -> Iterator[AnyEvent]:
    """Four markets sampled four times a second, four bots on one account; in a fall the books empty half-way."""
    drawn = random.Random(seed)
    mids = dict.fromkeys(MARKETS, 100.0)
    yield GuardStarted(received_at=T0, guard="guard", epoch=1, session="s", mode=Mode.PAPER)
    yield from (born(bot) for bot in BOTS)
    for quarter in range(4 * seconds):
        at = T0 + quarter * NS_PER_S // 4
        is_falling = falls and quarter > 2 * seconds
        for market in MARKETS:
            mids[market] *= 1.0 + drawn.gauss(0.0, 5e-5) - (2e-5 if is_falling else 0.0)
            depth = (0.15 if is_falling else 1.0) * drawn.uniform(0.95, 1.05)
            yield features_from(
                _book(mids[market], depth), market=market, received_at=at, book_at=at, updates=1
            )
            yield MarkPriceSeen(received_at=at, market=market, mark_price=mids[market])
        yield Tick(received_at=at)
        if quarter % 4 == 0:
            yield _account(at, mids)
        if quarter % 8 == 0:
            # They obey: cold baselines block entries at first, and the empty books later.
            is_paused = quarter < 4 * PAUSED_S or is_falling
            yield from (_report(bot, at, quarter + 1, is_paused=is_paused) for bot in BOTS)


def _book(mid: float, depth: float) -> Book:
    away = (np.arange(40) + 1.0) * 5e-4
    sizes: Floats = np.full(40, 100.0 * depth)
    book = new_book()
    book.load(np.column_stack([mid * (1.0 - away), sizes]), np.column_stack([mid * (1.0 + away), sizes]))
    return book


def _account(at: int, mids: dict[MarketId, float]) -> AccountSnapshot:
    positions = tuple(
        Position(market=market, size=8.0, entry_price=100.0, mark_price=mids[market], liquidation_price=93.0)
        for market in MARKETS
    )
    return AccountSnapshot(
        received_at=at,
        account=ACCOUNT,
        source=PositionSource.VENUE,
        equity_usd=1_000.0,
        positions=positions,
        orders=(),
    )


def _report(bot: BotId, at: int, number: int, *, is_paused: bool) -> BotReported:
    positions = tuple(ReportedPosition(symbol=market.partition(":")[2], size=2.0) for market in MARKETS)
    reported = Reported(
        bot=bot,
        session=f"life of {bot}",
        ts=at // 1_000_000,
        mode=Mode.PAPER,
        posture_version=1,
        epoch=1,
        seq=0,
        safe_mode=False,
        entries={ALL_SYMBOLS: Entries.HALTED} if is_paused else {},
        positions=positions,
        number=number,
    )
    return BotReported(received_at=at, reported=reported)


if __name__ == "__main__":
    sys.exit(main("engine", measure))
