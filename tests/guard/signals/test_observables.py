"""What single observables say of single situations: each the one that it is there for."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from random import Random

import numpy as np
import pytest

from guard.forecasts import Direction, SignalValue
from guard.readings import Reading
from guard.signals import comovement as comovements
from guard.signals import usual as compiled
from guard.signals.comovement import Comovement
from guard.signals.cross_venue import CrossVenue
from guard.signals.outside import SHIFT_MAX, FactScale, OutsideFact, OutsideFacts
from guard.signals.signals import Signals
from guard.units import NS_PER_S, MarketId
from tests.guard.signals.readings import ALT, BTC, START, book_at, walk
from tests.support.uncompiled import uncompiled

(SOURCE,) = uncompiled("guard.signals.usual")
CALM_S = 3_000


def told(signals: Signals, market: MarketId = ALT, at: int | None = None) -> dict[str, SignalValue]:
    return {value.name: value for value in signals.values(market, signals._now if at is None else at)}


def value_of(signals: Signals, name: str, market: MarketId = ALT) -> float:
    value = told(signals, market)[name].value
    assert value is not None, name
    return value


def after_calm(market: MarketId = ALT, seed: int = 1) -> tuple[Signals, Reading]:
    signals = Signals()
    readings = walk(market, seed, CALM_S // 5)
    for reading in readings:
        signals.update(reading)
    return signals, readings[-1]


def go_on(signals: Signals, last: Reading, mids: list[float], **changed: float) -> Reading:
    for mid in mids:
        at = last.at + 5 * NS_PER_S
        fields = {"mark_price": mid, "index_price": mid, "buy_usd": 1e5, "sell_usd": 1e5} | changed
        last = replace(last, at=at, open_interest_at=at, elapsed_s=5.0, book=book_at(mid), **fields)  # type: ignore[arg-type]
        signals.update(last)
    return last


def falling(last: Reading, share: float, steps: int) -> list[float]:
    assert last.book is not None
    return [last.book.mid * (1.0 - share * (step + 1) / steps) for step in range(steps)]


def test_a_fall_without_sellers_is_a_vacuum_and_one_with_them_is_not() -> None:
    alone, last = after_calm()
    go_on(alone, last, falling(last, 0.05, 24))
    sold, last = after_calm()
    go_on(sold, last, falling(last, 0.05, 24), buy_usd=0.0, sell_usd=3e6)
    assert value_of(alone, "vacuum") < -8.0
    assert value_of(alone, "vacuum") < value_of(sold, "vacuum") <= 0.0
    assert value_of(alone, "absorption") == pytest.approx(0.0, abs=0.5)


def test_selling_that_moves_nothing_is_absorbed() -> None:
    signals, last = after_calm()
    assert last.book is not None
    go_on(signals, last, [last.book.mid] * 60, buy_usd=0.0, sell_usd=2e6)
    assert value_of(signals, "absorption") < -1.0
    assert told(signals)["absorption"].alarm > 0.0  # type: ignore[operator]


def test_losing_the_book_is_no_move() -> None:
    signals, last = after_calm()
    assert last.book is not None
    before = signals.measures(ALT)
    away = replace(
        last, at=last.at + 5 * NS_PER_S, book=None, mark_price=last.mark_price, open_interest_at=last.at
    )
    signals.update(away)
    after = signals.measures(ALT)
    assert before is not None
    assert after is not None
    assert after.price == pytest.approx(before.price, rel=1e-9)


def test_buyers_who_were_wrong_are_counted_and_forgotten_after_half_an_hour() -> None:
    signals, last = after_calm()
    assert last.book is not None
    mid = last.book.mid
    before = value_of(signals, "failed_rebounds_down")
    path = falling(last, 0.02, 6)
    for _ in range(3):
        low = path[-1]
        path += [low * 1.004] * 4 + [low * 0.995]
    last = go_on(signals, last, path)
    assert value_of(signals, "failed_rebounds_down") == before + 3.0
    assert told(signals)["failed_rebounds_down"].alarm == 1.0
    go_on(signals, last, [mid * 0.999] * 370)
    assert value_of(signals, "failed_rebounds_down") == 0.0


def test_a_rebound_that_holds_is_no_failure() -> None:
    signals, last = after_calm()
    before = value_of(signals, "failed_rebounds_down")
    path = falling(last, 0.02, 6)
    go_on(signals, last, [*path, path[-1] * 1.012, path[-1] * 1.012, path[-1] * 0.999])
    assert value_of(signals, "failed_rebounds_down") == before


def test_five_hundred_bps_there_and_back_are_an_alarm_whatever_was_usual() -> None:
    signals = Signals()
    for reading in walk(ALT, 3, 400):
        assert reading.book is not None
        signals.update(replace(reading, book=replace(reading.book, round_trip_bps=600.0)))
    assert value_of(signals, "round_trip_ratio") == pytest.approx(1.0)
    assert told(signals)["round_trip_ratio"].alarm == 1.0


def test_ones_own_size_costs_more_than_a_small_one() -> None:
    signals, last = after_calm()
    costs = []
    for usd in (1e3, 1e5, 1e6, 1e15):
        signals.hold(ALT, usd)
        last = replace(last, at=last.at + 5 * NS_PER_S)
        signals.update(last)
        costs.append(told(signals)["own_round_trip"].value)
    assert costs[3] is None
    assert costs[0] is not None
    assert costs[1] is not None
    assert costs[2] is not None
    assert 0.0 < costs[0] < costs[1] < costs[2]


def test_open_interest_that_leaves_is_an_alarm_and_one_that_comes_is_not() -> None:
    for change, alarm in ((-0.04, 1.0), (0.04, 0.0)):
        signals, last = after_calm()
        assert last.book is not None
        assert last.open_interest is not None
        last = go_on(signals, last, [last.book.mid] * 62, open_interest=last.open_interest)
        go_on(signals, last, [last.book.mid] * 2, open_interest=last.open_interest * (1.0 + change))  # type: ignore[union-attr,operator]
        assert value_of(signals, "open_interest_change_5m") == pytest.approx(change)
        assert told(signals)["open_interest_change_5m"].alarm == pytest.approx(alarm)


# ---------------------------------------------------------------- between markets


def at_venues(prices: dict[str, float], step: int) -> dict[MarketId, Reading]:
    made = {}
    for venue, price in prices.items():
        market = MarketId(f"{venue}:ALT/USDT:USDT")
        made[market] = Reading(
            at=START + step * 5 * NS_PER_S, market=market, elapsed_s=5.0, book=book_at(price)
        )
    return made


def test_a_venue_that_fails_diverges_and_the_others_do_not() -> None:
    cross = CrossVenue()
    usual = {"a": 100.0, "b": 100.1, "c": 100.0}
    for step in range(50):
        cross.update(at_venues(usual, step), {}, START + step * 5 * NS_PER_S)
    lasting = cross.of(MarketId("b:ALT/USDT:USDT"))
    assert lasting is not None
    assert abs(lasting.divergence) < 0.1  # a premium that lasts is usual
    cross.update(at_venues(usual | {"b": 90.0}, 50), {}, START + 250 * NS_PER_S)
    fallen, sound = cross.of(MarketId("b:ALT/USDT:USDT")), cross.of(MarketId("a:ALT/USDT:USDT"))
    assert fallen is not None
    assert sound is not None
    assert fallen.divergence == -50.0
    assert fallen.gap > 10.0  # the others are above it
    assert abs(sound.divergence) < 0.5
    late = START + 270 * NS_PER_S
    cross.update(at_venues(usual, 50), {}, late)
    assert cross.of(MarketId("a:ALT/USDT:USDT")) is None


def test_the_first_venue_to_fall_pulls_the_others() -> None:
    cross = CrossVenue()
    for step in range(50):
        cross.update(at_venues({"a": 100.0, "b": 100.0, "c": 100.0}, step), {}, START + step * 5 * NS_PER_S)
    cross.update(at_venues({"a": 99.0, "b": 99.0, "c": 100.0}, 50), {}, START + 250 * NS_PER_S)
    behind = cross.features(MarketId("c:ALT/USDT:USDT"), Direction.DOWN)
    ahead = cross.features(MarketId("a:ALT/USDT:USDT"), Direction.DOWN)
    assert behind["venue_gap"] > 5.0
    assert ahead["venue_gap"] < behind["venue_gap"]


def moved(random: Random, coins: int, common: float) -> list[float]:
    together = random.gauss(0.0, 1.0)
    return [
        0.001 * (common**0.5 * together + (1.0 - common) ** 0.5 * random.gauss(0.0, 1.0))
        for _ in range(coins)
    ]


@pytest.mark.parametrize("common", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("coins", [4, 40])
def test_comovement_is_about_the_mean_correlation(coins: int, common: float) -> None:
    random, together, logs = Random(5), Comovement(), [0.0] * coins
    for step in range(400):
        logs = [value + change for value, change in zip(logs, moved(random, coins, common), strict=True)]
        prices = {MarketId(f"v:C{coin}/USDT:USDT"): exp(value) for coin, value in enumerate(logs)}
        together.update(prices, START + step * 5 * NS_PER_S)
    assert together.share == pytest.approx(common, abs=0.15)


def test_the_greatest_eigenvalue_is_the_greatest() -> None:
    random, together, logs = Random(6), Comovement(), [0.0] * 60
    for step in range(200):
        logs = [value + change for value, change in zip(logs, moved(random, 60, 0.4), strict=True)]
        prices = {MarketId(f"v:C{coin}/USDT:USDT"): exp(value) for coin, value in enumerate(logs)}
        together.update(prices, START + step * 5 * NS_PER_S)
    assert together.coins == 60 > comovements.EXACT_MAX
    spread = np.sqrt(together._covariance.diagonal())
    exact = np.linalg.eigvalsh(together._covariance / np.multiply.outer(spread, spread))[-1]
    assert together.share == pytest.approx((exact - 1.0) / 59.0, abs=0.005)


def test_the_leader_is_known_to_the_others_of_its_venue() -> None:
    signals = Signals()
    other = MarketId("w:ALT/USDT:USDT")
    paths = [walk(market, 7, 700, drift=-0.0003 if market == BTC else 0.0) for market in (BTC, ALT, other)]
    for step in zip(*paths, strict=True):
        for reading in step:
            signals.update(reading)
        signals.update_together({reading.market: reading for reading in step}, step[0].at)
    assert value_of(signals, "leader_move") < -1.0
    assert told(signals)["leader_move"].about == BTC
    assert told(signals, BTC)["leader_move"].value is None
    assert told(signals, other)["leader_move"].value is None


# ---------------------------------------------------------------- from outside


def test_facts_shift_odds_a_little_and_until_they_expire() -> None:
    facts = OutsideFacts()
    for name, value in (("etf_net_flow_usd", -1e12), ("exchange_stablecoins_change", -1e3), ("risk", 1e6)):
        facts.take(OutsideFact(name=name, value=value, at=0, expires_at=100))
    assert facts.log_odds(Direction.DOWN, 99) == SHIFT_MAX
    assert -SHIFT_MAX <= facts.log_odds(Direction.UP, 99) < 0.0
    assert facts.log_odds(Direction.DOWN, 100) == 0.0
    assert facts.values(100)[0].value is None
    facts.drop("risk")
    assert facts.log_odds(Direction.DOWN, 99) == pytest.approx(0.15)


def test_a_fact_that_nobody_knows_weighs_nothing_and_facts_are_bounded() -> None:
    facts = OutsideFacts()
    for number in range(200):
        facts.take(OutsideFact(name=f"fact_{number}", value=1e9, at=0, expires_at=100))
    assert facts.log_odds(Direction.DOWN, 50) == 0.0
    assert len(facts.holding(50)) == 64


@pytest.mark.parametrize("wrong", [{"spread": 0.0}, {"shift": 0.3}, {"sign": 0}])
def test_scales_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        FactScale(**({"name": "x", "usual": 0.0, "spread": 1.0, "sign": 1, "shift": 0.1} | wrong))  # type: ignore[arg-type]


# ---------------------------------------------------------------- what is usual


def test_compiled_and_source_find_the_same_usual() -> None:
    random = Random(9)
    ours = compiled.Usual(3_600.0, prior=(1.0, 2.0, 600.0)), compiled.WindowSum(300.0, slots=32)
    theirs = SOURCE.Usual(3_600.0, prior=(1.0, 2.0, 600.0)), SOURCE.WindowSum(300.0, slots=32)
    at = START
    for _ in range(3_000):
        value, elapsed = random.gauss(0.0, 10.0), random.choice((5.0, 5.0, 60.0, 0.0))
        at += int(elapsed * NS_PER_S)
        for usual, window in (ours, theirs):
            usual.update(value, elapsed)
            window.add(at, value)
    assert ours[0].state() == theirs[0].state()
    assert ours[0].z(3.0) == theirs[0].z(3.0)
    assert ours[1].total == theirs[1].total


def test_a_crisis_is_not_learned_as_usual() -> None:
    usual = compiled.Usual(4 * 3_600.0)
    random = Random(2)
    for _ in range(2_000):
        usual.update(log(1e-4) + random.gauss(0.0, 0.2), 5.0)
    before = exp(usual.mean)
    for _ in range(360):
        usual.update(log(2e-3), 5.0)
    assert exp(usual.mean) < 1.4 * before  # of twenty times as wild
