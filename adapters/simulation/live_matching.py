"""Matching of accounts' orders in the market's own book, where everybody else's orders are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from adapters.simulation.account import VenueAccount
from adapters.simulation.ledger import Position, PositionSide
from adapters.simulation.margin import ZERO
from adapters.simulation.markets import Market
from adapters.simulation.matching import Matcher, Publish
from adapters.simulation.orders import Fill, Order, OrderStatus, Side
from adapters.simulation.reactive import ReactiveSource
from adapters.simulation.settings import LoopbackSettings


class LiveMatcher(Matcher):
    """A Matcher for markets that react: orders take from makers and others, and stand in one queue with theirs.

    The market says who got what; accounts are booked so, to the last lot. Therefore what stands in its book of
    orders that may only reduce never adds up to more than there is to reduce.
    """

    def __init__(
        self,
        markets: dict[str, Market],
        settings: LoopbackSettings,
        source: ReactiveSource,
        accounts: Mapping[str, VenueAccount],
        *,
        clock_ms: Callable[[], int],
        publish: Publish,
    ) -> None:
        super().__init__(markets, settings, clock_ms=clock_ms, publish=publish, taken=source.taken)
        self._source = source
        self._accounts = accounts
        self._standing: dict[int, tuple[str, Order]] = {}
        """Orders that were given to the market, and whose they are."""
        self._flattened: set[tuple[str, str, PositionSide]] = set()
        """Positions that a fill has closed, of which orders may have to end."""

    @property
    def takes_orders(self) -> bool:
        return self._source.takes_orders

    def price_max(self, market: Market) -> Decimal | None:
        return self._source.price_max(market.spec.symbol)

    def best(self, market: Market, side: Side) -> Decimal | None:
        return self._source.best(market.spec.symbol, side)

    def offered(self, market: Market, side: Side, limit: Decimal, enough: Decimal) -> Decimal:
        return self._source.offered(market.spec.symbol, side, limit, enough)

    def match(self, account: VenueAccount, market: Market, order: Order, *, as_maker: bool = False) -> None:
        """Let the market match an order; what is left of a limit order stands there, of others expires."""
        del as_maker  # the market tells by itself what is filled later
        name, symbol, side = account.spec.name, market.spec.symbol, order.side
        size = self.fillable(account, order)
        if order.stands:
            size -= self._reducing(account, order)
            self._standing[order.order_id] = (name, order)
            got = self._source.place(name, symbol, order.order_id, side, max(size, ZERO), order.price)
        else:
            got = self._source.take(name, symbol, side, size, order.price)
        self.fill(account, market, order, got, is_maker=False, is_told=True)
        self.book_resting()
        if order.is_open and not order.stands:
            self.finish(account, order, OrderStatus.EXPIRED)
        elif not order.is_open:
            self._standing.pop(order.order_id, None)
        self._fit_reducing(account, symbol, order.position_side)

    def book_resting(self) -> None:
        """Book what the market filled of resting orders, and end those that it took out."""
        touched: dict[tuple[str, str, PositionSide], None] = {}
        for filled in self._source.take_fills():
            name, order = self._standing[filled.order_id]
            account, market = self._accounts[name], self.markets[order.symbol]
            offers = [(filled.price, filled.size)]
            self.fill(account, market, order, offers, is_maker=True, is_told=True)
            if not order.is_open:
                self._standing.pop(order.order_id, None)
            touched[name, order.symbol, order.position_side] = None
        for order_id in self._source.take_expired():
            if order_id in self._standing:
                name, order = self._standing[order_id]
                self.finish(self._accounts[name], order, OrderStatus.EXPIRED)
        # Not before every fill is booked: until then an order may seem to have room that is filled already.
        for name, symbol, side in touched:
            self._fit_reducing(self._accounts[name], symbol, side)

    def finish(self, account: VenueAccount, order: Order, status: OrderStatus) -> None:
        if self._standing.pop(order.order_id, None) is not None:
            self._source.shrink(order.order_id, ZERO)
        super().finish(account, order, status)

    def on_book(self, account: VenueAccount, market: Market) -> None:
        """Nothing: what the market fills it says itself."""

    def on_trade(self, account: VenueAccount, market: Market, price: Decimal, size: Decimal) -> None:
        """Nothing, likewise."""

    def close_out(
        self, account: VenueAccount, market: Market, order: Order, bankruptcy: Decimal
    ) -> list[Fill]:
        """Sell or buy down to the bankruptcy price, as everybody's liquidation does; the venue takes the rest there."""
        name, symbol, side = account.spec.name, market.spec.symbol, order.side
        offers = self._source.take(name, symbol, side, order.quantity, bankruptcy)
        rest = order.quantity - sum((size for _, size in offers), ZERO)
        if rest > ZERO:
            self._source.hand_over(name, symbol, side, rest, bankruptcy)
            offers.append((bankruptcy, rest))
        fills = self.fill(account, market, order, offers, is_maker=False, fee_ratio=ZERO, is_told=True)
        self.book_resting()
        self._fit_reducing(account, symbol, order.position_side)
        return fills

    def tell_forced(
        self, market: Market, side: Side, size: Decimal, bankruptcy: Decimal, average: Decimal
    ) -> None:
        self._source.liquidated(market.spec.symbol, side, size, bankruptcy, average)

    def settle(self, account: VenueAccount, market: Market, position: Position) -> None:
        side = Side.SELL if position.amount > ZERO else Side.BUY
        size = abs(position.amount)
        self._source.hand_over(account.spec.name, market.spec.symbol, side, size, market.mark)
        super().settle(account, market, position)

    def expire_reducing(self, account: VenueAccount, position: Position) -> None:
        """Remember: ``_fit_reducing`` does it, once every fill of the moment is booked."""
        self._flattened.add((account.spec.name, position.symbol, position.side))

    def _reducing(self, account: VenueAccount, order: Order) -> Decimal:
        """What stands already of other orders that may only reduce the same position."""
        if not order.reduce_only:
            return ZERO
        others = (
            self._source.standing(other.order_id)
            for other in account.book.open_orders(order.symbol)
            if other.reduce_only and other.position_side is order.position_side and other is not order
        )
        return sum(others, ZERO)

    def _fit_reducing(self, account: VenueAccount, symbol: str, side: PositionSide) -> None:
        """Let so much stand of orders that may only reduce as there is to reduce now, the first ones first.

        One that shrank keeps its place; one that has room again goes to the end of the queue for all of it.
        """
        position = account.ledger.position(symbol, side)
        key = (account.spec.name, symbol, side)
        if key in self._flattened:
            self._flattened.remove(key)
            if not position.amount:
                super().expire_reducing(account, position)
        room = abs(position.amount)
        for order in account.book.open_orders(symbol):
            if (
                not order.reduce_only
                or order.position_side is not side
                or order.order_id not in self._standing
            ):
                continue
            wanted = min(order.remaining, room) if position.amount * order.side.sign < ZERO else ZERO
            standing = self._source.standing(order.order_id)
            room -= wanted
            if wanted < standing:
                self._source.shrink(order.order_id, wanted)
            elif wanted > standing:
                self._source.shrink(order.order_id, ZERO)
                name, market = account.spec.name, self.markets[symbol]
                got = self._source.place(name, symbol, order.order_id, order.side, wanted, order.price)
                self.fill(account, market, order, got, is_maker=False, is_told=True)
                self.book_resting()
                if got:
                    self._fit_reducing(account, symbol, side)  # there is less to reduce now
                    return
