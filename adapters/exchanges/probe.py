"""What a venue can give and whether it answers, for whoever sets perpguard up (``perpguard doctor``)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from adapters.exchanges.ccxt_session import (
    Markets,
    asked,
    close_client,
    find_symbols,
    import_ccxt,
    make_client,
)
from adapters.exchanges.credentials import SecretResolver, credentials_of, refusal_of
from adapters.exchanges.modules import capabilities_of, module_of
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import AccountUpdate, Capabilities, KeyPermissions
from guard.errors import SettingsError, VenueError
from guard.events import Stream
from guard.ports import Clock
from guard.units import NS_PER_MS

ANSWER_S_MAX = 20.0
"""A venue, or an account, that has not answered by then counts as one that does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProbe:
    """One account: what its key may do, or why it cannot be read."""

    account: str
    permissions: KeyPermissions | None = None
    error: str | None = None
    """Says what to do; also where the key may do more than the settings allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueProbe:
    """One venue as it answered just now.

    ``clock_offset_ms`` is the venue's clock less ours, half of the way there and back allowed for; ``None`` where
    the venue does not tell its time. ``unknown`` holds one line for each symbol of the settings that it does not
    list, with what looks like it.
    """

    venue: str
    reachable: bool
    error: str | None = None
    clock_offset_ms: float | None = None
    listed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    capabilities: Capabilities
    accounts: tuple[AccountProbe, ...] = ()


async def probe(settings: VenueSettings, *, clock: Clock, resolve_secret: SecretResolver) -> VenueProbe:
    """Ask a venue for its time, its markets and what each account's key may do. Never raises, places nothing."""
    await import_ccxt(settings.id)
    client = make_client(settings, _Deaf())
    try:
        offset_ms = await asyncio.wait_for(_clock_offset_ms(settings.id, client, clock), ANSWER_S_MAX)
        await asyncio.wait_for(asked(settings.id, client.load_markets()), ANSWER_S_MAX)
        listed, unknown = find_symbols(settings.id, client, settings.symbols)
    except (VenueError, TimeoutError) as error:
        return VenueProbe(
            venue=settings.id,
            reachable=False,
            error=_told(error),
            capabilities=capabilities_of(settings),
        )
    finally:
        await close_client(client)
    accounts = [await _probe_account(settings, name, clock, resolve_secret) for name in settings.accounts]
    return VenueProbe(
        venue=settings.id,
        reachable=True,
        clock_offset_ms=offset_ms,
        listed=tuple(listed),
        unknown=tuple(error.detail for error in unknown),
        capabilities=capabilities_of(settings),
        accounts=tuple(accounts),
    )


async def _clock_offset_ms(venue: str, client: Any, clock: Clock) -> float | None:
    if not client.has.get("fetchTime"):
        return None
    began_at = clock.now()
    told_ms = await asked(venue, client.fetch_time())
    middle_ms = (began_at + clock.now()) / 2 / NS_PER_MS
    return float(told_ms) - middle_ms if isinstance(told_ms, int | float) else None


async def _probe_account(
    settings: VenueSettings, name: str, clock: Clock, resolve_secret: SecretResolver
) -> AccountProbe:
    try:
        credentials = credentials_of(settings.accounts[name], f"accounts.{name}", resolve_secret)
        module, sink = module_of(settings.id), _Nobody()
        connection = await module.connect_account(settings, name, credentials, sink, clock, Markets())
        try:
            await asyncio.wait_for(connection.load(), ANSWER_S_MAX)
            permissions = await asyncio.wait_for(connection.permissions(), ANSWER_S_MAX)
            await asyncio.wait_for(connection.read(orders=False), ANSWER_S_MAX)
        finally:
            await connection.close()
    except (VenueError, SettingsError, TimeoutError) as error:
        return AccountProbe(account=name, error=_told(error))
    refusal = refusal_of(settings, name, permissions)
    return AccountProbe(account=name, permissions=permissions, error=refusal)


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"did not answer within {ANSWER_S_MAX:.0f} s: check the network, then the venue's status page"
    return error.detail if isinstance(error, VenueError) else str(error)


class _Deaf:
    """A tap for a client without sockets."""

    def on_alive(self, url: str) -> None: ...

    def on_frame(self, url: str) -> None: ...

    def on_connected(self, url: str) -> None: ...

    def take(self, url: str, message: Any) -> bool:
        del url, message
        return False

    def on_malformed(self, url: str, frame: str | bytes, error: Exception) -> None: ...


class _Nobody:
    """A sink for an account that is only asked."""

    def on_connected(self) -> None: ...

    def on_update(self, update: AccountUpdate) -> None: ...

    def on_malformed(self, symbol: str | None, stream: Stream | None, detail: str) -> None: ...
