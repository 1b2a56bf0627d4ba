"""Merges what the private stream says with what REST says to one account. Pure: no I/O, no clock.

REST is the truth but arrives late; the stream is early but can lose frames. While a REST reading is under
way, whatever the stream touches is newer than the reading and stays. Where the two differ otherwise, REST
is taken at once and the difference is a suspect: if the stream brings it after all, it was only slower;
if not, the stream has lost something.

What only REST tells is kept no longer than it is true: where a position or a wallet of a pool changed, the
venue's liquidation prices of the whole pool, its maintenance and its margin ratio are those of another account.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from adapters.exchanges.margin_ratios import value_usd
from adapters.exchanges.venue import (
    AccountReading,
    AccountUpdate,
    BalanceSeen,
    OrderGone,
    OrderKey,
    OrderSeen,
    PositionSeen,
)
from guard.events import (
    AccountSnapshot,
    CollateralHeld,
    LiquidationTold,
    MarginMode,
    Order,
    Pooling,
    Position,
    PositionSource,
)
from guard.units import AccountId, Nanoseconds, market_id, venue_of

WALLET_USD_TOLERANCE = 0.01
"""Fees and funding are rounded differently on the two ways."""

PositionKey = tuple[str, str]
"""The venue's code of the market, and the side."""

Key = tuple[str, object]
"""What a suspect is about: ``("position", (code, side))``, ``("order", key)`` or ``("wallet", asset)``."""


