"""Margin calls and liquidations: an account that fails maintenance loses its positions to the book."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal

from adapters.simulation.account import VenueAccount
from adapters.simulation.assets import SETTLE
from adapters.simulation.ledger import Position
from adapters.simulation.margin import ZERO, BracketTable, money
from adapters.simulation.matching import Matcher
from adapters.simulation.orders import Liquidation, Order, OrderRequest, OrderStatus, OrderType, Side
from adapters.simulation.payloads import margin_call_event
from adapters.simulation.settings import LiquidationSteps, LoopbackSettings

CROSS = "cross"

FIFTH = Decimal("0.2")
FIFTH_ABOVE_USD = Decimal(100_000)
COOLDOWN_MS = 30_000
"""Hyperliquid's documentation, "Liquidations"."""


class Liquidator:
    """Watches the margin of accounts.

    Simpler than venues in two points: isolated positions are closed whole, and nobody is deleveraged.
    """

    def __init__(self, matcher: Matcher, table: BracketTable, settings: LoopbackSettings) -> None:
        self._matcher = matcher
        self._table = table
        self._settings = settings
        self.steps = settings.liquidation_steps or LiquidationSteps.WHOLE
        """How much of a failing position is closed at a time."""

    def check(self, account: VenueAccount) -> None:
        """Call for margin where it is short, and liquidate what fails, the largest position first."""
        ledger = account.ledger
        markets = self._matcher.markets
        for position in list(ledger.positions.values()):
            if position.is_isolated and position.amount:
                health = ledger.isolated_health(position, markets[position.symbol].mark, self._table)
                self._call(account, position.symbol, health.ratio, [position])
                if health.fails:
                    self._liquidate(account, position, abs(position.amount))
        while True:
            held = [p for p in ledger.positions.values() if p.amount and not p.is_isolated]
            health = ledger.cross_health(self._matcher.marks, self._table)
            self._call(account, CROSS, health.ratio, held)
            if not held or not health.fails:
                return
            largest = max(held, key=lambda p: abs(p.amount) * markets[p.symbol].mark)
            size = self._step(account, largest)
            self._liquidate(account, largest, size)
            if largest.amount and self.steps is LiquidationSteps.FIFTH:
                return  # what is left is looked at with the next mark

    def _step(self, account: VenueAccount, position: Position) -> Decimal:
        """How much of a failing cross position to close now."""
        held, market = abs(position.amount), self._matcher.markets[position.symbol]
        notional = held * market.mark
        match self.steps:
            case LiquidationSteps.TIERS:
                floor = self._table.of(notional).tier.notional_floor
                kept = (floor / market.mark).quantize(market.spec.step, ROUND_DOWN)
                return held - kept
            case LiquidationSteps.FIFTH:
                now_ms = self._matcher.clock_ms()
                if notional <= FIFTH_ABOVE_USD or now_ms < account.cooling_until_ms:
                    return held
                account.cooling_until_ms = now_ms + COOLDOWN_MS
                return (held * FIFTH).quantize(market.spec.step, ROUND_UP)
            case _:
                return held

    def _call(self, account: VenueAccount, subject: str, ratio: float, positions: list[Position]) -> None:
        if ratio < self._settings.margin_call_ratio:
            account.margin_called.discard(subject)
        elif subject not in account.margin_called:
            account.margin_called.add(subject)
            matcher = self._matcher
            account.tell(
                margin_call_event(account, positions, matcher.marks, self._table, matcher.clock_ms())
            )

    def _liquidate(self, account: VenueAccount, position: Position, size: Decimal) -> None:
        """Close so much of a position into the book; what no visible level takes goes at the bankruptcy price."""
        matcher = self._matcher
        symbol = position.symbol
        market = matcher.markets[symbol]
        self._cancel_orders(account, None if not position.is_isolated else symbol)
        was_isolated, backing = position.is_isolated, self._backing(account, position)
        bankruptcy = max((position.cost - backing) / position.amount, market.spec.tick)
        bankruptcy = (bankruptcy / market.spec.tick).to_integral_value() * market.spec.tick
        side = Side.SELL if position.amount > ZERO else Side.BUY
        order = self._order(account, position, side, size)
        fills = matcher.close_out(account, market, order, bankruptcy)
        realised = sum((fill.realised for fill in fills), ZERO)
        left = backing + realised + position.unrealised(market.mark)
        fee = self._charge(account, symbol, left, order.filled_quote)
        insurance = self._cover(account, symbol, left - fee, was_isolated=was_isolated)
        now_ms = matcher.clock_ms()
        account.liquidations.append(
            Liquidation(symbol, side, size, order.average_price, realised, fee, insurance, now_ms)
        )
        matcher.tell_account(account, "INSURANCE_CLEAR", [symbol], insurance - fee)
        average = order.average_price.quantize(market.spec.tick)
        matcher.tell_forced(market, side, size, bankruptcy, average)

    def _backing(self, account: VenueAccount, position: Position) -> Decimal:
        """The money that a position may lose before others pay: its isolated wallet, or the cross equity."""
        if position.is_isolated:
            return position.isolated_wallet
        marks = self._matcher.marks
        own = position.unrealised(marks[position.symbol])
        return account.ledger.cross_margin + account.ledger.unrealised_cross(marks) - own

    def _order(self, account: VenueAccount, position: Position, side: Side, size: Decimal) -> Order:
        client_id = f"autoclose-{self._matcher.clock_ms()}"
        request = OrderRequest(
            position.symbol,
            side,
            OrderType.LIQUIDATION,
            size,
            time_in_force="IOC",
            reduce_only=True,
            client_id=client_id,
            position_side=position.side,
        )
        return self._matcher.enter(account, request, size)

    def _charge(self, account: VenueAccount, symbol: str, left: Decimal, notional: Decimal) -> Decimal:
        """Charge the liquidation fee as far as margin is left for it."""
        fee = money(min(notional * self._settings.liquidation_fee_ratio, max(ZERO, left)))
        account.ledger.charge(fee)
        account.ledger.liquidation_fees += fee
        account.note(symbol, "INSURANCE_CLEAR", -fee, self._matcher.clock_ms())
        return fee

    def _cover(self, account: VenueAccount, symbol: str, left: Decimal, *, was_isolated: bool) -> Decimal:
        """Pay what was lost beyond the margin; the cross wallet is only covered once nothing backs it."""
        ledger = account.ledger
        shortfall = max(ZERO, -left)
        if not was_isolated:
            others = any(p.amount and not p.is_isolated for p in ledger.positions.values())
            if not others:
                self._exchange(account)
            shortfall = ZERO if others else max(ZERO, -ledger.cross_wallet)
        elif not any(p.amount for p in ledger.positions.values()):
            # Fees of fills that were worse than expected may have overdrawn the wallet by a little.
            shortfall = max(shortfall, -ledger.wallet)
        if shortfall:
            ledger.cover(shortfall)
            account.note(symbol, "INSURANCE_CLEAR", shortfall, self._matcher.clock_ms())
        return shortfall

    def _exchange(self, account: VenueAccount) -> None:
        """Sell collateral for what the wallet owes, before anybody else pays for it."""
        ledger = account.ledger
        before = {SETTLE: ledger.wallet} | ledger.collateral
        sold = ledger.exchange(-ledger.cross_wallet)
        if sold:
            after = {SETTLE: ledger.wallet} | ledger.collateral
            changes = {asset: after[asset] - before[asset] for asset in (SETTLE, *sold)}
            self._matcher.tell_account(account, "AUTO_EXCHANGE", [], assets=changes)

    def _cancel_orders(self, account: VenueAccount, symbol: str | None) -> None:
        for order in account.book.open_orders(symbol):
            self._matcher.finish(account, order, OrderStatus.CANCELED)
        for algo in account.book.open_algos(symbol):
            self._matcher.finish_algo(account, algo, OrderStatus.CANCELED)
