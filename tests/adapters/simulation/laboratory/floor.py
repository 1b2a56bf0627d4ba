"""The engine on a market that reacts, without a server: accounts trade, steps are made, and all that is told."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from adapters.simulation import LoopbackSettings, VenueAccountSpec
from adapters.simulation.account import VenueAccount
from adapters.simulation.engine import Engine
from adapters.simulation.laboratory.source import LaboratorySource
from adapters.simulation.ledger import Ledger
from adapters.simulation.markets import Market
from adapters.simulation.orders import Order, read_order
from adapters.simulation.source import Frame, FrameKind
from adapters.simulation.wire import decode_depth, decode_mark_price, decode_trade
from tests.adapters.simulation.laboratory.tiny import CODE, VENUE, TinyPlay

START_NS = 1_700_000_000_000 * 10**6


class Floor:
    """One venue of a tiny play."""

    def __init__(self, play: TinyPlay | None = None, settings: LoopbackSettings | None = None) -> None:
        self.play = play or TinyPlay()
        self.source = LaboratorySource(self.play.stage(), VENUE)
        self.markets = {
            spec.symbol: Market.opened(spec, self.source.opening(spec.symbol), START_NS)
            for spec in self.source.specs
        }
        self.told: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.frames: list[Frame] = []
        self.engine = Engine(
            self.markets,
            settings or LoopbackSettings(),
            clock_ms=lambda: self.at_ns // 10**6,
            publish=lambda *_: None,
            taken=self.source.taken,
            live=self.source,
            reacted=self._react,
        )
        self._is_reacting = False
        self.source.begin(START_NS, moved=self._react)

    @property
    def at_ns(self) -> int:
        return START_NS + self.play.now_ms * 10**6

    def account(self, name: str = "alice", wallet: int | str = 100_000, leverage: int = 20) -> VenueAccount:
        spec = VenueAccountSpec(name, f"key-{name}", f"secret-{name}", Decimal(wallet), leverage)
        ledger = Ledger(Decimal(wallet), leverage, self.engine.assets)
        account = VenueAccount(spec, ledger, tell=self.told[name].append)
        self.engine.accounts[name] = account
        return account

    def order(
        self, account: VenueAccount, side: str, quantity: float, price: float = 0.0, **more: Any
    ) -> Order:
        parameters = {"symbol": CODE, "side": side, "type": "MARKET", "quantity": str(quantity)}
        if price:
            parameters |= {"type": "LIMIT", "price": str(price), "timeInForce": "GTC"}
        parameters |= {key: str(value) for key, value in more.items()}
        return self.engine.place(account, read_order(parameters, self.markets[CODE].spec, algo=False))

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.source.advance()

    def held(self, account: VenueAccount) -> int:
        """Lots by the laboratory's own reckoning, which must be the ledger's."""
        lots = self.play.exchange.lots_of(self.source.owner(account.spec.name))
        booked = sum((leg.amount for leg in account.ledger.legs(CODE)), Decimal(0))
        assert booked == lots * self.play.book.symbol.lot
        return lots

    def shown(self, side: str, price: float) -> Decimal:
        """What the published book has at a price; ``side`` is BUY for bids."""
        levels = self.markets[CODE].book.bids if side == "BUY" else self.markets[CODE].book.asks
        return Decimal(levels.levels[price][1]) if price in levels.levels else Decimal(0)

    def events(self, name: str, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.told[name] if event["e"] == kind]

    def prints(self) -> list[tuple[float, float]]:
        """Price and size of the trades that were published."""
        events = [decode_trade(frame.payload) for frame in self.frames if frame.kind is FrameKind.TRADE]
        return [(float(event.p), float(event.q)) for event in events]

    def _react(self) -> None:
        if self._is_reacting:
            return
        self._is_reacting = True
        self.engine.on_step()
        self.engine.on_assets(self.source.asset_prices)
        while frames := self.source.react(self.at_ns):
            for frame in frames:
                self._take(frame)
        self._is_reacting = False

    def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        market = self.markets[frame.symbol]
        market.now_ns = frame.at_ns
        match frame.kind:
            case FrameKind.DEPTH:
                market.book.apply(decode_depth(frame.payload))
                self.engine.on_book(frame.symbol)
            case FrameKind.TRADE:
                event = decode_trade(frame.payload)
                market.see_trade(event)
                self.engine.on_trade(frame.symbol, Decimal(event.p), Decimal(event.q))
            case FrameKind.MARK_PRICE:
                self.engine.on_mark(frame.symbol, market.see_mark(decode_mark_price(frame.payload)))
            case _:
                pass