@dataclass(slots=True)
class AccountState:
    """One account as last known."""

    account: AccountId
    symbol_of: Callable[[str], str]
    suspects: dict[Key, str] = field(default_factory=dict)
    """Differences that REST showed and the stream has not explained yet."""
    known: bool = False
    """Whether a REST reading has been merged; before that a snapshot would be a fragment."""
    _wallets: dict[str, float] = field(default_factory=dict)
    _other_usd: float = 0.0
    _maintenance_usd: float | None = None
    _margin_ratio: float | None = None
    _pooling: Pooling = Pooling.BY_SETTLE_ASSET
    _collateral: dict[str, CollateralHeld] | None = None
    _positions: dict[PositionKey, PositionSeen] = field(default_factory=dict)
    _orders: dict[OrderKey, OrderSeen] | None = None
    _touched: set[Key] = field(default_factory=set)
    _moved: set[str | None] = field(default_factory=set)
    """Settle assets whose pools the stream changed since a reading was begun; ``None``: of which is not told."""
    _outdated: set[PositionKey] = field(default_factory=set)
    """Positions of which the liquidation price, as last told, is that of another account than this one now."""
    _built: dict[PositionKey, tuple[PositionSeen, bool, Position]] = field(default_factory=dict)
    """What the last snapshot was made of: of 500 positions one or two change from frame to frame."""

    def begin_reading(self) -> None:
        """Call before REST is asked: what the stream touches from now on is newer than the answer."""
        self._touched.clear()
        self._moved.clear()

    def apply_update(self, update: AccountUpdate) -> bool:
        """Merge one frame of the private stream; return whether REST knows more of the account than we now do."""
        moved: set[str | None] = {
            balance.asset for balance in update.balances if self._merge_balance(balance)
        }
        for position in update.positions:
            # What an isolated position sets aside was in the wallet that backs the others.
            moved |= self._merge_position(position)
        self._note_moved(update, moved)
        self._merge_order(update.order)
        return bool(moved)

    def _note_moved(self, update: AccountUpdate, moved: set[str | None]) -> None:
        self._moved |= moved
        if moved:
            self._maintenance_usd = self._margin_ratio = None
            told = {(seen.market_code, seen.side) for seen in update.positions if seen.is_whole}
            self._forget_prices(moved, told)
        if update.maintenance_usd is not None:
            self._maintenance_usd = update.maintenance_usd
        if update.margin_ratio is not None:
            self._margin_ratio = update.margin_ratio

    def _merge_order(self, order: OrderSeen | OrderGone | None) -> None:
        if order is None:
            return
        self._touch(("order", order.key))
        if self._orders is None:
            return
        match order:
            case OrderSeen():
                self._orders[order.key] = order
            case OrderGone():
                self._orders.pop(order.key, None)

    def apply_reading(self, reading: AccountReading) -> bool:
        """Merge a REST reading and note suspects; return whether the stream had overtaken any of it."""
        overtaken = bool(self._touched)
        self._merge_wallets(reading)
        self._merge_collateral(reading)
        self._merge_positions(reading.positions)
        if self._moved:
            self._maintenance_usd = self._margin_ratio = None
            self._forget_prices(self._moved, set())
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
            positions=self._positions_told(),
            orders=None if self._orders is None else tuple(map(self._order, self._orders.values())),
            pooling=self._pooling,
            collateral=None if self._collateral is None else tuple(self._collateral.values()),
            margin_ratio=self._margin_ratio,
        )

    def _touch(self, key: Key) -> None:
        self._touched.add(key)
        self.suspects.pop(key, None)

    def _merge_balance(self, balance: BalanceSeen) -> bool:
        """Return whether the wallet is another one by more than a rounding."""
        asset = balance.asset
        self._touch(("wallet", asset))
        if balance.counts_as_usd:
            held_usd = self._wallets.get(asset, 0.0)
            self._wallets[asset] = balance.wallet
            if self._collateral is None:
                return not _is_same(held_usd, balance.wallet, 1.0)
        if self._collateral is None:
            return True
        before = self._collateral.get(asset)
        after = balance.held or _requantified(before, asset, balance.wallet)
        self._collateral[asset] = after
        if not balance.counts_as_usd:
            self._other_usd += value_usd(after) - value_usd(before)
        price = after.venue_price_usd or (1.0 if balance.counts_as_usd else None)
        return not _is_same(0.0 if before is None else before.quantity, after.quantity, price)

    def _merge_position(self, seen: PositionSeen) -> set[str | None]:
        """Return the settle assets whose pools it changed, by more than what the price does to it."""
        key = (seen.market_code, seen.side)
        self._touch(("position", key))
        before = self._positions.get(key)
        if not seen.size:
            closed = self._positions.pop(key, None)
            self._outdated.discard(key)
            return set() if closed is None else {closed.settle}
        same = (
            before is not None
            and _counted(before) == _counted(seen)
            and before.margin_mode is seen.margin_mode
            and _set_aside(before) == _set_aside(seen)
        )
        if before is not None and not seen.is_whole:
            # Binance's stream tells neither mark nor leverage; what it moved has another liquidation price by now.
            told = seen.liquidation_price is not None or seen.liquidation_told is not LiquidationTold.NOT_TOLD
            keeps = same and not told
            if not keeps:
                self._outdated.discard(key)
            seen = replace(
                seen,
                mark_price=seen.mark_price or before.mark_price,
                leverage=seen.leverage or before.leverage,
                settle=seen.settle or before.settle,
                liquidation_price=before.liquidation_price if keeps else seen.liquidation_price,
                liquidation_told=before.liquidation_told if keeps else seen.liquidation_told,
                adl_rank=before.adl_rank
                if seen.adl_rank is None and before.size * seen.size > 0.0
                else seen.adl_rank,
            )
        else:
            self._outdated.discard(key)
        self._positions[key] = seen
        return set() if same else {seen.settle}

    def _forget_prices(self, moved: set[str | None], told: set[PositionKey]) -> None:
        """Take the venue's liquidation prices of pools that moved for not told, but for ``told``, told with it."""
        one_pool = self._pooling is not Pooling.BY_SETTLE_ASSET or None in moved
        for key, held in self._positions.items():
            if held.margin_mode is MarginMode.ISOLATED or key in told:
                continue
            if one_pool or held.settle is None or held.settle in moved:
                self._outdated.add(key)

    def _merge_wallets(self, reading: AccountReading) -> None:
        totals = reading.totals
        for asset in {**self._wallets, **totals.wallets}:
            if ("wallet", asset) in self._touched:
                continue
            told, held = totals.wallets.get(asset, 0.0), self._wallets.get(asset, 0.0)
            if self.known and not math.isclose(told, held, rel_tol=1e-9, abs_tol=WALLET_USD_TOLERANCE):
                self.suspects["wallet", asset] = f"wallet {asset}: stream {held:.2f}, REST {told:.2f}"
            self._wallets[asset] = told
        self._other_usd, self._maintenance_usd = totals.other_usd, totals.maintenance_usd
        self._margin_ratio, self._pooling = totals.margin_ratio, totals.pooling

    def _merge_collateral(self, reading: AccountReading) -> None:
        """Take over what is held of each asset, but for what the stream told since then: there only its price."""
        told = reading.totals.collateral
        if told is None:
            self._collateral = None
            return
        held, collateral = self._collateral or {}, {each.asset: each for each in told}
        for asset in {**held, **collateral}:
            if ("wallet", asset) not in self._touched or self._collateral is None:
                continue
            read = collateral.get(asset)
            if asset in held:
                collateral[asset] = _requantified(read or held[asset], asset, held[asset].quantity)
            if asset not in self._wallets:
                self._other_usd += value_usd(collateral.get(asset)) - value_usd(read)
        self._collateral = collateral

    def _merge_positions(self, told: Sequence[PositionSeen]) -> None:
        by_key = {(position.market_code, position.side): position for position in told}
        for key in {**self._positions, **by_key}:
            if ("position", key) in self._touched:
                continue
            new, old = by_key.get(key), self._positions.get(key)
            new_size, old_size = _counted(new), _counted(old)
            if self.known and not math.isclose(new_size, old_size, rel_tol=1e-9, abs_tol=1e-12):
                detail = f"position {self.symbol_of(key[0])}: stream {old_size:g}, REST {new_size:g}"
                self.suspects["position", key] = detail
            self._outdated.discard(key)
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

    def _positions_told(self) -> tuple[Position, ...]:
        before, self._built = self._built, {}
        for key, seen in self._positions.items():
            built, outdated = before.get(key), key in self._outdated
            if built is None or built[0] is not seen or built[1] is not outdated:
                built = (seen, outdated, self._position(seen, outdated=outdated))
            if seen.size:
                self._built[key] = built
        return tuple(position for _, _, position in self._built.values())

    def _position(self, seen: PositionSeen, *, outdated: bool) -> Position:
        told = seen.liquidation_told
        if outdated and told is LiquidationTold.NONE_EXISTS:
            told = LiquidationTold.NOT_TOLD
        return Position(
            market=market_id(venue_of(self.account), self.symbol_of(seen.market_code)),
            size=seen.size,
            entry_price=seen.entry_price,
            mark_price=seen.mark_price,
            leverage=seen.leverage,
            margin_mode=seen.margin_mode,
            margin_usd=seen.margin_usd,
            liquidation_price=None if outdated else seen.liquidation_price,
            kind=seen.kind,
            contracts_usd=seen.contracts_usd,
            margin=seen.margin,
            settle=seen.settle,
            liquidation_told=told,
            adl_rank=seen.adl_rank,
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


def _set_aside(position: PositionSeen) -> float | None:
    """The isolated margin, in what only its owner changes: of an inverse position the coins."""
    return position.margin_usd if position.margin is None else position.margin


def _requantified(held: CollateralHeld | None, asset: str, quantity: float) -> CollateralHeld:
    if held is None:
        return CollateralHeld(asset=asset, quantity=quantity)
    return structs.replace(held, quantity=quantity)


def _is_same(before: float, after: float, price_usd: float | None) -> bool:
    tolerance = 1e-12 if price_usd is None else WALLET_USD_TOLERANCE / price_usd
    return math.isclose(before, after, rel_tol=1e-9, abs_tol=tolerance)
