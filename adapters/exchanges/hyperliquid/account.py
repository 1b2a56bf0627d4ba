"""The private side of Hyperliquid through the tapped ccxt client: reading by address, without any key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from adapters.exchanges.ccxt_session import (
    Credentials,
    Markets,
    asked,
    close_client,
    make_client,
    network_error,
)
from adapters.exchanges.hyperliquid.account_payloads import (
    parse_collateral_token,
    parse_dex_names,
    parse_spot,
    parse_token_names,
    totals_apart,
    totals_unified,
)
from adapters.exchanges.hyperliquid.capabilities import DEFAULTS
from adapters.exchanges.hyperliquid.payloads import (
    State,
    parse_open_orders,
    parse_order_updates,
    parse_own_liquidations,
    parse_role,
    parse_state,
)
from adapters.exchanges.hyperliquid.waiting import first_of
from adapters.exchanges.parsers import as_mapping
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import (
    AccountReading,
    AccountSink,
    AccountTotals,
    AccountUpdate,
    BalanceSeen,
    KeyPermissions,
    PositionSeen,
)
from guard.errors import VenueAuthError
from guard.events import CollateralHeld, LiquidationTold, MarginMode, Stream
from guard.ports import Clock
from guard.units import NS_PER_S, Nanoseconds

COLLATERAL = "USDC"
PORTFOLIO = "portfolioMargin"
UNIFIED = frozenset({"unifiedAccount", PORTFOLIO})
"""Modes in which the balances of perpetuals and spot are one, which is told as the spot balance."""

DEXES_NS = 60 * NS_PER_S
"""Builder-deployed exchanges are looked for so often: 20 of the venue's weight, and 2 for each."""

