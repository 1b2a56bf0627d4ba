"""A venue in virtual time: positions and orders of every bot, summed by account as a guard sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.events import Order, Position
from guard.units import AccountId, market_id

VENUE = "loopback"
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
MARK_PRICE = 100.0
SIZE_FULL = 10.0


@dataclass(frozen=True, slots=True)
class BotSpec:
    """A bot of the simulation and what it trades."""

    name: str
    account: str
    symbols: tuple[str, ...]

    @property
    def account_id(self) -> AccountId:
        return AccountId(f"{VENUE}:{self.account}")


ALPHA = BotSpec("alpha", "main", (BTC, ETH))
BETA = BotSpec("beta", "main", (BTC,))
GAMMA = BotSpec("gamma", "other", (ETH,))
BOTS = (ALPHA, BETA, GAMMA)


@dataclass(slots=True)
class Holding:
    """One bot's share of one market; all positions are long, the stop is reduce-only."""

    size: float = 0.0
    stop_price: float = 95.0
    stop_number: int = 0
    entry_order: str = ""
    entry_size: float = 0.0


@dataclass(slots=True)
class Venue:
    """Every holding, by bot and symbol."""

    holdings: dict[tuple[str, str], Holding] = field(
        default_factory=lambda: {(bot.name, symbol): Holding() for bot in BOTS for symbol in bot.symbols}
    )
    _orders: int = 0

    def rest_entry(self, bot: str, symbol: str, size: float) -> None:
        """Rest an order that opens or enlarges."""
        self._orders += 1
        holding = self.holdings[bot, symbol]
        holding.entry_order, holding.entry_size = f"entry-{self._orders}", size

    def fill_entry(self, bot: str, symbol: str) -> None:
        """Fill the resting entry, if there is one."""
        holding = self.holdings[bot, symbol]
        if holding.entry_order:
            holding.size += holding.entry_size
            holding.entry_order, holding.entry_size = "", 0.0

    def cancel_entry(self, bot: str, symbol: str) -> None:
        holding = self.holdings[bot, symbol]
        holding.entry_order, holding.entry_size = "", 0.0

    def cut(self, bot: str, symbol: str, max_size: float) -> None:
        holding = self.holdings[bot, symbol]
        holding.size = min(holding.size, max_size)

    def move_stop(self, bot: str, symbol: str, stop_price: float) -> None:
        holding = self.holdings[bot, symbol]
        if holding.stop_price == stop_price:
            return
        self._orders += 1
        holding.stop_price, holding.stop_number = stop_price, self._orders

    def orders(self, bot: str) -> list[Order]:
        """What rests for one bot."""
        found: list[Order] = []
        for (owner, symbol), holding in self.holdings.items():
            if owner != bot:
                continue
            market = market_id(VENUE, symbol)
            if holding.entry_order:
                found.append(
                    Order(order_id=holding.entry_order, market=market, size=holding.entry_size, price=99.0)
                )
            if holding.size:
                found.append(
                    Order(
                        order_id=f"stop-{bot}-{symbol}-{holding.stop_number}",
                        market=market,
                        size=-holding.size,
                        stop_price=holding.stop_price,
                        reduce_only=True,
                    )
                )
        return found

    def account(self, account: str) -> tuple[tuple[Position, ...], tuple[Order, ...]]:
        """Positions and orders of an account, its bots added up."""
        sizes: dict[str, float] = {}
        orders: list[Order] = []
        for spec in BOTS:
            if spec.account == account:
                orders += self.orders(spec.name)
                for symbol in spec.symbols:
                    sizes[symbol] = sizes.get(symbol, 0.0) + self.holdings[spec.name, symbol].size
        positions = tuple(
            Position(
                market=market_id(VENUE, symbol),
                size=size,
                mark_price=MARK_PRICE,
                leverage=3.0,
                entry_price=99.0,
            )
            for symbol, size in sizes.items()
            if size
        )
        return positions, tuple(orders)
