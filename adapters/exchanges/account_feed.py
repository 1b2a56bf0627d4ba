"""The private side of one account as events: the venue's stream at once, and REST to hold it against."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from adapters.exchanges.account_state import AccountState
from adapters.exchanges.activity import Ledger
from adapters.exchanges.backoff import Backoff
from adapters.exchanges.credentials import refusal_of
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import AccountConnection, AccountSink, AccountUpdate, KeyPermissions
from guard.errors import VenueAuthError, VenueError
from guard.events import AnyEvent, Stream, StreamFaultKind
from guard.ports import Clock, Emit
from guard.units import NS_PER_S, Nanoseconds, account_id

RENEW_S = 20 * 60
"""The venue drops a listen key after 60 minutes."""
SOON_NS = NS_PER_S // 4
"""REST is asked so long after a private event, so that a burst of fills asks once."""
SUSPECT_NS = NS_PER_S
"""The stream has so long to bring what REST knew before it."""

PERMISSION_TRIES = 3
"""Then it counts as not told: an account that is read with a key that may be too strong beats one unread."""

log = structlog.get_logger()


class AccountFeed:
    """A Feed (see ``guard.ports``) of one account; needs a key that can read, and places no orders."""

    def __init__(
        self,
        settings: VenueSettings,
        account: str,
        *,
        clock: Clock,
        connect: Callable[[AccountSink], Awaitable[AccountConnection]],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._connect = connect
        self._emit: Emit = _nowhere
        self._account = account
        self._id = account_id(settings.id, account)
        self._ledger = Ledger(_nowhere, clock)
        self._state = AccountState(self._id, symbol_of=str)
        self._soon = asyncio.Event()
        self._orders_due = True
        self._streaming = False
        self._down: set[str] = set()
        """Which of ``stream`` and ``rest`` are away: the account is back when both are."""

    @property
    def name(self) -> str:
        return f"account {self._id}"

    async def run(self, emit: Emit) -> None:
        """Emit until cancelled; reconnects by itself, and tries a refused key again slowly."""
        self._emit = emit
        self._ledger = Ledger(emit, self._clock)
        connection = await self._connect(self)
        self._state = AccountState(self._id, symbol_of=connection.symbol_of)
        try:
            await self._load(connection)
            await self._until_key_may_be_used(connection)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_stream(connection), name=f"{self.name} stream")
                tasks.create_task(self._reconcile(connection), name=f"{self.name} reconciliation")
                tasks.create_task(self._renew(connection), name=f"{self.name} listen key")
                tasks.create_task(self._ledger.run(), name=f"{self.name} activity")
        finally:
            await connection.close()

    # What the connection delivers (AccountSink)

    def on_connected(self) -> None:
        self._streaming = True
        self._back("stream")
        # What happened before it opened is only in REST.
        self._orders_due = True
        self._soon.set()

    def on_update(self, update: AccountUpdate) -> None:
        now = self._clock.now()
        self._ledger.delivered(self._id, Stream.ACCOUNT, now)
        if self._state.apply_update(update) or update.stale:
            self._soon.set()
        if self._state.known:
            self._emit(self._state.snapshot(now, update.exchange_at))

    def on_malformed(self, symbol: str | None, stream: Stream | None, detail: str) -> None:
        del symbol, stream
        log.warning("private frame cannot be read", account=self._id, detail=detail)
        self._ledger.malformed(self._id, Stream.ACCOUNT, f"{detail}; reading the account over REST")
        self._orders_due = True
        self._soon.set()

    # Tasks

    async def _load(self, connection: AccountConnection) -> None:
        backoff = Backoff(self._settings.retry_s_max)
        while True:
            try:
                await connection.load()
            except VenueError as error:
                await self._failed("rest", error, backoff)
                self._ledger.flush()
            else:
                return

    async def _until_key_may_be_used(self, connection: AccountConnection) -> None:
        """Go no further with a key that can do more than read, unless that is allowed: the account stays unknown."""
        backoff = Backoff(self._settings.retry_s_max)
        unanswered = 0
        while True:
            try:
                permissions = await connection.permissions()
            except VenueAuthError as error:
                await self._failed("rest", error, backoff)
                self._ledger.flush()
                continue
            except VenueError as error:
                unanswered += 1
                if unanswered < PERMISSION_TRIES:
                    await self._pause(backoff.pause_ns(self._clock.now()))
                    continue
                permissions = KeyPermissions(None, None, error.detail)
            refusal = refusal_of(self._settings, self._account, permissions)
            if refusal is None:
                self._tell_unknown(permissions)
                return
            await self._failed("rest", VenueAuthError(self._settings.id, refusal), backoff)
            self._ledger.flush()

    def _tell_unknown(self, permissions: KeyPermissions) -> None:
        if permissions.can_trade is None or permissions.can_withdraw is None:
            log.warning(
                "the venue does not tell what this key may do: see to it that it can only read",
                account=self._id,
                detail=permissions.detail,
            )

    async def _keep_stream(self, connection: AccountConnection) -> None:
        backoff = Backoff(self._settings.retry_s_max)
        while True:
            try:
                await connection.watch()
            except VenueError as error:
                self._streaming = False
                self._orders_due = True
                self._soon.set()
                await self._failed("stream", error, backoff)

    async def _reconcile(self, connection: AccountConnection) -> None:
        """Read the account over REST every ``account_poll_s``, and soon after each private event."""
        backoff = Backoff(self._settings.retry_s_max)
        orders_at: Nanoseconds = 0
        orders_ns = int(self._settings.orders_poll_s * NS_PER_S)
        while True:
            orders = self._orders_due or self._clock.now() - orders_at >= orders_ns
            self._soon.clear()
            self._orders_due = False
            self._state.begin_reading()
            asked_at = self._clock.now()
            try:
                reading = await connection.read(orders=orders)
            except VenueError as error:
                self._orders_due |= orders
                await self._failed("rest", error, backoff)
                continue
            if orders:
                orders_at = asked_at
            if self._state.apply_reading(reading):  # the stream had more to say meanwhile: look again
                self._orders_due |= orders
                self._soon.set()
            self._succeeded()
            await self._confirm_suspects(connection)
            await self._pause_or_soon()

    def _succeeded(self) -> None:
        now = self._clock.now()
        self._back("rest")
        self._ledger.delivered(self._id, Stream.ACCOUNT, now)
        self._emit(self._state.snapshot(now))

    async def _confirm_suspects(self, connection: AccountConnection) -> None:
        """Where REST knew more than the stream, give the stream a moment; then it has lost something."""
        if not self._state.suspects:
            return
        await self._pause(SUSPECT_NS)
        details = "; ".join(sorted(self._state.suspects.values()))
        self._state.suspects.clear()
        if details:
            log.warning("REST differs from the private stream", account=self._id, detail=details)
            self._ledger.fault(
                self._id,
                Stream.ACCOUNT,
                StreamFaultKind.RECONCILED,
                f"REST was taken where it differs: {details}",
            )
            if self._streaming:
                connection.reopen("it lost an update that REST knows")

    async def _pause_or_soon(self) -> None:
        waiting = asyncio.create_task(self._soon.wait(), name=f"{self.name} soon")
        pause = asyncio.create_task(
            self._pause(int(self._settings.account_poll_s * NS_PER_S)), name=f"{self.name} pause"
        )
        try:
            await asyncio.wait({waiting, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            pause.cancel()
            await asyncio.gather(waiting, pause, return_exceptions=True)
        if self._soon.is_set():
            await self._pause(SOON_NS)

    async def _renew(self, connection: AccountConnection) -> None:
        while True:
            await self._pause(RENEW_S * NS_PER_S)
            try:
                await connection.renew()
            except VenueError as error:
                log.warning(
                    "listen key not renewed, opening the stream again", account=self._id, detail=error.detail
                )
                connection.reopen("its listen key could not be renewed")

    async def _failed(self, way: str, error: VenueError, backoff: Backoff) -> None:
        """Say that the account cannot be seen this way, and wait before the next attempt."""
        self._down.add(way)
        if isinstance(error, VenueAuthError):
            self._ledger.lost(self._id, Stream.ACCOUNT, StreamFaultKind.REFUSED, error.detail)
            await self._pause(int(self._settings.refused_retry_s * NS_PER_S))
        else:
            detail = f"{way}: {error.detail}; trying again"
            self._ledger.lost(self._id, Stream.ACCOUNT, StreamFaultKind.DISCONNECTED, detail)
            await self._pause(backoff.pause_ns(self._clock.now()))

    def _back(self, way: str) -> None:
        self._down.discard(way)
        if not self._down:
            self._ledger.back(self._id, Stream.ACCOUNT)

    async def _pause(self, pause_ns: Nanoseconds) -> None:
        await self._clock.sleep_until(self._clock.now() + pause_ns)


def _nowhere(event: AnyEvent) -> None:
    """Stands in until ``run`` is called."""
