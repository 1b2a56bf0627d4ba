"""The books of one account: wallet, positions, and the arithmetic of a fill. No clock, no matching."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from enum import StrEnum

from adapters.simulation.assets import SETTLE, AssetIndex
from adapters.simulation.margin import CENT, ZERO, BracketTable, money


class MarginType(StrEnum):
    CROSSED = "cross"
    ISOLATED = "isolated"


class PositionSide(StrEnum):
    """Which of an account's positions in a symbol: the one of one-way mode, or one of a hedged pair."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        """Of what it holds; 0 may hold either."""
        return {PositionSide.LONG: 1, PositionSide.SHORT: -1}.get(self, 0)


@dataclass(slots=True)
class Position:
    """One symbol, or one side of it in hedge mode.

    ``amount`` is signed (long positive), ``cost`` is ``amount x entry price``.

    The cost is kept and not the entry price, so that no rounding ever makes or loses money.
    """

    symbol: str
    leverage: int
    margin_type: MarginType = MarginType.CROSSED
    side: PositionSide = PositionSide.BOTH
    amount: Decimal = ZERO
    cost: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    """Commission paid since the position was flat: for the break-even price."""
    updated_ms: int = 0

    @property
    def entry_price(self) -> Decimal:
        return self.cost / self.amount if self.amount else ZERO

    @property
    def is_isolated(self) -> bool:
        return self.margin_type is MarginType.ISOLATED

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.amount * mark - self.cost

    def initial_margin(self, mark: Decimal) -> Decimal:
        return abs(self.amount) * mark / self.leverage


@dataclass(frozen=True, slots=True)
class Health:
    """Margin balance and maintenance of the cross part of an account, or of one isolated position."""

    balance: Decimal
    maintenance: Decimal

    @property
    def fails(self) -> bool:
        return self.maintenance > ZERO and self.balance <= self.maintenance

    @property
    def ratio(self) -> float:
        """Maintenance over balance; 1 and above means liquidation."""
        if self.maintenance <= ZERO:
            return 0.0
        return float(self.maintenance / self.balance) if self.balance > ZERO else float("inf")


