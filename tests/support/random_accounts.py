"""Random accounts, sensible and odd, as the events by which the guard hears of them; and what is free in them.

``free_usd`` of a sensible one is summed here without anything of the guard's own arithmetic, and rather too low.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from msgspec import structs

from guard.bots import BotConfig
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    AssetPrice,
    AssetPricesSeen,
    CollateralHeld,
    LiquidationTold,
    MarginMode,
    MarginTermsSeen,
    MarkPriceSeen,
    Pooling,
    Position,
    PositionSource,
    Tick,
)
from guard.margin_terms import (
    CollateralTerms,
    ContractKind,
    HaircutTier,
    MarginTier,
    TermsSource,
    TierTable,
    TierUnit,
)
from guard.market.view import BaselineSettings
from guard.state import GuardState
from guard.units import AccountId, MarketId
from perpguard_sdk.messages import ReportedPosition
from tests.support.builders import ALPHA, at, reported

VENUES = ("binanceusdm", "binancecoinm", "bybit", "okx", "hyperliquid", "loopback")
PRICES = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0, "DOGE": 0.1}
CASH = ("USDT", "USDC")
STABLE = ("USDe", "FDUSD")
WRAPPED = {"wBETH": "ETH", "BNSOL": "SOL", "sUSDe": "USDe"}
ODD = (
    0.0, -0.0, -1.0, 1e-300, 5e-324, 1e-31, 1e29, 1e31, 1e300, 1.7e308, -1e308, math.inf, -math.inf, math.nan,
)  # fmt: skip
LEAST_HAIRCUT = 0.04
"""More than ours leaves away of what keeps its peg, in a market whose books have not thinned."""
FEE_SHARE = 0.003
"""More than any venue's fees of closing, of the value of a position."""


_BASELINE = BaselineSettings(warm_up_s=20.0, recover_ms=1_000)


@dataclass(frozen=True, slots=True)
class Scene:
    """One account: what is heard of it, in order, and ``free_usd`` by pool where it is a sensible one.

    A pool is named as the guard names it, as far as that is told apart: ``isolated SYMBOL side`` or ``cross ASSET``.
    """

    account: AccountId
    events: tuple[AnyEvent, ...]
    free_usd: dict[str, float] | None

    def played(self) -> GuardState:
        """A guard that has heard all of it."""
        bot = BotConfig(bot=ALPHA, account=self.account, markets=())
        state = GuardState.of(baseline=_BASELINE, markets=(), bots=(bot,), keyed_accounts=())
        for event in self.events:
            state.apply(event)
        return state


def random_scene(random: Random) -> Scene:
    """Draw an account: in half of the cases a sensible one of which all is known."""
    return _Draw(random, is_odd=random.random() < 0.5).scene()


