"""The loopback venue: a server on this machine that speaks a real venue's REST and WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from adapters.simulation.account import VenueAccount, VenueAccountState, VenuePosition
from adapters.simulation.assets import SETTLE
from adapters.simulation.binance import binance_urls
from adapters.simulation.dialects import DialectName, VenueParts, make_dialect
from adapters.simulation.engine import Engine
from adapters.simulation.ledger import Ledger, PositionSide
from adapters.simulation.markets import Market
from adapters.simulation.misbehaviour.acts import VenueActs
from adapters.simulation.misbehaviour.conditions import Conditions
from adapters.simulation.misbehaviour.faults import ACCOUNT_STREAM, Corruption, Fault, FaultKind
from adapters.simulation.misbehaviour.requests import Control
from adapters.simulation.misbehaviour.switchboard import Misbehaviour
from adapters.simulation.orders import read_order
from adapters.simulation.player import Player
from adapters.simulation.reactive import ReactiveSource
from adapters.simulation.rounds import MatchingRounds
from adapters.simulation.server import VenueServer
from adapters.simulation.settings import (
    LiquidationSteps,
    LoopbackSettings,
    MarginTier,
    VenueAccountSpec,
    check_tiers,
)
from adapters.simulation.signing import Gate
from adapters.simulation.source import FrameKind, MarketSource
from adapters.simulation.streams import Connection, Hub
from adapters.simulation.wire import encode

NS_PER_MS = 1_000_000
LISTEN_KEY_CHECK_S = 1.0
BYBIT_CLOSING_FEE = Decimal("0.00055")
"""Within Bybit's maintenance margin: bybit.com, "Maintenance Margin (USDT Contract)". Charged at the value reached; the
page reckons it at the price at which a position would be bankrupt alone."""


class LoopbackVenue:
    """A venue that ccxt.pro's ``binanceusdm`` (or ``bybit`` ...) uses with nothing but its URLs overridden.

    Use it as an async context manager, or call ``start`` and ``stop``::

        async with LoopbackVenue(generated_source("fall", seed=1), accounts=[spec]) as venue:
            client = ccxt.pro.binanceusdm({"urls": venue.ccxt_urls()})
    """

    def __init__(
        self,
        source: MarketSource,
        *,
        accounts: Sequence[VenueAccountSpec] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        clock: Callable[[], int] = time.time_ns,
        hold: bool = False,
        settings: LoopbackSettings | None = None,
        dialect: DialectName | str = DialectName.BINANCE,
    ) -> None:
        """Set the venue up; nothing listens before ``start``.

        Args:
            source: the market.
            accounts: to open; names and keys must differ.
            host: where to listen; loopback unless you know why.
            port: 0 takes a free one.
            speed: market seconds per second; 0 or infinity is as fast as the clients consume.
            clock: Unix time in ns, for everything but the times inside recorded frames.
            hold: wait for ``begin`` before the market moves, so that clients can connect first.
            settings: fees, tiers, limits.
            dialect: which venue's API it speaks.

        Raises:
            ValueError: two accounts share a name or a key, one holds what is no collateral, or there is no such
                dialect.
        """
        self._live = source if isinstance(source, ReactiveSource) else None
        self._clock = clock
        self._hold = hold
        self.settings = settings or LoopbackSettings()
        self._markets = {
            spec.symbol: Market.opened(spec, source.opening(spec.symbol), clock()) for spec in source.specs
        }
        self._hub = Hub(frames_max=self.settings.client_frames_max, slow_client_s=self.settings.slow_client_s)
        self._engine = Engine(
            self._markets,
            self.settings,
            clock_ms=self._now_ms,
            publish=self._publish_own,
            taken=source.taken,
            live=self._live,
            reacted=self._react,
        )
        self._gate = Gate(
            self._now_ms,
            listen_key_ms=int(self.settings.listen_key_s * 1000),
            recv_window_ms_max=self.settings.recv_window_ms_max,
        )
        conditions = Conditions(self._markets, self._engine.settle)
        self._acts = VenueActs(self._hub, self._gate, conditions, self._engine, self.expire_listen_keys)
        self.misbehaviour = Misbehaviour(self._acts)
        """Which faults are on, and what they have hit; ``misbehave`` begins them."""
        self._hub.misbehaves(self.misbehaviour)
        self._control = Control(self.misbehaviour, tuple(self._markets), self._engine.assets)
        rounds = MatchingRounds(self.settings.match_every_ms)
        self.dialect_name = DialectName(dialect)
        self._keep_the_rules_of(self.dialect_name)
        self._dialect = make_dialect(
            dialect,
            VenueParts(
                self._markets, self._engine, self.settings, self._now_ms, self._gate, self._hub, rounds
            ),
        )
        for spec in accounts:
            self._open_account(spec)
        self._player = Player(
            source,
            self._markets,
            self._engine,
            self._hub,
            self._dialect,
            conditions,
            rounds,
            speed=speed,
            settings=self.settings,
        )
        self._server = VenueServer(
            self._dialect, self._hub, self.misbehaviour, self._control, self._account_of, host, port
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._begun = asyncio.Event()

    async def start(self) -> None:
        """Listen, and start the market unless it is held.

        Raises:
            OSError: the port is taken.
        """
        await self._server.start()
        self._tasks = [
            asyncio.create_task(self._play(), name="venue-market"),
            asyncio.create_task(self._watch_listen_keys(), name="venue-listen-keys"),
        ]
        if not self._hold:
            self.begin()

    async def stop(self) -> None:
        """Stop the market and close every connection."""
        self.misbehaviour.end_all()
        if self._live is not None:
            self._live.leave()
        for task in self._tasks:
            task.cancel()
        # What a task failed with is told by ``finished``; here it would hide what ends the venue.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.drop_connections()
        await self._server.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def begin(self) -> None:
        """Start the market, if it was held."""
        self._begun.set()

    async def finished(self) -> None:
        """Wait until the source has played to its end and every frame of it was handed to its clients.

        Raises:
            RuntimeError: the venue was not started.
            GuardError: the source failed.
        """
        if not self._tasks:
            raise RuntimeError("the venue was not started")
        market = self._tasks[0]
        await asyncio.wait({market})
        if not market.cancelled():
            market.result()

    @property
    def port(self) -> int:
        """Where the venue listens."""
        return self._server.port

    def ccxt_urls(self) -> dict[str, Any]:
        """The value for ``{"urls": ...}`` of ccxt's configuration; nothing else is needed."""
        return self._server.ccxt_urls()

    def trading_urls(self) -> dict[str, Any]:
        """The same for ccxt's binanceusdm, by which accounts trade whatever else the venue speaks."""
        return binance_urls(self._server.host, self._server.port)

    def control_url(self) -> str:
        """Where other processes on this machine begin faults (POST), see them (GET) and end them (DELETE)."""
        return self._server.control_url

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The WebSockets that are open now."""
        return tuple(self._hub.connections)

    def symbols(self) -> tuple[str, ...]:
        """Binance's names of the markets."""
        return tuple(self._markets)

    def market(self, symbol: str) -> Market:
        """The venue's own view of a market, for tests and tables; do not change it."""
        return self._markets[symbol]

    def account_state(self, name: str) -> VenueAccountState:
        """An account as it is now.

        Raises:
            KeyError: there is no account of this name.
        """
        account = self._engine.accounts[name]
        ledger, marks = account.ledger, self._engine.marks
        return VenueAccountState(
            name=name,
            deposit_usdt=ledger.deposit,
            wallet_usdt=ledger.wallet,
            equity_usdt=ledger.equity(marks),
            available_usdt=ledger.available(marks, account.reserved()),
            realised_usdt=ledger.realised,
            fees_usdt=ledger.fees,
            liquidation_fees_usdt=ledger.liquidation_fees,
            funding_usdt=ledger.funding,
            insurance_usdt=ledger.insurance,
            positions=tuple(
                VenuePosition(
                    symbol=position.symbol,
                    amount=position.amount,
                    entry_price=position.entry_price,
                    mark_price=marks[position.symbol],
                    unrealised=position.unrealised(marks[position.symbol]),
                    leverage=position.leverage,
                    margin_type=position.margin_type,
                    liquidation_price=ledger.liquidation_price(
                        position.symbol, marks, self._engine.table, position.side
                    ),
                    side=position.side,
                )
                for position in ledger.positions.values()
                if position.amount
            ),
            open_orders=account.open_orders(),
            fills=account.fill_count,
            liquidations=tuple(account.liquidations),
            collateral=dict(ledger.collateral),
            collateral_usdt=ledger.collateral_usdt,
            exchanged_usdt=ledger.exchanged,
            maintenance_usdt=ledger.cross_health(marks, self._engine.table).maintenance,
        )

    def trade(
        self, name: str, symbol: str, signed_size: float, position_side: PositionSide = PositionSide.BOTH
    ) -> None:
        """Trade at the market for an account, as from another of its owner's clients, whatever the faults.

        An account in hedge mode has to say which of a pair it trades.

        Raises:
            KeyError: there is no account of this name.
            Refusal: as any order may be refused.
        """
        market, account = self._markets[symbol], self._engine.accounts[name]
        side = "BUY" if signed_size > 0.0 else "SELL"
        asked = {"symbol": symbol, "side": side, "type": "MARKET", "quantity": repr(abs(signed_size))}
        asked["positionSide"] = position_side.value
        self._engine.place(account, read_order(asked, market.spec, algo=False))

    # -- what the venue asks for and counts, as it changes its mind ----------------------------------

    def set_asset_price(self, asset: str, price_usd: float) -> None:
        """Let the venue, and it alone, value a margin asset at this; who fails by it is liquidated at once.

        Raises:
            KeyError: the venue takes no such asset.
            ValueError: it is no price.
        """
        self._engine.assets.set_price(asset, Decimal(str(price_usd)))
        self._engine.on_terms()

    def asset_price(self, asset: str) -> float:
        """What the venue values a margin asset at, USD a unit.

        Raises:
            KeyError: the venue takes no such asset, or knows no price of it.
        """
        return float(self._engine.assets.price(asset))

    def set_haircut(self, asset: str, haircut: float) -> None:
        """Let the venue leave so much of a margin asset away.

        Raises:
            KeyError: the venue takes no such asset.
            ValueError: it is not within 0..1, or the asset is USDT.
        """
        self._engine.assets.set_haircut(asset, Decimal(str(haircut)))
        self._engine.on_terms()

    def set_brackets(self, tiers: Sequence[MarginTier]) -> None:
        """Put other brackets in force in every market; who fails by them is liquidated at once.

        Raises:
            ValueError: they do not follow each other from 0.
        """
        check_tiers(tiers)
        self._engine.table.set(tiers)
        self._engine.on_terms()

    def set_adl_rank(self, name: str, symbol: str, rank: int) -> None:
        """Say where an account's position stands in the queue of auto-deleveraging, 0 (last) to 4 (next).

        Raises:
            KeyError: there is no account, or no market, of this name.
        """
        self._engine.accounts[name].adl_ranks[self._markets[symbol].spec.symbol] = rank

    def transfer(self, name: str, asset: str, quantity: float) -> None:
        """Move an asset into an account, or with a negative quantity out of it.

        Raises:
            KeyError: there is no account of this name, or the venue takes no such asset.
            ValueError: so much is not there, or backs positions and orders.
        """
        self._engine.transfer(self._engine.accounts[name], asset, Decimal(str(quantity)))

    # -- faults, for tests of those who depend on a venue --------------------------------------------

    def misbehave(self, *faults: Fault, seed: int = 0) -> None:
        """Begin faults, each at its ``at_s`` from now; equal faults and seeds do the same to equal frames.

        Raises:
            KeyError: a fault names a symbol or an asset that the venue does not have.
        """
        for fault in faults:
            for symbol in fault.symbols:
                self.market(symbol)
            if fault.asset:
                self._engine.assets.price(fault.asset)
        self.misbehaviour.begin(faults, seed=seed)

    def behave(self) -> None:
        """End every fault, those that have not begun included."""
        self.misbehaviour.end_all()

    def misbehave_as(self, plan: bytes | str) -> int:
        """Begin the faults of a plan in JSON (see ``FaultPlan``); returns how many.

        Raises:
            ValueError: it is none; the text names the field.
        """
        return self._control.begin(plan)

    def drop_connections(self) -> None:
        """Cut every WebSocket without a closing frame."""
        for connection in list(self._hub.connections):
            connection.abort()

    def skip_update(self, symbol: str) -> None:
        """Lose the symbol's next depth diff on its way to the clients: a sequence gap."""
        lost = Fault(kind=FaultKind.DROP, streams=(FrameKind.DEPTH,), symbols=(symbol,), count=1)
        self.misbehave(lost)

    def corrupt_next_frame(self, symbol: str) -> None:
        """Cut the symbol's next depth diff in half: no JSON any more."""
        self.misbehave(
            Fault(
                kind=FaultKind.CORRUPT,
                streams=(FrameKind.DEPTH,),
                symbols=(symbol,),
                count=1,
                form=Corruption.HALF,
            )
        )

    def refuse_keys(self, refuse: bool = True) -> None:
        """Refuse every key with -2015, as after a change of permissions; or accept them again."""
        self._switch(Fault(kind=FaultKind.REFUSE_KEYS), on=refuse)

    def go_silent(self, silent: bool = True, *, pongs: bool = False) -> None:
        """Send nothing on any WebSocket, while connections stand and REST answers; not even ``pongs``."""
        self._switch(Fault(kind=FaultKind.SILENCE, pongs=pongs), on=silent)

    def expire_listen_keys(self) -> None:
        """End every listen key now."""
        self._end_listen_keys(every=True)

    # -- inside --------------------------------------------------------------------------------------

    def _keep_the_rules_of(self, dialect: DialectName) -> None:
        engine = self._engine
        if dialect is DialectName.HYPERLIQUID and self.settings.liquidation_steps is None:
            engine.liquidator.steps = LiquidationSteps.FIFTH
        if dialect is DialectName.BYBIT:
            engine.table.closing_fee = BYBIT_CLOSING_FEE
        # The others' words for a pair are not spoken here.
        engine.is_one_way = dialect is not DialectName.BINANCE

    def _switch(self, fault: Fault, *, on: bool) -> None:
        self.misbehaviour.end(fault.kind)
        if on:
            self.misbehave(fault)

    def _now_ms(self) -> int:
        return (self._clock() + self._acts.clock_offset_ns) // NS_PER_MS

    def _account_of(self, headers: Mapping[str, str]) -> str | None:
        """Whose API key a request carries, whatever the dialect calls the header."""
        shown = set(headers.values())
        return next(
            (each.spec.name for each in self._engine.accounts.values() if each.spec.api_key in shown), None
        )

    def _open_account(self, spec: VenueAccountSpec) -> None:
        others = self._engine.accounts.values()
        if spec.name in self._engine.accounts or any(spec.api_key == other.spec.api_key for other in others):
            raise ValueError(f"account {spec.name!r}: its name or key is another account's")
        assets = self._engine.assets
        collateral = {asset: Decimal(str(quantity)) for asset, quantity in spec.collateral.items()}
        if collateral and self.dialect_name is DialectName.HYPERLIQUID:
            raise ValueError(
                f"account {spec.name!r}: {self.dialect_name} takes no collateral beside its dollars"
            )
        if spec.hedged and self._engine.is_one_way:
            raise ValueError(f"account {spec.name!r}: {self.dialect_name} has no hedge mode here")
        for asset in collateral:
            if asset == SETTLE or asset not in assets.assets:
                raise ValueError(f"account {spec.name!r}: {asset} is no collateral here beside {SETTLE}")
        ledger = Ledger(
            Decimal(str(spec.wallet_usdt)),
            spec.leverage,
            assets,
            collateral,
            multi_assets=bool(collateral),
            hedged=spec.hedged,
        )
        account = VenueAccount(spec, ledger, tell=lambda event: self._tell(account, event))
        self._engine.accounts[spec.name] = account
        self._gate.admit(account)

    def _tell(self, account: VenueAccount, event: dict[str, Any]) -> None:
        with self._hub.event(ACCOUNT_STREAM, account=account.spec.name):
            self._dialect.tell(account, event)

    def _publish_own(self, symbol: str, kind: FrameKind, payload: bytes) -> None:
        self._player.publish_own(symbol, kind, payload)

    def _react(self) -> None:
        self._player.catch_up()

    async def _play(self) -> None:
        await self._begun.wait()
        if self._live is None:
            await self._player.play(self._clock())
        else:
            await self._player.play_live(self._live, self._clock())

    async def _watch_listen_keys(self) -> None:
        while True:
            await asyncio.sleep(LISTEN_KEY_CHECK_S)
            self._end_listen_keys(every=False)

    def _end_listen_keys(self, *, every: bool) -> None:
        for key, account in self._gate.expire_listen_keys(every=every):
            event = {"e": "listenKeyExpired", "E": self._now_ms(), "listenKey": key}
            with self._hub.event(ACCOUNT_STREAM, account=account):
                self._hub.tell(account, encode(event))
            for connection in list(self._hub.connections):
                if connection.account == account:
                    connection.finish()