@dataclass(slots=True)
class Ledger:
    """All money of one account, USDT.

    In multi-assets mode other assets back it too, at what the venue counts them for; profit and loss stay USDT.

    Invariant: ``wallet == deposit + realised - fees + funding + insurance + exchanged`` to the last digit.
    """

    deposit: Decimal
    leverage_default: int
    assets: AssetIndex = field(default_factory=AssetIndex)
    collateral: dict[str, Decimal] = field(default_factory=dict)
    """What is held beside USDT, by asset."""
    multi_assets: bool = False
    hedged: bool = False
    """Whether a symbol has a long and a short position of its own."""
    wallet: Decimal = field(init=False)
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    liquidation_fees: Decimal = ZERO
    """Part of ``fees``."""
    funding: Decimal = ZERO
    insurance: Decimal = ZERO
    """What the insurance fund paid for losses beyond the margin."""
    exchanged: Decimal = ZERO
    """What collateral was sold for where losses were beyond the wallet."""
    positions: dict[str, Position] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wallet = self.deposit

    def position(self, symbol: str, side: PositionSide = PositionSide.BOTH) -> Position:
        """A position; the one of ``BOTH`` holds the symbol's leverage and margin type in hedge mode too."""
        key = _key(symbol, side)
        if key not in self.positions:
            both = self.positions.setdefault(symbol, Position(symbol, self.leverage_default))
            # Both of a pair at once: who looks at one while walking over all must not make the other.
            for made in PositionSide if side.sign else ():
                self.positions.setdefault(
                    _key(symbol, made), Position(symbol, both.leverage, both.margin_type, made)
                )
        return self.positions[key]

    def legs(self, symbol: str) -> list[Position]:
        """What the account may hold of a symbol in its mode."""
        sides = (PositionSide.LONG, PositionSide.SHORT) if self.hedged else (PositionSide.BOTH,)
        return [self.position(symbol, side) for side in sides]

    def holds(self, symbol: str) -> bool:
        return any(position.amount for position in self.legs(symbol))

    @property
    def cross_wallet(self) -> Decimal:
        return self.wallet - sum((p.isolated_wallet for p in self.positions.values()), ZERO)

    @property
    def collateral_usdt(self) -> Decimal:
        """What other assets back positions with, as the venue counts them now: in single-asset mode nothing."""
        if not self.multi_assets:
            return ZERO
        values = (self.assets.value_usd(asset, held) for asset, held in self.collateral.items())
        return sum(values, ZERO) / self.assets.price(SETTLE)

    @property
    def cross_margin(self) -> Decimal:
        """What backs cross positions, before their profit: the cross wallet and the collateral."""
        return self.cross_wallet + self.collateral_usdt

    def move(self, asset: str, quantity: Decimal) -> None:
        """Book a transfer into the account, or with a negative quantity out of it."""
        if asset == SETTLE:
            self.deposit += quantity
            self.wallet += quantity
        else:
            self.collateral[asset] = self.collateral.get(asset, ZERO) + quantity

    def exchange(self, shortfall: Decimal) -> list[str]:
        """Sell collateral, at what it counts for, until ``shortfall`` USDT are there or nothing is left to sell.

        Returns:
            the assets that were sold.
        """
        sold: list[str] = []
        for asset, held in self.collateral.items():
            rate = self.assets.bid_rate(asset) / self.assets.price(SETTLE)
            if shortfall <= ZERO or held <= ZERO or rate <= ZERO or not self.multi_assets:
                continue
            part = min(held, (shortfall / rate).quantize(CENT, ROUND_UP))
            brought = money(part * rate)
            self.collateral[asset] = held - part
            self.wallet += brought
            self.exchanged += brought
            shortfall -= brought
            sold.append(asset)
        return sold

    def fill(
        self,
        symbol: str,
        signed_size: Decimal,
        price: Decimal,
        fee_ratio: Decimal,
        side: PositionSide = PositionSide.BOTH,
    ) -> tuple[Decimal, Decimal]:
        """Book one fill.

        Returns:
            realised profit before fees, and the fee; both USDT.
        """
        position = self.position(symbol, side)
        closing = ZERO
        if position.amount * signed_size < ZERO:
            closing = min(abs(signed_size), abs(position.amount)).copy_sign(signed_size)
        realised = self._close(position, closing, price) if closing else ZERO
        opening = signed_size - closing
        if opening:
            self._open(position, opening, price)
        fee = money(abs(signed_size) * price * fee_ratio)
        self.charge(fee)
        position.fees = position.fees + fee if position.amount else ZERO
        return realised, fee

    def charge(self, fee: Decimal) -> None:
        """Take a fee from the wallet."""
        self.wallet -= fee
        self.fees += fee

    def pay_funding(self, position: Position, mark: Decimal, rate: Decimal) -> Decimal:
        """Book a funding payment; longs pay where the rate is positive. Returns the change of the wallet."""
        change = money(-position.amount * mark * rate)
        self.wallet += change
        self.funding += change
        if position.is_isolated:
            position.isolated_wallet += change
        return change

    def cover(self, amount: Decimal) -> None:
        """Let the insurance fund pay a loss beyond the margin."""
        self.wallet += amount
        self.insurance += amount

    def unrealised_cross(self, marks: dict[str, Decimal]) -> Decimal:
        return sum((p.unrealised(marks[p.symbol]) for p in self._open_cross()), ZERO)

    def unrealised(self, marks: dict[str, Decimal]) -> Decimal:
        return sum((p.unrealised(marks[p.symbol]) for p in self.positions.values() if p.amount), ZERO)

    def equity(self, marks: dict[str, Decimal]) -> Decimal:
        """Wallet, collateral and all unrealised profit."""
        return self.wallet + self.collateral_usdt + self.unrealised(marks)

    def cross_health(self, marks: dict[str, Decimal], table: BracketTable) -> Health:
        maintenance = sum(
            (table.maintenance(abs(p.amount) * marks[p.symbol]) for p in self._open_cross()), ZERO
        )
        return Health(self.cross_margin + self.unrealised_cross(marks), maintenance)

    def isolated_health(self, position: Position, mark: Decimal, table: BracketTable) -> Health:
        return Health(
            position.isolated_wallet + position.unrealised(mark),
            table.maintenance(abs(position.amount) * mark),
        )

    def available(self, marks: dict[str, Decimal], reserved: Decimal) -> Decimal:
        """What may back new exposure: cross equity less initial margins and what open orders reserve."""
        used = sum((p.initial_margin(marks[p.symbol]) for p in self._open_cross()), ZERO)
        return max(ZERO, self.cross_margin + self.unrealised_cross(marks) - used - reserved)

    def liquidation_price(
        self,
        symbol: str,
        marks: dict[str, Decimal],
        table: BracketTable,
        side: PositionSide = PositionSide.BOTH,
    ) -> Decimal:
        """See ``BracketTable.liquidation_price``; the other marks are held still.

        A hedged pair in cross margin has one price, which is that of both.
        """
        position = self.position(symbol, side)
        if not position.amount:
            return ZERO
        if position.is_isolated:
            return table.liquidation_price(
                [(position.amount, position.cost)], position.isolated_wallet, marks[symbol]
            )
        backing = self.cross_margin
        pair: list[tuple[Decimal, Decimal]] = []
        for other in self._open_cross():
            if other.symbol == symbol:
                pair.append((other.amount, other.cost))
            else:
                mark = marks[other.symbol]
                backing += other.unrealised(mark) - table.maintenance(abs(other.amount) * mark)
        return table.liquidation_price(pair, backing, marks[symbol])

    def _open_cross(self) -> list[Position]:
        return [p for p in self.positions.values() if p.amount and not p.is_isolated]

    def _close(self, position: Position, signed_size: Decimal, price: Decimal) -> Decimal:
        """Reduce by ``signed_size`` (against the position, not beyond it); return the realised profit."""
        if abs(signed_size) == abs(position.amount):
            released, margin = position.cost, position.isolated_wallet
        else:
            share = abs(signed_size) / abs(position.amount)
            released, margin = money(position.cost * share), money(position.isolated_wallet * share)
        realised = -signed_size * price - released
        position.amount += signed_size
        position.cost -= released
        position.isolated_wallet -= margin
        position.realised += realised
        self.realised += realised
        self.wallet += realised
        return realised

    def _open(self, position: Position, signed_size: Decimal, price: Decimal) -> None:
        position.amount += signed_size
        position.cost += signed_size * price
        if position.is_isolated:
            position.isolated_wallet += money(abs(signed_size) * price / position.leverage)


def _key(symbol: str, side: PositionSide) -> str:
    return symbol if side is PositionSide.BOTH else f"{symbol}/{side}"