@dataclass(slots=True)
class _Draw:
    random: Random
    is_odd: bool
    venue: str = ""
    pooling: Pooling = Pooling.BY_SETTLE_ASSET
    marks: dict[MarketId, float] = field(default_factory=dict)
    tables: dict[MarketId, TierTable] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)
    collateral: list[CollateralHeld] = field(default_factory=list)
    terms: list[CollateralTerms] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def spoiled(self, value: float | None) -> float | None:
        """The value; of an odd account now and then one that nobody could mean, or none."""
        if not self.is_odd or value is None or not self.chance(0.06):
            return value
        return None if self.chance(0.4) else self.random.choice(ODD)

    def number(self, value: float) -> float:
        found = self.spoiled(value)
        return self.random.choice(ODD) if found is None else found

    def scene(self) -> Scene:
        random = self.random
        self.venue = random.choice(VENUES)
        self.pooling = random.choice(tuple(Pooling))
        for base in random.sample(tuple(PRICES), random.choice((1, 1, 2, 3))):
            self._hold(base)
        self._collect()
        told = self._snapshot()
        marks = [
            MarkPriceSeen(received_at=at(0.75), market=market, mark_price=self.number(mark))
            for market, mark in self.marks.items()
            if self.chance(0.7)
        ]
        events: list[AnyEvent] = [self._terms(), *self._asset_prices(), *marks, told]
        if self.is_odd:
            random.shuffle(events)
        if self.is_odd and self.chance(0.3):
            events.append(self._report())
        if self.chance(0.1):  # each takes ten times as long as all before: what would help is worked out
            events.append(Tick(received_at=at(4.0)))
        if self.is_odd and self.chance(0.1):
            events.append(structs.replace(told, received_at=at(5.0), positions=told.positions[:1]))
        source_is_formula = any(table.source is TermsSource.FORMULA for table in self.tables.values())
        return Scene(
            account=told.account,
            events=tuple(events),
            free_usd=None if self.is_odd or source_is_formula else self._free_usd(told),
        )

    def _hold(self, base: str) -> None:
        random = self.random
        kind = ContractKind.LINEAR
        if self.venue == "binancecoinm" or (self.venue != "hyperliquid" and self.chance(0.25)):
            kind = ContractKind.INVERSE
        quote = "USD" if kind is ContractKind.INVERSE else random.choice(CASH)
        settle = base if kind is ContractKind.INVERSE else quote
        market = MarketId(f"{self.venue}:{base}/{quote}:{settle}")
        mark = PRICES[base] * math.exp(random.gauss(0.0, 0.05))
        self.marks[market] = mark
        self.tables[market] = self._table(market, kind, mark)
        notional = 10.0 ** random.uniform(2.0, 6.5)
        side = random.choice((1.0, -1.0))
        isolated = self.chance(0.4)
        self.positions.append(self._position(market, kind, settle, mark, side * notional, isolated=isolated))
        if self.chance(0.25):  # hedge mode
            other = -side * notional * random.choice((1.0, 0.5, 0.01))
            self.positions.append(self._position(market, kind, settle, mark, other, isolated=isolated))

    def _position(
        self,
        market: MarketId,
        kind: ContractKind,
        settle: str,
        mark: float,
        notional_usd: float,
        *,
        isolated: bool,
    ) -> Position:
        random = self.random
        entry = mark * math.exp(random.gauss(0.0, 0.1))
        leverage = float(random.choice((1, 2, 5, 10, 25, 50, 100)))
        inverse = kind is ContractKind.INVERSE
        margin_usd = abs(notional_usd) / leverage * random.uniform(0.5, 2.0) if isolated else None
        told_at = mark * random.choice((0.5, 0.9, 0.98, 1.02, 1.1, 2.0))
        return Position(
            market=market,
            size=self.number(notional_usd / mark),
            entry_price=self.spoiled(entry),
            mark_price=self.spoiled(mark),
            leverage=self.spoiled(leverage),
            margin_mode=None
            if self.is_odd and self.chance(0.1)
            else (MarginMode.ISOLATED if isolated else MarginMode.CROSS),
            margin_usd=self.spoiled(margin_usd),
            liquidation_price=self.spoiled(told_at) if self.chance(0.6) else None,
            kind=kind,
            contracts_usd=self.spoiled(notional_usd) if inverse else None,
            margin=None if margin_usd is None else self.spoiled(margin_usd / mark if inverse else margin_usd),
            settle=None if self.is_odd and self.chance(0.1) else settle,
            liquidation_told=random.choice(tuple(LiquidationTold)),
            adl_rank=self.spoiled(random.choice((None, 0.0, 0.4, 1.0))),
        )

    def _table(self, market: MarketId, kind: ContractKind, mark: float) -> TierTable:
        random = self.random
        ratio = random.choice((0.004, 0.01, 0.025))
        floor_usd = 10.0 ** random.uniform(3.0, 6.0)
        unit = random.choice(tuple(TierUnit))
        is_in_base = (unit is TierUnit.SIZE) is (kind is ContractKind.LINEAR)
        floor = floor_usd / mark if is_in_base else floor_usd
        deduction = 0.0
        if unit is TierUnit.NOTIONAL:
            deduction = ratio * floor * random.choice((1.0, 0.0))
        tiers: tuple[MarginTier, ...] = (
            MarginTier(floor=0.0, maintenance_ratio=self.number(ratio), leverage_max=100.0),
            MarginTier(
                floor=self.number(floor),
                maintenance_ratio=self.number(2.0 * ratio),
                deduction=self.number(deduction),
                leverage_max=50.0,
            ),
        )
        if self.is_odd and self.chance(0.05):
            tiers = ()
        source = random.choices(tuple(TermsSource), (0.7, 0.15, 0.15))[0]
        return TierTable(market=market, tiers=tiers, kind=kind, unit=unit, source=source)

    def _collect(self) -> None:
        """What the account holds: some of all kinds, some of it owed, in some cases less than what is isolated."""
        random = self.random
        needed = dict.fromkeys(position.settle for position in self.positions if position.settle is not None)
        assets = [*needed, *random.sample((*CASH, *STABLE, *WRAPPED, *PRICES), random.randint(0, 2))]
        for asset in dict.fromkeys(assets):
            price = asset_usd(asset)
            value_usd = 10.0 ** random.uniform(1.0, 7.0) * (-0.1 if self.chance(0.1) else 1.0)
            haircut = 0.0 if asset in CASH else random.choice((0.0, 0.05, 0.2))
            told = self.chance(0.8) or not self.is_odd
            self.collateral.append(
                CollateralHeld(
                    asset=asset,
                    quantity=self.number(value_usd / price),
                    venue_price_usd=self.spoiled(price) if told else None,
                    venue_haircut=self.spoiled(haircut) if self.chance(0.5) else None,
                    is_collateral=not self.chance(0.05),
                )
            )
            if self.chance(0.4) and asset not in CASH:
                tier = HaircutTier(floor_usd=0.0, haircut=self.number(random.choice((0.02, 0.1))))
                self.terms.append(CollateralTerms(asset=asset, tiers=(tier,)))

    def _snapshot(self) -> AccountSnapshot:
        random = self.random
        wallet = sum(held.quantity * (held.venue_price_usd or 0.0) for held in self.collateral)
        has_collateral = not self.is_odd or self.chance(0.7)
        maintenance = None
        if self.is_odd and self.chance(0.5):
            maintenance = self.spoiled(10.0 ** random.uniform(0.0, 6.0))
        return AccountSnapshot(
            received_at=at(1.0),
            account=AccountId(f"{self.venue}:main"),
            source=PositionSource.SETTINGS if self.is_odd and self.chance(0.1) else PositionSource.VENUE,
            equity_usd=self.spoiled(wallet) if self.chance(0.5) else None,
            wallet_usd=self.spoiled(wallet) if self.chance(0.5) else None,
            maintenance_usd=maintenance,
            positions=tuple(self.positions),
            pooling=self.pooling,
            collateral=tuple(self.collateral) if has_collateral else None,
            margin_ratio=self.spoiled(0.5) if self.chance(0.5) else None,
            other_maintenance_usd=self.number(0.0),
        )

    def _terms(self) -> MarginTermsSeen:
        tables = tuple(table for table in self.tables.values() if not self.is_odd or self.chance(0.9))
        return MarginTermsSeen(
            received_at=at(0.0), venue=self.venue, tiers=tables, collateral=tuple(self.terms)
        )

    def _asset_prices(self) -> Sequence[AssetPricesSeen]:
        held = dict.fromkeys(each.asset for each in self.collateral)
        priced = dict.fromkeys((*CASH, *held, *(WRAPPED[asset] for asset in held if asset in WRAPPED)))
        found = []
        for venue in ("kraken", "coinbase", "bitstamp"):
            if self.is_odd and self.chance(0.3):
                continue
            prices = []
            for asset in priced:
                price = self.number(asset_usd(asset))
                prices.append(
                    AssetPrice(asset=asset, quote="USD", bid=price, ask=self.number(price * 1.0005))
                )
            found.append(AssetPricesSeen(received_at=at(0.5), venue=venue, prices=tuple(prices)))
        return found

    def _report(self) -> AnyEvent:
        event = reported(2.5, size=1.0)
        positions = tuple(
            ReportedPosition(
                symbol=position.market.partition(":")[2],
                size=self.number(position.size),
                entry_price=self.spoiled(position.entry_price),
                leverage=self.spoiled(position.leverage),
                mark_price=self.spoiled(position.mark_price),
                liquidation_price=self.spoiled(position.liquidation_price),
            )
            for position in self.positions
        )
        return structs.replace(event, reported=structs.replace(event.reported, positions=positions))

    def _free_usd(self, told: AccountSnapshot) -> dict[str, float]:
        free: dict[str, float] = {}
        locked: dict[str, float] = {}
        one = told.pooling is not Pooling.BY_SETTLE_ASSET
        for position in told.positions:
            mark = self.marks[position.market]
            settle = position.settle or ""
            usd, value_usd = self._line(position, mark)
            if position.margin_mode is MarginMode.ISOLATED:
                margin = position.margin or 0.0
                coin_usd = mark if position.kind is ContractKind.INVERSE else 1.0
                side = "long" if position.size > 0.0 else "short"
                name = f"isolated {position.market.partition(':')[2]} {side}"
                free[name] = margin * coin_usd + usd - FEE_SHARE * value_usd
                locked[settle] = locked.get(settle, 0.0) + margin
            else:
                name = "cross" if one else f"cross {settle}"
                free[name] = free.get(name, 0.0) + usd - FEE_SHARE * value_usd
        by_coin = {
            position.settle: self.marks[position.market]
            for position in told.positions
            if position.kind is ContractKind.INVERSE and position.margin_mode is MarginMode.CROSS
        }
        by_asset = {held.asset: held for held in self.collateral}
        for asset, held in by_asset.items():
            quantity = held.quantity - locked.get(asset, 0.0)
            pool = "cross" if one else f"cross {asset}"
            if pool in free and (held.is_collateral or held.quantity < 0.0):
                free[pool] += self._worth_usd(asset, held, quantity, by_coin.get(asset), one=one)
        return free

    def _worth_usd(
        self, asset: str, held: CollateralHeld, quantity: float, mark: float | None, *, one: bool
    ) -> float:
        """Rather too low: the dearest haircut of all that are told, and a debt at a price above all others."""
        if not one:
            return quantity * (1.0 if asset in CASH else mark or 0.0)
        prices = [asset_usd(asset), *(() if mark is None else (mark,))]
        if quantity < 0.0:
            return float(quantity * max(prices) * 1.01)
        told = [terms.tiers[0].haircut for terms in self.terms if terms.asset == asset]
        haircut = max(held.venue_haircut or 0.0, LEAST_HAIRCUT, *told)
        return float(quantity * min(prices) * (1.0 - haircut) * 0.99)

    def _line(self, position: Position, mark: float) -> tuple[float, float]:
        """Profit less maintenance, and value, in USD."""
        entry = position.entry_price or mark
        table = self.tables[position.market]
        if position.kind is ContractKind.INVERSE:
            contracts = position.contracts_usd or 0.0
            profit_usd, value_usd = contracts * (mark / entry - 1.0), abs(contracts)
            value, coin_usd, size = value_usd / mark, mark, value_usd
        else:
            profit_usd, value_usd = position.size * (mark - entry), abs(position.size) * mark
            value, coin_usd, size = value_usd, 1.0, abs(position.size)
        counted = size if table.unit is TierUnit.SIZE else value
        tier = [each for each in table.tiers if each.floor <= counted][-1]
        owed = max(0.0, tier.maintenance_ratio * value - tier.deduction)
        return profit_usd - owed * coin_usd, value_usd


def asset_usd(asset: str) -> float:
    """What an asset is worth in all accounts drawn here."""
    if asset in WRAPPED:
        return 1.05 * asset_usd(WRAPPED[asset])
    return PRICES.get(asset, 1.0)
