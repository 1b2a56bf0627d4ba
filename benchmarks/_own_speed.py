"""Many positions of one cross account, evaluated by the guard's solver and in the ways that others would take."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from benchmarks._own_accounts import BTC_TIERS, Account, Held
from benchmarks._own_ccxt import binance_account, exchange
from guard.account.positions import AccountView
from guard.account.risk import AccountRisk
from guard.events import AccountSnapshot, MarginMode, MarginTermsSeen, Position, PositionSource
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.leverage.solver import liquidations_of
from guard.leverage.tiers import maintenance, margin_tiers
from guard.margin_terms import TierTable
from guard.own_side import OwnSide
from guard.units import NS_PER_S, MarketId, account_id, market_id

HALVINGS = 60
Prices = list[float | None]
Evaluate = Callable[[], object]

TIERS = margin_tiers([(float(floor), float(rate), 125.0) for floor, rate in BTC_TIERS.rows])


@dataclass(frozen=True, slots=True)
class Way:
    """One way to evaluate all legs of a pool; ``prices`` turns what it returns into one price a leg.

    ``is_same`` is false for a way that works out something else.
    """

    evaluate: Evaluate
    prices: Callable[[object], Prices]
    is_same: bool = True


def pool_of(legs: int, seed: int) -> MarginPool:
    """Longs and shorts of 20,000 to 5 million USD over all tiers, twice the maintenance behind them, so that some
    markets alone can liquidate it and some cannot."""
    drawn = random.Random(seed * 1_000 + legs)
    held = []
    for number in range(legs):
        mark = math.exp(drawn.uniform(0.0, 11.0))
        value = math.exp(drawn.uniform(math.log(2e4), math.log(5e6))) * drawn.choice((1.0, 1.0, -1.0))
        held.append(
            Leg(
                market=market_id("binanceusdm", f"C{number}/USDT:USDT"),
                size=value / mark,
                entry_price=mark * math.exp(drawn.gauss(0.0, 0.02)),
                mark_price=mark,
                tiers=TIERS,
            )
        )
    needed = sum(maintenance(TIERS, abs(leg.size) * leg.mark_price) for leg in held)
    profit = sum(leg.size * (leg.mark_price - leg.entry_price) for leg in held)
    wallet = Holding(asset="USDT", quantity=2.0 * needed - profit, price_usd=1.0)
    return MarginPool(legs=tuple(held), holdings=(wallet,))


def solver(pool: MarginPool) -> Way:
    def prices(found: object) -> Prices:
        assert isinstance(found, dict)
        return [found[leg.market].price for leg in pool.legs]

    return Way(lambda: liquidations_of(pool), prices)


def bisected(pool: MarginPool) -> Way:
    """What comes to mind first: everything valued anew at each of 60 prices, for each market."""

    def free(market: MarketId, price: float) -> float:
        left = pool.holdings[0].quantity
        for leg in pool.legs:
            at = price if leg.market == market else leg.mark_price
            left += leg.size * (at - leg.entry_price) - maintenance(TIERS, abs(leg.size) * at)
        return left

    def evaluate() -> Prices:
        found: Prices = []
        for leg in pool.legs:
            safe, failed = leg.mark_price, 0.0 if leg.size > 0.0 else 1e4 * leg.mark_price
            if free(leg.market, failed) > 0.0:
                found.append(None)
                continue
            for _ in range(HALVINGS):
                middle = (safe + failed) / 2.0
                if free(leg.market, middle) > 0.0:
                    safe = middle
                else:
                    failed = middle
            found.append((safe + failed) / 2.0)
        return found

    return Way(evaluate, _as_told)


def vectorised(pool: MarginPool) -> Way:
    """The closed form of Binance's page for every leg and every tier at once; the tier that contains it is taken."""
    floors = np.array([tier.floor for tier in TIERS])
    ends = np.append(floors[1:], math.inf)
    rates = np.array([tier.maintenance_ratio for tier in TIERS])
    deductions = np.array([tier.deduction for tier in TIERS])
    size = np.array([leg.size for leg in pool.legs])
    entry = np.array([leg.entry_price for leg in pool.legs])
    mark = np.array([leg.mark_price for leg in pool.legs])
    wallet = pool.holdings[0].quantity

    def evaluate() -> NDArray[np.float64]:
        value = np.abs(size) * mark
        tier = np.searchsorted(floors, value, side="right") - 1
        profit, demanded = size * (mark - entry), rates[tier] * value - deductions[tier]
        margin = wallet + (profit.sum() - profit) - (demanded.sum() - demanded)
        amount, side = np.abs(size)[:, None], np.sign(size)[:, None]
        price = (margin[:, None] + deductions - size[:, None] * entry[:, None]) / (amount * (rates - side))
        reached = amount * price
        fits = (price > 0.0) & (floors <= reached) & (reached < ends)
        first = np.argmax(fits, axis=1)
        rows = np.arange(size.size)
        return np.where(fits[rows, first], price[rows, first], np.nan)

    def prices(found: object) -> Prices:
        assert isinstance(found, np.ndarray)
        return [None if math.isnan(each) else each for each in found.tolist()]

    return Way(evaluate, prices)


