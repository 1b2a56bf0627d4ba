"""The venue's trading: what clients may ask for, and what the market's moves do to accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import count

from adapters.simulation.account import VenueAccount
from adapters.simulation.assets import SETTLE, AssetIndex
from adapters.simulation.errors import (
    Refusal,
    insufficient_margin,
    invalid_symbol,
    out_of_service,
    unknown_order,
)
from adapters.simulation.ledger import MarginType, Position, PositionSide
from adapters.simulation.liquidation import Liquidator
from adapters.simulation.live_matching import LiveMatcher
from adapters.simulation.margin import ZERO, BracketTable
from adapters.simulation.markets import Market, MarketStatus
from adapters.simulation.matching import Matcher, Publish, Taken
from adapters.simulation.orders import (
    AlgoOrder,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    check_notional,
)
from adapters.simulation.payloads import algo_event, config_event
from adapters.simulation.reactive import ReactiveSource
from adapters.simulation.settings import LoopbackSettings

_MARKET_TYPE = {OrderType.STOP: OrderType.LIMIT, OrderType.TAKE_PROFIT: OrderType.LIMIT}
"""What a conditional order becomes when it triggers; the others become MARKET."""


class Engine:
    """All accounts against all books."""

    def __init__(
        self,
        markets: dict[str, Market],
        settings: LoopbackSettings,
        *,
        clock_ms: Callable[[], int],
        publish: Publish,
        taken: Taken,
        live: ReactiveSource | None = None,
        reacted: Callable[[], None] = lambda: None,
    ) -> None:
        """Set up.

        Args:
            markets: by symbol.
            settings: fees, tiers, limits.
            clock_ms: the venue's clock.
            publish: tells clients what accounts did.
            taken: tells the source what accounts took from the shown book.
            live: the source, if accounts' orders are matched in its own book.
            reacted: is called when such a market may have something to tell.
        """
        self.markets = markets
        self.accounts: dict[str, VenueAccount] = {}
        self.table = BracketTable(settings.margin_tiers)
        self.assets = AssetIndex(settings.margin_assets, lambda: self.marks)
        self.is_one_way = False
        """Whether there is no hedge mode here."""
        self._settings = settings
        self._clock_ms = clock_ms
        self._reacted = reacted
        self._matcher = (
            Matcher(markets, settings, clock_ms=clock_ms, publish=publish, taken=taken)
            if live is None
            else LiveMatcher(markets, settings, live, self.accounts, clock_ms=clock_ms, publish=publish)
        )
        self.liquidator = Liquidator(self._matcher, self.table, settings)
        self._algo_ids = count(2_000_001)

    @property
    def marks(self) -> dict[str, Decimal]:
        return self._matcher.marks

    def market(self, symbol: str | None) -> Market:
        market = self.markets.get(symbol or "")
        if market is None or market.status is MarketStatus.DELISTED:
            raise invalid_symbol()
        return market

    # -- what clients ask for ------------------------------------------------------------------------

    def place(self, account: VenueAccount, request: OrderRequest) -> Order:
        """Take a MARKET or LIMIT order: match it, and let the rest of a limit order stand.

        Raises:
            Refusal: with Binance's code; nothing has changed then.
        """
        market = self._open_market(request.symbol)
        self._check_client_id(account, request)
        self._check_side(account, request)
        quantity = self._allowed_quantity(account, request)
        price = request.price or self._expected_price(market, request.side)
        highest = self._matcher.price_max(market)
        if highest is not None and request.price > highest:
            raise Refusal(-4016, f"Limit price can't be higher than {highest}.")
        if not (request.reduce_only or request.only_closes):
            check_notional(quantity * price, market.spec)
            self._check_margin(account, request, request.side.sign * quantity, price)
        crossing = self._matcher.offered(market, request.side, request.price, quantity)
        if request.time_in_force == "GTX" and crossing > ZERO:
            raise Refusal(
                -5022,
                "Due to the order could not be executed as maker, the Post Only order will be rejected.",
            )
        if request.time_in_force == "FOK" and crossing < quantity:
            raise Refusal(
                -5021, "Due to the order could not be filled immediately, the FOK order has been rejected."
            )
        order = self._matcher.enter(account, request, quantity)
        self._matcher.match(account, market, order)
        self._reacted()
        return order

    def cancel(self, account: VenueAccount, order: Order | None) -> Order:
        """Cancel an open order.

        Raises:
            Refusal: it is not open.
        """
        if order is None or not order.is_open:
            raise unknown_order()
        self._check_works()
        self._matcher.finish(account, order, OrderStatus.CANCELED)
        self._reacted()
        return order

    def place_algo(self, account: VenueAccount, request: OrderRequest) -> AlgoOrder:
        """Take a conditional order.

        Raises:
            Refusal: it would trigger at once, or another one already closes the position on this side.
        """
        market = self._open_market(request.symbol)
        self._check_client_id(account, request)
        self._check_side(account, request)
        algo = AlgoOrder(next(self._algo_ids), request, self._clock_ms(), updated_ms=self._clock_ms())
        if algo.triggers_at(market.reference(request.working_type)):
            raise Refusal(-2021, "Order would immediately trigger.")
        if request.close_position and any(
            other.request.close_position
            and other.request.side is request.side
            and other.request.position_side is request.position_side
            and other.request.type.is_stop == request.type.is_stop
            for other in account.book.open_algos(request.symbol)
        ):
            raise Refusal(
                -4130,
                "An open stop or take profit order with GTE and closePosition in the direction is existing.",
            )
        if request.close_position and not (
            account.ledger.position(request.symbol, request.position_side).amount
            or account.book.open_orders(request.symbol)
        ):
            raise Refusal(
                -4509, "Time in Force (TIF) GTE can only be used with open positions or open orders."
            )
        account.book.add_algo(algo)
        account.tell(algo_event(algo, self._clock_ms()))
        return algo

    def cancel_algo(self, account: VenueAccount, algo: AlgoOrder | None) -> AlgoOrder:
        """Cancel a conditional order.

        Raises:
            Refusal: it is not waiting.
        """
        if algo is None or not algo.is_open:
            raise unknown_order()
        self._matcher.finish_algo(account, algo, OrderStatus.CANCELED)
        return algo

    def set_leverage(self, account: VenueAccount, symbol: str, leverage: int) -> Position:
        """Set the leverage of a symbol; an isolated position keeps at least its new initial margin.

        Raises:
            Refusal: out of bounds, too much position for it, or too little margin.
        """
        market = self.market(symbol)
        if not 1 <= leverage <= self.table.leverage_max:
            raise Refusal(-4028, f"Leverage {leverage} is not valid")
        ledger = account.ledger
        position, legs = ledger.position(symbol), ledger.legs(symbol)
        if max(abs(leg.amount) for leg in legs) * market.mark > self.table.notional_max(leverage):
            raise Refusal(-2027, "Exceeded the maximum allowable position at current leverage.")
        before = position.leverage
        if position.is_isolated and leverage < before and ledger.holds(symbol):
            raise Refusal(
                -4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions."
            )
        for each in (position, *legs):
            each.leverage = leverage
        if leverage < before and self._overdrawn(account):
            for each in (position, *legs):
                each.leverage = before
            raise insufficient_margin()
        account.tell(config_event(symbol, leverage, self._clock_ms()))
        return position

    def set_margin_type(self, account: VenueAccount, symbol: str, margin_type: MarginType) -> None:
        """Set cross or isolated.

        Raises:
            Refusal: it is so already, or orders or a position stand in the way.
        """
        self.market(symbol)
        position = account.ledger.position(symbol)
        if account.ledger.multi_assets and margin_type is MarginType.ISOLATED:
            raise Refusal(-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
        if position.margin_type is margin_type:
            raise Refusal(-4046, "No need to change margin type.")
        if account.book.open_orders(symbol) or account.book.open_algos(symbol):
            raise Refusal(-4047, "Margin type cannot be changed if there exists open orders.")
        if account.ledger.holds(symbol):
            raise Refusal(-4048, "Margin type cannot be changed if there exists position.")
        for each in (position, *account.ledger.legs(symbol)):
            each.margin_type = margin_type

    def set_hedged(self, account: VenueAccount, *, wanted: bool) -> None:
        """Give each symbol a long and a short position of its own, or one for both again.

        Raises:
            Refusal: it is so already, a position or an order stands in the way, or the venue has no such mode.
        """
        ledger = account.ledger
        if ledger.hedged is wanted:
            raise Refusal(-4059, "No need to change position side.")
        if self.is_one_way:
            raise Refusal(-4060, "Invalid position side.")
        if account.book.open_orders() or account.book.open_algos():
            raise Refusal(-4067, "Position side cannot be changed if there exists open orders.")
        if any(position.amount for position in ledger.positions.values()):
            raise Refusal(-4068, "Position side cannot be changed if there exists position.")
        # What a pair takes its leverage and margin type from stays.
        ledger.positions = {key: each for key, each in ledger.positions.items() if not each.side.sign}
        ledger.hedged = wanted

    def set_multi_assets(self, account: VenueAccount, *, wanted: bool) -> None:
        """Let collateral in other assets than USDT back positions, or no longer.

        Raises:
            Refusal: it is so already, or isolated symbols, orders or missing margin stand in the way.
        """
        ledger = account.ledger
        if ledger.multi_assets is wanted:
            raise Refusal(-4171, "No need to change multi-assets mode.")
        if account.book.open_orders() or account.book.open_algos():
            raise Refusal(-4170, "Unable to adjust Multi-Assets Mode with open orders in USD-M Futures.")
        if wanted and any(position.is_isolated for position in ledger.positions.values()):
            raise Refusal(
                -4167, "Unable to adjust to Multi-Assets mode with symbols under isolated-margin mode."
            )
        ledger.multi_assets = wanted
        if not wanted and (ledger.wallet < ZERO or self._overdrawn(account)):
            ledger.multi_assets = True
            raise Refusal(-4169, "Unable to adjust Multi-Assets Mode with insufficient margin balance.")

    def transfer(self, account: VenueAccount, asset: str, quantity: Decimal) -> None:
        """Move an asset into an account, or with a negative quantity out of it.

        Raises:
            KeyError: the venue takes no such asset.
            ValueError: so much is not there, or backs positions and orders.
        """
        self.assets.price(asset)
        ledger = account.ledger
        held = ledger.wallet if asset == SETTLE else ledger.collateral.get(asset, ZERO)
        ledger.move(asset, quantity)
        if quantity < ZERO and (held + quantity < ZERO or self._overdrawn(account)):
            ledger.move(asset, -quantity)
            raise ValueError(f"{asset}: {-quantity} are not free to leave the account")
        reason = "DEPOSIT" if quantity > ZERO else "WITHDRAW"
        self._matcher.tell_account(account, reason, [], assets={asset: quantity})

    def move_margin(
        self,
        account: VenueAccount,
        symbol: str,
        amount: Decimal,
        side: PositionSide = PositionSide.BOTH,
    ) -> None:
        """Add to (or with a negative amount take from) an isolated position's margin, USDT.

        Raises:
            Refusal: the position is not isolated, or the margin is not there.
        """
        market = self.market(symbol)
        position = account.ledger.position(symbol, side)
        if not position.is_isolated or not position.amount:
            raise Refusal(-4054, "Cannot add position margin: position is 0 or not isolated.")
        free = account.ledger.available(self.marks, account.reserved())
        spare = (
            position.isolated_wallet + position.unrealised(market.mark) - position.initial_margin(market.mark)
        )
        if amount > free or -amount > max(ZERO, spare):
            raise Refusal(-4051, "Isolated balance insufficient.")
        position.isolated_wallet += amount
        self._matcher.tell_account(account, "MARGIN_TRANSFER", [symbol])

    # -- what the market does ------------------------------------------------------------------------

    def on_book(self, symbol: str) -> None:
        """The book moved: fill resting orders that it now crosses."""
        market = self.markets[symbol]
        for account in self.accounts.values():
            self._matcher.on_book(account, market)

    def on_trade(self, symbol: str, price: Decimal, size: Decimal) -> None:
        """A trade was printed: fill resting orders that it went through, then look at triggers."""
        market = self.markets[symbol]
        for account in self.accounts.values():
            self._matcher.on_trade(account, market, price, size)
        self._run_triggers(market, "CONTRACT_PRICE")

    def on_mark(self, symbol: str, funding: tuple[Decimal, Decimal] | None = None) -> None:
        """The mark moved: settle funding that fell due, look at triggers and at everyone's margin."""
        market = self.markets[symbol]
        if funding is not None:
            self._settle_funding(symbol, *funding)
        if market.status is not MarketStatus.TRADING:
            return
        self._run_triggers(market, "MARK_PRICE")
        for account in self.accounts.values():
            if account.ledger.positions.get(symbol) is not None:
                self.liquidator.check(account)

    def on_terms(self) -> None:
        """What the venue asks for or counts has changed: look at everyone's margin."""
        for account in self.accounts.values():
            self.liquidator.check(account)
        self._reacted()

    def on_step(self) -> None:
        """A market that reacts made a step, or answered one: book what it filled of resting orders."""
        self._matcher.book_resting()

    def on_assets(self, prices: Mapping[str, Decimal]) -> None:
        """The market says what collateral is worth: value it so, and look at everyone's margin."""
        priced = {asset: price for asset, price in prices.items() if asset in self.assets.assets}
        changed = {asset: price for asset, price in priced.items() if self.assets.price(asset) != price}
        for asset, price in changed.items():
            self.assets.set_price(asset, price)
        if changed:
            self.on_terms()

    def settle(self, symbol: str) -> None:
        """Close every position at the mark and cancel every order, as at the end of a contract."""
        market = self.markets[symbol]
        for account in self.accounts.values():
            for order in account.book.open_orders(symbol):
                self._matcher.finish(account, order, OrderStatus.CANCELED)
            for algo in account.book.open_algos(symbol):
                self._matcher.finish_algo(account, algo, OrderStatus.CANCELED)
            for position in account.ledger.legs(symbol):
                if not position.amount:
                    continue
                self._matcher.settle(account, market, position)
                self._matcher.tell_account(account, "ADJUSTMENT", [symbol])

    # -- inside --------------------------------------------------------------------------------------

    def _open_market(self, symbol: str) -> Market:
        market = self.market(symbol)
        if market.status is not MarketStatus.TRADING:
            raise Refusal(-4140, "Invalid symbol status for opening position.")
        self._check_works()
        return market

    def _check_works(self) -> None:
        if not self._matcher.takes_orders:
            raise out_of_service()

    def _check_client_id(self, account: VenueAccount, request: OrderRequest) -> None:
        if account.book.has_client_id(request.client_id):
            raise Refusal(-4116, "ClientOrderId is duplicated.")

    def _allowed_quantity(self, account: VenueAccount, request: OrderRequest) -> Decimal:
        """What of the quantity may be traded: a reduce-only order is cut to the position."""
        amount = account.ledger.position(request.symbol, request.position_side).amount
        reducible = abs(amount) if amount * request.side.sign < ZERO else ZERO
        if request.close_position:
            return reducible
        if request.reduce_only or request.only_closes:
            # Of a hedged pair no more can be closed than there is.
            if reducible == ZERO or (request.only_closes and request.quantity > reducible):
                raise Refusal(-2022, "ReduceOnly Order is rejected.")
            return min(request.quantity, reducible)
        return request.quantity

    def _expected_price(self, market: Market, side: Side) -> Decimal:
        best = self._matcher.best(market, side)
        return market.mark if best is None else best

    def _check_side(self, account: VenueAccount, request: OrderRequest) -> None:
        if account.ledger.hedged is not bool(request.position_side.sign):
            raise Refusal(-4061, "Order's position side does not match user's setting.")
        if request.reduce_only and account.ledger.hedged:
            raise Refusal(-1106, "Parameter 'reduceonly' sent when not required.")

    def _check_margin(
        self, account: VenueAccount, request: OrderRequest, signed_size: Decimal, price: Decimal
    ) -> None:
        """Refuse what the account cannot carry; what only reduces needs nothing."""
        position = account.ledger.position(request.symbol, request.position_side)
        after = position.amount + signed_size
        increase = abs(signed_size)
        if position.amount * signed_size < ZERO:
            increase = max(ZERO, abs(signed_size) - abs(position.amount))
        if increase == ZERO:
            return
        if abs(after) * price > self.table.notional_max(position.leverage):
            raise Refusal(-2027, "Exceeded the maximum allowable position at current leverage.")
        needed = (
            increase * price / position.leverage + abs(signed_size) * price * self._settings.taker_fee_ratio
        )
        if needed > account.ledger.available(self.marks, account.reserved()):
            raise insufficient_margin()

    def _overdrawn(self, account: VenueAccount) -> bool:
        marks, ledger = self.marks, account.ledger
        used = sum(
            (
                p.initial_margin(marks[p.symbol])
                for p in ledger.positions.values()
                if p.amount and not p.is_isolated
            ),
            ZERO,
        )
        return used + account.reserved() > ledger.cross_margin + ledger.unrealised_cross(marks)

    def _run_triggers(self, market: Market, working_type: str) -> None:
        price = market.reference(working_type)
        for account in self.accounts.values():
            for algo in account.book.open_algos(market.spec.symbol):
                if algo.request.working_type == working_type and algo.triggers_at(price):
                    self._trigger(account, market, algo)

    def _trigger(self, account: VenueAccount, market: Market, algo: AlgoOrder) -> None:
        """Turn a conditional order into the order that it stands for; one that may not be placed is rejected."""
        asked = algo.request
        algo.triggered_ms = self._clock_ms()
        self._matcher.finish_algo(account, algo, OrderStatus.TRIGGERED)
        request = replace(asked, type=_MARKET_TYPE.get(asked.type, OrderType.MARKET))
        try:
            quantity = self._triggered_quantity(account, market, request)
        except Refusal as refusal:
            algo.reason = refusal.message
            self._matcher.finish_algo(account, algo, OrderStatus.REJECTED)
            return
        order = self._matcher.enter(account, request, quantity, triggered_from=asked)
        algo.order_id = order.order_id
        self._matcher.match(account, market, order)
        self._matcher.finish_algo(account, algo, OrderStatus.FINISHED, order)

    def _triggered_quantity(self, account: VenueAccount, market: Market, request: OrderRequest) -> Decimal:
        quantity = self._allowed_quantity(account, request)
        if quantity <= ZERO:
            raise Refusal(-2022, "ReduceOnly Order is rejected.")
        if not (request.reduce_only or request.close_position or request.only_closes):
            price = request.price or self._expected_price(market, request.side)
            self._check_margin(account, request, request.side.sign * quantity, price)
        return quantity

    def _settle_funding(self, symbol: str, mark: Decimal, rate: Decimal) -> None:
        for account in self.accounts.values():
            if symbol not in account.ledger.positions:
                continue
            held = [position for position in account.ledger.legs(symbol) if position.amount]
            change = sum((account.ledger.pay_funding(position, mark, rate) for position in held), ZERO)
            if held:
                account.note(symbol, "FUNDING_FEE", change, self._clock_ms())
                self._matcher.tell_account(account, "FUNDING_FEE", [symbol], change)
