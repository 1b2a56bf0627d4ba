"""Matching of accounts' orders against the venue's books, and the bookkeeping and events of each fill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import count

from adapters.simulation import wire
from adapters.simulation.account import VenueAccount
from adapters.simulation.assets import SETTLE
from adapters.simulation.ledger import Position
from adapters.simulation.margin import ZERO
from adapters.simulation.markets import Market
from adapters.simulation.orders import AlgoOrder, Fill, Order, OrderRequest, OrderStatus, Side
from adapters.simulation.payloads import account_event, algo_event, order_event, plain
from adapters.simulation.reactive import Offer
from adapters.simulation.settings import LoopbackSettings
from adapters.simulation.source import FrameKind

FIRST_FILL_ID = 9_000_000_000
"""Far above the trade numbers of any source, so that an account's prints never collide with them."""

Publish = Callable[[str, FrameKind, bytes], None]
Taken = Callable[[str, str, Decimal, Decimal], None]


class Matcher:
    """Fills orders against the book that is shown: for markets that play on whatever accounts do.

    An order takes what the book shows, level by level. What it took is gone for other accounts until the
    source next sets the level or ``refill_ms`` of market time have passed; it is not taken out of the
    published depth, whose update ids belong to the source. ``LiveMatcher`` is for markets that react.
    """

    def __init__(
        self,
        markets: dict[str, Market],
        settings: LoopbackSettings,
        *,
        clock_ms: Callable[[], int],
        publish: Publish,
        taken: Taken,
    ) -> None:
        self.markets = markets
        self.clock_ms = clock_ms
        self.publish = publish
        self._settings = settings
        self._taken = taken
        self._order_ids = count(1_000_001)
        self._fill_ids = count(FIRST_FILL_ID)

    @property
    def marks(self) -> dict[str, Decimal]:
        return {symbol: market.mark for symbol, market in self.markets.items()}

    def enter(
        self,
        account: VenueAccount,
        request: OrderRequest,
        quantity: Decimal,
        *,
        triggered_from: OrderRequest | None = None,
    ) -> Order:
        """Make the order known, unfilled."""
        order_id = next(self._order_ids)
        now_ms = self.clock_ms()
        order = Order(
            order_id=order_id,
            client_id=request.client_id or f"loopback-{order_id}",
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            quantity=quantity,
            price=request.price,
            time_in_force=request.time_in_force,
            reduce_only=request.reduce_only or request.close_position or request.only_closes,
            position_side=request.position_side,
            created_ms=now_ms,
            updated_ms=now_ms,
        )
        if triggered_from is not None:
            order.origin = triggered_from.type
            order.stop_price = triggered_from.trigger_price
            order.working_type = triggered_from.working_type
            order.close_position = triggered_from.close_position
        account.book.add(order)
        account.tell(order_event(order, "NEW", now_ms))
        return order

    @property
    def takes_orders(self) -> bool:
        """Whether the venue works at all."""
        return True

    def price_max(self, market: Market) -> Decimal | None:  # noqa: ARG002 - this book has room for any
        """The highest price at which an order can be, if there is one."""
        return None

    def book_resting(self) -> None:
        """Book what the market filled by itself: nothing, where the shown book decides."""

    def best(self, market: Market, side: Side) -> Decimal | None:
        """The first price that an order of this side would get."""
        best = market.book.side(side).best()
        return None if best is None else Decimal(best[0])

    def offers(self, market: Market, side: Side, limit: Decimal = ZERO) -> Iterator[Offer]:
        """What the book offers an order of this side, best first, down to its limit if it has one."""
        refill_ns = self._settings.refill_ms * 1_000_000
        for price, size in market.book.side(side).available(market.now_ns, refill_ns):
            if limit and (limit - price) * side.sign < ZERO:
                return
            yield price, size

    def offered(self, market: Market, side: Side, limit: Decimal, enough: Decimal) -> Decimal:
        """How much is offered, counted up to ``enough``."""
        total = ZERO
        for _, size in self.offers(market, side, limit):
            total += size
            if total >= enough:
                return enough
        return total

    def match(self, account: VenueAccount, market: Market, order: Order, *, as_maker: bool = False) -> None:
        """Fill from the book; what is left of a limit order stands, of others expires.

        A resting order that the market has crossed (``as_maker``) fills at its own price.
        """
        taken: list[Offer] = []
        left = order.remaining
        for price, size in cut(self.offers(market, order.side, order.price), left):
            self.take(market, order.side, price, size)
            taken.append((order.price if as_maker else price, size))
        self.fill(account, market, order, taken, is_maker=as_maker)
        if order.is_open and not order.stands:
            self.finish(account, order, OrderStatus.EXPIRED)

    def on_book(self, account: VenueAccount, market: Market) -> None:
        """The shown book moved: fill an account's resting orders that it now crosses."""
        for order in account.book.open_orders(market.spec.symbol):
            if self.offered(market, order.side, order.price, order.remaining) > ZERO:
                self.match(account, market, order, as_maker=True)

    def on_trade(self, account: VenueAccount, market: Market, price: Decimal, size: Decimal) -> None:
        """A trade was printed: fill an account's resting orders that it went through."""
        for order in account.book.open_orders(market.spec.symbol):
            if (order.price - price) * order.side.sign > ZERO:
                offers = [(order.price, min(size, order.remaining))]
                self.fill(account, market, order, offers, is_maker=True)

    def close_out(
        self, account: VenueAccount, market: Market, order: Order, bankruptcy: Decimal
    ) -> list[Fill]:
        """Fill a liquidation's order, free of commission; what no visible level takes goes at the bankruptcy price."""
        offers = cut(self.offers(market, order.side), order.quantity)
        for price, taken in offers:
            self.take(market, order.side, price, taken)
        rest = order.quantity - sum((taken for _, taken in offers), ZERO)
        if rest > ZERO:
            offers.append((bankruptcy, rest))
        return self.fill(account, market, order, offers, is_maker=False, fee_ratio=ZERO)

    def tell_forced(
        self, market: Market, side: Side, size: Decimal, bankruptcy: Decimal, average: Decimal
    ) -> None:
        """Publish a liquidation."""
        payload = wire.forced_order(
            market.spec.symbol,
            market.now_ns // 1_000_000,
            side.value,
            plain(size),
            plain(bankruptcy),
            plain(average),
        )
        self.publish(market.spec.symbol, FrameKind.FORCED_ORDER, payload)

    def settle(self, account: VenueAccount, market: Market, position: Position) -> None:
        """Close a position at the mark against nobody, as at the end of a contract."""
        realised, _ = account.ledger.fill(
            market.spec.symbol, -position.amount, market.mark, ZERO, position.side
        )
        account.note(market.spec.symbol, "REALIZED_PNL", realised, self.clock_ms())

    def fill(
        self,
        account: VenueAccount,
        market: Market,
        order: Order,
        offers: Iterable[Offer],
        *,
        is_maker: bool,
        fee_ratio: Decimal | None = None,
        reason: str = "ORDER",
        is_told: bool = False,
    ) -> list[Fill]:
        """Book fills at these prices and sizes, print them, and tell the account.

        What was filled elsewhere ``is_told``: it is booked whole, and printed by the market itself.
        """
        if fee_ratio is None:
            fee_ratio = self._settings.maker_fee_ratio if is_maker else self._settings.taker_fee_ratio
        fills: list[Fill] = []
        events = []
        for price, offered in offers:
            size = offered if is_told else min(offered, self.fillable(account, order))
            if size <= ZERO:
                break
            signed = size * order.side.sign
            realised, fee = account.ledger.fill(order.symbol, signed, price, fee_ratio, order.position_side)
            fill = self._book_fill(account, order, (price, size), (realised, fee), is_maker=is_maker)
            fills.append(fill)
            events.append(order_event(order, "TRADE", fill.at_ms, fill))
            if not is_told:
                self._print(market, fill)
        position = account.ledger.position(order.symbol, order.position_side)
        if fills:
            position.updated_ms = self.clock_ms()
            self.tell_account(account, reason, [order.symbol])
            for event in events:
                account.tell(event)
        if fills and not position.amount:
            self.expire_reducing(account, position)
        return fills

    def finish(self, account: VenueAccount, order: Order, status: OrderStatus) -> None:
        """End an open order without (further) fills."""
        order.status = status
        order.updated_ms = self.clock_ms()
        account.tell(order_event(order, status.value, order.updated_ms))

    def finish_algo(
        self, account: VenueAccount, algo: AlgoOrder, status: OrderStatus, became: Order | None = None
    ) -> None:
        """Move a conditional order to a status and say so."""
        algo.status = status
        algo.updated_ms = self.clock_ms()
        account.tell(algo_event(algo, algo.updated_ms, became))

    def tell_account(
        self,
        account: VenueAccount,
        reason: str,
        symbols: list[str],
        change: Decimal = ZERO,
        *,
        assets: Mapping[str, Decimal] | None = None,
    ) -> None:
        """Tell an account's owner what changed; ``assets`` names those that did and by how much, else USDT did."""
        changes = {SETTLE: change} if assets is None else assets
        account.tell(account_event(account, reason, symbols, self.marks, self.clock_ms(), changes))

    def expire_reducing(self, account: VenueAccount, position: Position) -> None:
        """The position is flat: orders that can only reduce it end, as on Binance."""
        for order in account.book.open_orders(position.symbol):
            if order.reduce_only and order.position_side is position.side:
                self.finish(account, order, OrderStatus.EXPIRED)
        for algo in account.book.open_algos(position.symbol):
            if algo.request.close_position and algo.request.position_side is position.side:
                self.finish_algo(account, algo, OrderStatus.EXPIRED)

    def fillable(self, account: VenueAccount, order: Order) -> Decimal:
        """What may still be filled: a reduce-only order never opens."""
        if not order.reduce_only:
            return order.remaining
        amount = account.ledger.position(order.symbol, order.position_side).amount
        reducible = abs(amount) if amount * order.side.sign < ZERO else ZERO
        return min(order.remaining, reducible)

    def _book_fill(
        self,
        account: VenueAccount,
        order: Order,
        offer: Offer,
        money: tuple[Decimal, Decimal],
        *,
        is_maker: bool,
    ) -> Fill:
        price, size = offer
        realised, fee = money
        now_ms = self.clock_ms()
        order.filled += size
        order.filled_quote += size * price
        order.updated_ms = now_ms
        order.status = OrderStatus.FILLED if order.remaining == ZERO else OrderStatus.PARTIALLY_FILLED
        fill = Fill(
            fill_id=next(self._fill_ids),
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            price=price,
            size=size,
            realised=realised,
            fee=fee,
            is_maker=is_maker,
            at_ms=now_ms,
            position_side=order.position_side,
        )
        account.fills.append(fill)
        account.fill_count += 1
        account.note(order.symbol, "REALIZED_PNL", realised, now_ms)
        account.note(order.symbol, "COMMISSION", -fee, now_ms)
        return fill

    def take(self, market: Market, side: Side, price: Decimal, size: Decimal) -> None:
        """Take from a level of the book, and tell the source."""
        refill_ns = self._settings.refill_ms * 1_000_000
        market.book.side(side).take(price, size, market.now_ns, refill_ns)
        self._taken(market.spec.symbol, side.value, size, price)

    def _print(self, market: Market, fill: Fill) -> None:
        """Publish an account's fill as the trade that it is; the market's own time stamps it."""
        sold = (fill.side is Side.SELL) != fill.is_maker
        at_ms = market.now_ns // 1_000_000
        payload = wire.trade(
            fill.symbol, at_ms, fill.fill_id, plain(fill.price), plain(fill.size), buyer_is_maker=sold
        )
        self.publish(fill.symbol, FrameKind.TRADE, payload)


def cut(offers: Iterable[Offer], enough: Decimal) -> list[Offer]:
    """The offers, best first, that add up to ``enough``, the last one cut."""
    wanted: list[Offer] = []
    for price, size in offers:
        if enough <= ZERO:
            break
        wanted.append((price, min(size, enough)))
        enough -= size
    return wanted