WALLET_USD_TOLERANCE = 0.01
STATE_SILENCE_NS_MAX = 30 * NS_PER_S
"""The account's state is told with every few blocks; a stream without it for so long is opened anew."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

log = structlog.get_logger()


class HyperliquidAccount:
    """An AccountConnection (see ``venue``): one socket with the account's state, orders and fills."""

    def __init__(
        self,
        settings: VenueSettings,
        account: str,
        credentials: Credentials,
        sink: AccountSink,
        clock: Clock,
        markets: Markets,
    ) -> None:
        self._venue = settings.id
        self._account = account
        self._address = credentials.wallet_address or ""
        self._sink = sink
        self._clock = clock
        self._markets = markets
        # A key of the settings is not even handed to ccxt: nothing is ever signed.
        only_address = Credentials(wallet_address=self._address)
        self._client = make_client(settings, self, credentials=only_address, defaults=DEFAULTS)
        self._symbols: dict[str, str] = {}
        self._mode = ""
        self._settles: dict[str, str] = {}
        """Builder-deployed exchanges in which the account has anything, and what token backs each."""
        self._dexes_at: Nanoseconds = 0
        self._streamed: State | None = None
        self._orders_due = False
        self._told_at: Nanoseconds = 0

    async def load(self) -> None:
        if not _ADDRESS.fullmatch(self._address):
            raise VenueAuthError(
                self._venue,
                f"account {self._account!r} has no usable wallet_address: give the address of the account (0x and "
                "40 hexadecimal digits), not that of an API wallet",
            )
        await asked(self._venue, self._markets.load(self._client))
        self._symbols = {
            str(market["baseName"]): symbol
            for symbol, market in self._client.markets.items()
            if market.get("swap")
        }
        await self._check_address()
        await asked(self._venue, self._read_mode())

    async def _check_address(self) -> None:
        """Refuse an API wallet: it reads as an account without positions, whatever its owner holds."""
        role, owner = await asked(self._venue, self._role())
        if role == "agent":
            raise VenueAuthError(
                self._venue,
                f"wallet_address of account {self._account!r} is that of an API wallet, which holds nothing itself: "
                f"give the address of the account that it trades for{f', {owner}' if owner else ''}",
            )
        if role == "missing":
            log.warning(
                "the venue knows no account of this address: check wallet_address",
                venue=self._venue,
                account=self._account,
            )

    async def _role(self) -> tuple[str, str | None]:
        return parse_role(await self._info("userRole"))

    async def _read_mode(self) -> None:
        answer = await self._info("userAbstraction")
        before, self._mode = self._mode, answer.strip('"') if isinstance(answer, str) else ""
        if self._mode in UNIFIED and self._mode != before:
            log.info(
                "account is in a mode in which its spot balances are its collateral",
                venue=self._venue,
                account=self._account,
                mode=self._mode,
            )

    async def permissions(self) -> KeyPermissions:
        return KeyPermissions(False, False, "read by address; no key is used")

    async def watch(self) -> None:
        try:
            await asked(
                self._venue, first_of([self._watch_state(), self._watch_orders(), self._watch_fills()])
            )
        finally:
            for socket in (self._client.clients or {}).values():
                socket.subscriptions.clear()

    async def _watch_state(self) -> None:
        while True:
            await self._client.watch_positions()

    async def _watch_orders(self) -> None:
        while True:
            await self._client.watch_orders()

    async def _watch_fills(self) -> None:
        while True:
            await self._client.watch_my_trades()

    async def renew(self) -> None:
        """Nothing expires at this venue."""

    async def read(self, *, orders: bool) -> AccountReading:
        silent_ns = self._clock.now() - self._told_at
        if self._told_at and silent_ns > STATE_SILENCE_NS_MAX:
            self._told_at = 0
            self.reopen(f"the account's state was not told for {silent_ns / NS_PER_S:.0f} s")
        return await asked(self._venue, self._read(orders=orders or self._orders_due))

    async def _read(self, *, orders: bool) -> AccountReading:
        found = None
        if orders:
            # What changes while the answer is on its way asks for another one.
            self._orders_due = False
            try:
                found = parse_open_orders(await self._info("frontendOpenOrders"))
            except BaseException:
                self._orders_due = True
                raise
        state = parse_state(await self._info("clearinghouseState"))
        others = await self._others()
        if self._mode in UNIFIED:
            totals = await self._unified(state, others)
        else:
            totals = totals_apart(state, others)
        positions = [*state.positions, *(each for other in others.values() for each in other.positions)]
        # The stream tells the whole state with every few blocks, and of orders only that they changed: what REST
        # knows first is news, and not an update that was lost.
        return AccountReading(
            totals=totals, positions=self._told(positions), orders=found, is_only_source=True
        )

    async def _unified(self, state: State, others: Mapping[str, State]) -> AccountTotals:
        states: dict[str, list[State]] = {COLLATERAL: [state]}
        for dex, other in others.items():
            states.setdefault(self._settles[dex], []).append(other)
        spot = parse_spot(await self._info("spotClearinghouseState"))
        return totals_unified(spot, states, portfolio=self._mode == PORTFOLIO)

    async def _others(self) -> dict[str, State]:
        """The states of the builder-deployed exchanges in which the account has anything.

        By the name of their collateral where each holds its own, else by their own names. All exchanges are asked
        once a minute, and the account's mode with them; those with anything every time.
        """
        now = self._clock.now()
        names: Sequence[str] = tuple(self._settles)
        due = not self._dexes_at or now - self._dexes_at >= DEXES_NS
        if due:
            await self._read_mode()
            names = parse_dex_names(await self._ask({"type": "perpDexs"}))
        found: dict[str, State] = {}
        for dex in names:
            answer = await self._info("clearinghouseState", dex=dex)
            if parse_state(answer).is_empty:
                self._settles.pop(dex, None)
                continue
            settle = self._settles.get(dex) or await self._collateral_of(dex)
            self._settles[dex] = settle
            apart = self._mode not in UNIFIED
            asset = f"{dex}:{settle}" if apart else settle
            found[asset if apart else dex] = parse_state(answer, asset)
        if due:
            self._dexes_at = now
        return found

    async def _collateral_of(self, dex: str) -> str:
        answer = await self._ask({"type": "meta", "dex": dex})
        token = parse_collateral_token(answer)
        if token == 0:
            return COLLATERAL
        names = parse_token_names(await self._ask({"type": "spotMeta"}))
        return names.get(token, f"token {token}")

    def _told(self, positions: Sequence[PositionSeen]) -> list[PositionSeen]:
        """Of a portfolio margin account, that no single price liquidates a cross position."""
        if self._mode != PORTFOLIO:
            return list(positions)
        return [
            replace(position, liquidation_told=LiquidationTold.ACCOUNT_LEVEL)
            if position.liquidation_price is None and position.margin_mode is MarginMode.CROSS
            else position
            for position in positions
        ]

    async def _info(self, kind: str, **more: str) -> Any:
        return await self._ask({"type": kind, "user": self._address, **more})

    async def _ask(self, request: dict[str, str]) -> Any:
        return await self._client.publicPostInfo(request)

    def symbol_of(self, market_code: str) -> str:
        """Of a market of another exchange ccxt's name for it, though it is not loaded."""
        dex, mark, coin = market_code.partition(":")
        if mark and (settle := self._settles.get(dex)):
            return f"{dex.upper()}-{coin.upper()}/{settle}:{settle}"
        return self._symbols.get(market_code, market_code)

    def reopen(self, reason: str) -> None:
        for url, socket in list((self._client.clients or {}).items()):
            if "://" in url:
                socket.on_error(network_error(reason))

    async def close(self) -> None:
        await close_client(self._client)

    # The tap: called by the client for every frame.

    def on_alive(self, url: str) -> None:
        """Pings and REST watch over it."""

    def on_frame(self, url: str) -> None:
        """Pings and REST watch over it."""

    def on_connected(self, url: str) -> None:
        del url
        self._told_at = self._clock.now()
        self._sink.on_connected()

    def take(self, url: str, message: Any) -> bool:
        del url
        if not isinstance(message, dict):
            raise TypeError("not a JSON object")
        match message.get("channel"):
            case "clearinghouseState":
                self._take_state(message.get("data"))
            case "orderUpdates":
                self._take_orders(message.get("data"))
            case "userFills":
                self._take_fills(message.get("data"))
            case _:
                return False
        return True

    def _take_state(self, data: Any) -> None:
        """Pass on what changed: the state is told again and again, and REST brings the rest."""
        told = as_mapping(data, "clearinghouseState")
        if told.get("dex"):
            return
        state = parse_state(told.get("clearinghouseState"))
        self._told_at = self._clock.now()
        before, self._streamed = self._streamed, state
        positions = _changes(before, state)
        balances: tuple[BalanceSeen, ...] = ()
        is_unified = self._mode in UNIFIED
        if not is_unified and (
            before is None or abs(before.wallet_usd - state.wallet_usd) > WALLET_USD_TOLERANCE
        ):
            held = CollateralHeld(asset=COLLATERAL, quantity=state.wallet_usd, venue_price_usd=1.0)
            balances = (BalanceSeen(COLLATERAL, state.wallet_usd, held=held),)
        if positions or balances:
            # The margin of the whole account moved with it, which only REST is read for.
            changed = tuple(self._told(positions))
            self._sink.on_update(AccountUpdate(state.exchange_at, balances, changed, stale=True))

    def _take_orders(self, data: Any) -> None:
        gone = parse_order_updates(data)
        # One that came or changed is told without its trigger and its reduce-only: all are asked for.
        self._orders_due = True
        for order in gone:
            self._sink.on_update(AccountUpdate(order=order, stale=True))
        if not gone:
            self._sink.on_update(AccountUpdate(stale=True))

    def _take_fills(self, data: Any) -> None:
        for coin, liquidation in parse_own_liquidations(data, self._address):
            log.error(
                "the venue liquidated a position of this account",
                venue=self._venue,
                account=self._account,
                coin=coin,
                size=liquidation.size,
                price=liquidation.price,
            )

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None:
        # The frame holds the account's numbers: it is not passed on.
        del url, frame
        self._sink.on_malformed(None, Stream.ACCOUNT, f"{type(error).__name__}: {error}")


def _changes(before: State | None, after: State) -> tuple[PositionSeen, ...]:
    """Positions whose size or margin differs, with size 0 those that are closed."""
    held = {position.market_code: position for position in before.positions} if before else {}
    told = {position.market_code: position for position in after.positions}
    changed = [
        position
        for code, position in told.items()
        if (old := held.get(code)) is None
        or (old.size, old.margin_mode) != (position.size, position.margin_mode)
    ]
    closed = [PositionSeen(code, "BOTH", 0.0) for code in held.keys() - told.keys()]
    return (*changed, *closed)
