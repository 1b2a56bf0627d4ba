"""The engine without a server: books moved by hand, accounts that trade, and everything they are told."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from adapters.simulation import LoopbackSettings, VenueAccountSpec
from adapters.simulation.account import VenueAccount
from adapters.simulation.engine import Engine
from adapters.simulation.ledger import Ledger
from adapters.simulation.markets import Market
from adapters.simulation.orders import AlgoOrder, Order, read_order
from adapters.simulation.source import FrameKind
from adapters.simulation.wire import DepthUpdate, MarkPriceEvent, TradeEvent
from tests.adapters.simulation.steady import SteadySource, levels

START_MS = 1_700_000_000_000
CODE = "BTCUSDT"


class Exchange:
    """One market (or several) at 60,000 with one unit a level, a level each dollar."""

    def __init__(
        self, *symbols: str, price: float = 60_000.0, settings: LoopbackSettings | None = None
    ) -> None:
        self.source = SteadySource((price,), symbols=symbols or (CODE,))
        self.now_ms = START_MS
        self.markets = {
            spec.symbol: Market.opened(spec, self.source.opening(spec.symbol), START_MS * 10**6)
            for spec in self.source.specs
        }
        self.published: list[tuple[str, FrameKind, bytes]] = []
        self.told: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.settings = settings or LoopbackSettings()
        self.engine = Engine(
            self.markets,
            self.settings,
            clock_ms=lambda: self.now_ms,
            publish=lambda symbol, kind, payload: self.published.append((symbol, kind, payload)),
            taken=self.source.taken,
        )
        self._price = dict.fromkeys(self.markets, price)

    def account(
        self, wallet: int | str = 10_000, *, name: str = "alice", leverage: int = 20, **collateral: int
    ) -> VenueAccount:
        spec = VenueAccountSpec(
            name, f"key-{name}", f"secret-{name}", Decimal(wallet), leverage, collateral=collateral
        )
        held = {asset: Decimal(quantity) for asset, quantity in collateral.items()}
        assets = self.engine.assets
        ledger = Ledger(Decimal(wallet), leverage, assets, held, multi_assets=bool(held))
        account = VenueAccount(spec, ledger, tell=self.told[name].append)
        self.engine.accounts[name] = account
        return account

    def order(
        self, account: VenueAccount, side: str, kind: str = "MARKET", symbol: str = CODE, **more: Any
    ) -> Order:
        parameters = {"symbol": symbol, "side": side, "type": kind} | {k: str(v) for k, v in more.items()}
        if kind == "LIMIT":
            parameters.setdefault("timeInForce", "GTC")
        return self.engine.place(account, read_order(parameters, self.markets[symbol].spec, algo=False))

    def algo(self, account: VenueAccount, side: str, kind: str, trigger: float, **more: Any) -> AlgoOrder:
        parameters = {"symbol": CODE, "side": side, "type": kind, "triggerPrice": str(trigger)}
        parameters |= {k: str(v) for k, v in more.items()}
        return self.engine.place_algo(account, read_order(parameters, self.markets[CODE].spec, algo=True))

    def move(self, price: float, symbol: str = CODE, *, size: float = 1.0, later_ms: int = 1_000) -> None:
        """Move the whole book and the mark."""
        self.now_ms += later_ms
        market = self.markets[symbol]
        market.now_ns += later_ms * 10**6
        book = market.book
        sides = []
        for direction, side in ((-1, book.bids), (1, book.asks)):
            new = dict(levels(price, direction, size))
            gone = [(text, "0.000") for text, _ in side.top(10_000) if text not in new]
            sides.append(gone + list(new.items()))
        last = book.update_id
        book.apply(DepthUpdate(symbol, self.now_ms, last + 1, last + 2, sides[0], sides[1], last))
        self.engine.on_book(symbol)
        self.mark(price, symbol)

    def mark(self, price: float, symbol: str = CODE, *, rate: str = "0", next_funding_ms: int = 0) -> None:
        event = MarkPriceEvent(symbol, self.now_ms, f"{price:.2f}", f"{price:.2f}", rate, next_funding_ms)
        self.engine.on_mark(symbol, self.markets[symbol].see_mark(event))

    def print(self, price: float, size: str = "0.500", symbol: str = CODE) -> None:
        """Print a trade."""
        event = TradeEvent(symbol, self.now_ms, self.now_ms, f"{price:.1f}", size, m=True, t=1)
        self.markets[symbol].see_trade(event)
        self.engine.on_trade(symbol, Decimal(event.p), Decimal(event.q))

    def events(self, name: str, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.told[name] if event["e"] == kind]


def is_conserved(account: VenueAccount) -> bool:
    """Every change of the wallet is a profit, a fee, a funding payment or a payment of the insurance fund."""
    ledger = account.ledger
    expected = ledger.deposit + ledger.realised - ledger.fees + ledger.funding + ledger.insurance
    return ledger.wallet == expected + ledger.exchanged