def whole_assessment(pool: MarginPool) -> Way:
    """What the guard does with an account once a second: pools, prices, common moves, times, what is not known."""
    own, venue = OwnSide(), "binanceusdm"
    table = [TierTable(market=leg.market, tiers=leg.tiers) for leg in pool.legs]
    own.take_terms(MarginTermsSeen(received_at=1, venue=venue, tiers=tuple(table)))
    account = account_id(venue, "benchmark")
    view = AccountView(account)
    view.apply_snapshot(
        AccountSnapshot(
            received_at=1,
            account=account,
            source=PositionSource.VENUE,
            wallet_usd=pool.holdings[0].quantity,
            positions=tuple(
                Position(
                    market=leg.market,
                    size=leg.size,
                    entry_price=leg.entry_price,
                    mark_price=leg.mark_price,
                    margin_mode=MarginMode.CROSS,
                )
                for leg in pool.legs
            ),
        )
    )
    now = itertools.count(2 * NS_PER_S, NS_PER_S)

    def prices(found: object) -> Prices:
        assert isinstance(found, AccountRisk)
        told = {leg.market: leg.price for leg in found.legs}
        return [told[leg.market] for leg in pool.legs]

    return Way(lambda: own.assess(view, {}, next(now)), prices)


def read_by_ccxt(legs: int) -> Way:
    """ccxt's safe parse of each position of an account payload, with its price of that leg as if it stood alone."""
    held = Held(
        "BTC/USDT:USDT",
        Decimal(20),
        Decimal(100_000),
        Decimal(99_000),
        BTC_TIERS,
    )
    account = binance_account(Account("binanceusdm", (held,), wallet=Decimal(400_000)), has_v2=True)
    client, [position] = exchange("binance"), account["positions"]
    account["positions"] = [position] * legs
    return Way(lambda: client.parse_account_positions(account), _as_told, is_same=False)


def check_equal(ways: dict[str, Way]) -> None:
    """Speed with another result is worth nothing. AssertionError says who differs where."""
    told = {name: way.prices(way.evaluate()) for name, way in ways.items() if way.is_same}
    reference, *_ = told.values()
    for name, prices in told.items():
        for leg, (mine, other) in enumerate(zip(reference, prices, strict=True)):
            # A rise without bound is beyond what bisection looks at.
            same = mine == other or (
                mine is not None and other is not None and math.isclose(mine, other, rel_tol=1e-9)
            )
            assert same, f"leg {leg}: {mine}, {name} {other}"


def _as_told(found: object) -> Prices:
    assert isinstance(found, Sequence)
    return list(found)
