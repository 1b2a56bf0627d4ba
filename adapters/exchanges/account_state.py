"""Merges what the private stream says with what REST says to one account. Pure: no I/O, no clock.

REST is the truth but arrives late; the stream is early but can lose frames. While a REST reading is under
way, whatever the stream touches is newer than the reading and stays. Where the two differ otherwise, REST
is taken at once and the difference is a suspect: if the stream brings it after all, it was only slower;
if not, the stream has lost something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from adapters.exchanges.venue import (
    AccountReading,
    AccountUpdate,
    MarginTier,
    OrderGone,
    OrderKey,
    OrderSeen,
    PositionSeen,
    tier_of,
)
from guard.events import AccountSnapshot, Order, Position, PositionSource
from guard.units import AccountId, Nanoseconds, market_id, venue_of

WALLET_USD_TOLERANCE = 0.01
"""Fees and funding are rounded differently on the two ways."""

Key = tuple[str, object]
"""What a suspect is about: ``("position", (code, side))``, ``("order", key)`` or ``("wallet", asset)``."""


@dataclass(slots=True)
class AccountState:
    """One account as last known."""

    account: AccountId
    symbol_of: Callable[[str], str]
    tiers: Mapping[str, Sequence[MarginTier]] = field(default_factory=dict)
    suspects: dict[Key, str] = field(default_factory=dict)
    """Differences that REST showed and the stream has not explained yet."""
    known: bool = False
    """Whether a REST reading has been merged; before that a snapshot would be a fragment."""
    _wallets: dict[str, float] = field(default_factory=dict)
    _other_usd: float = 0.0
    _maintenance_usd: float | None = None
    _positions: dict[tuple[str, str], PositionSeen] = field(default_factory=dict)
    _orders: dict[OrderKey, OrderSeen] | None = None
    _touched: set[Key] = field(default_factory=set)

    def begin_reading(self) -> None:
        """Call before REST is asked: what the stream touches from now on is newer than the answer."""
        self._touched.clear()

    def apply_update(self, update: AccountUpdate) -> None:
        """Merge one frame of the private stream."""
        for balance in update.balances:
            self._touch(("wallet", balance.asset))
            self._wallets[balance.asset] = balance.wallet
        for position in update.positions:
            self._merge_position(position)
        match update.order:
            case OrderSeen() as order:
                self._touch(("order", order.key))
                if self._orders is not None:
                    self._orders[order.key] = order
            case OrderGone() as gone:
                self._touch(("order", gone.key))
                if self._orders is not None:
                    self._orders.pop(gone.key, None)

    def apply_reading(self, reading: AccountReading) -> bool:
        """Merge a REST reading and note suspects; return whether the stream had overtaken any of it."""
        overtaken = bool(self._touched)
        self._merge_wallets(reading)
        self._merge_positions(reading.positions)
        if reading.orders is not None:
            self._merge_orders(reading.orders)
        if reading.is_only_source:
            self.suspects.clear()
        self.known = True
        return overtaken

    def snapshot(self, received_at: Nanoseconds, exchange_at: Nanoseconds | None = None) -> AccountSnapshot:
        """Make the event that replaces what was known of this account."""
        wallet = sum(self._wallets.values()) + self._other_usd
        positions = [position for position in self._positions.values() if position.size]
        return AccountSnapshot(
            received_at=received_at,
            exchange_at=exchange_at,
            account=self.account,
            source=PositionSource.VENUE,
            equity_usd=wallet + sum(position.unrealised_usd for position in positions),
            wallet_usd=wallet,
            maintenance_usd=self._maintenance_usd,
            positions=tuple(self._position(position) for position in positions),
            orders=None if self._orders is None else tuple(map(self._order, self._orders.values())),
        )

    def _touch(self, key: Key) -> None:
        self._touched.add(key)
        self.suspects.pop(key, None)

    def _merge_position(self, seen: PositionSeen) -> None:
        key = (seen.market_code, seen.side)
        self._touch(("position", key))
        before = self._positions.get(key)
        if not seen.size:
            self._positions.pop(key, None)
            return
        # Binance's stream tells neither mark nor leverage; what it moved has another liquidation price by now.
        same = (
            before is not None and _counted(before) == _counted(seen) and before.margin_usd == seen.margin_usd
        )
        if before is not None:
            seen = replace(
                seen,
                mark_price=seen.mark_price or before.mark_price,
                leverage=seen.leverage or before.leverage,
                liquidation_price=seen.liquidation_price or (before.liquidation_price if same else None),
            )
        self._positions[key] = seen

    def _merge_wallets(self, reading: AccountReading) -> None:
        totals = reading.totals
        for asset in self._wallets.keys() | totals.wallets.keys():
            if ("wallet", asset) in self._touched:
                continue
            told, held = totals.wallets.get(asset, 0.0), self._wallets.get(asset, 0.0)
            if self.known and not math.isclose(told, held, rel_tol=1e-9, abs_tol=WALLET_USD_TOLERANCE):
                self.suspects["wallet", asset] = f"wallet {asset}: stream {held:.2f}, REST {told:.2f}"
            self._wallets[asset] = told
        self._other_usd, self._maintenance_usd = totals.other_usd, totals.maintenance_usd

    def _merge_positions(self, told: Sequence[PositionSeen]) -> None:
        by_key = {(position.market_code, position.side): position for position in told}
        for key in self._positions.keys() | by_key.keys():
            if ("position", key) in self._touched:
                continue
            new, old = by_key.get(key), self._positions.get(key)
            new_size, old_size = _counted(new), _counted(old)
            if self.known and not math.isclose(new_size, old_size, rel_tol=1e-9, abs_tol=1e-12):
                detail = f"position {self.symbol_of(key[0])}: stream {old_size:g}, REST {new_size:g}"
                self.suspects["position", key] = detail
            if new is None:
                self._positions.pop(key, None)
            else:
                self._positions[key] = new

    def _merge_orders(self, told: Sequence[OrderSeen]) -> None:
        held, by_key = self._orders or {}, {order.key: order for order in told}
        for key in held.keys() ^ by_key.keys():
            if self._orders is not None and ("order", key) not in self._touched:
                where = "REST alone" if key in by_key else "the stream alone"
                self.suspects["order", key] = f"order {key} is known to {where}"
        for key in held.keys() | by_key.keys():
            if ("order", key) not in self._touched:
                continue
            if key in held:
                by_key[key] = held[key]
            elif self._orders is not None:
                by_key.pop(key, None)
        self._orders = by_key

    def _position(self, seen: PositionSeen) -> Position:
        tier = None
        price = seen.mark_price or seen.entry_price
        if price is not None:
            tier = tier_of(self.tiers.get(seen.market_code, ()), abs(seen.size) * price)
        return Position(
            market=market_id(venue_of(self.account), self.symbol_of(seen.market_code)),
            size=seen.size,
            entry_price=seen.entry_price,
            mark_price=seen.mark_price,
            leverage=seen.leverage,
            margin_mode=seen.margin_mode,
            margin_usd=seen.margin_usd,
            liquidation_price=seen.liquidation_price,
            maintenance_ratio=tier.rate if tier else None,
            maintenance_amount_usd=tier.deduction_usd if tier else 0.0,
        )

    def _order(self, seen: OrderSeen) -> Order:
        size = seen.size
        if seen.whole_position:  # closes whatever is open on its side then: as large as that is now
            held = self._positions.get((seen.market_code, seen.position_side))
            size = math.copysign(abs(held.size) if held else 0.0, 1.0 if seen.buys else -1.0)
        return Order(
            order_id=str(seen.key),
            market=market_id(venue_of(self.account), self.symbol_of(seen.market_code)),
            size=size,
            price=seen.price,
            stop_price=seen.stop_price,
            reduce_only=seen.reduce_only,
        )


def _counted(position: PositionSeen | None) -> float:
    """A position's size as the venue counts it, which only trades change."""
    if position is None:
        return 0.0
    return position.size if position.quantity is None else position.quantity
