"""Venues as events, over ccxt.pro: public markets and private accounts.

Start with ``venue_feeds``. ``market_feed`` and ``account_feed`` hold what is common to all venues,
``venue`` what they need of one, ``binance`` how Binance USD-M fulfils that.
"""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol

from adapters.exchanges.account_feed import AccountFeed
from adapters.exchanges.ccxt_session import Credentials, Markets
from adapters.exchanges.market_feed import MarketFeed, Observer
from adapters.exchanges.modules import module_of
from adapters.exchanges.settings import AccountCredentials, VenueSettings
from adapters.exchanges.venue import AccountConnection, AccountSink, MarketConnection, MarketSink
from guard.ports import Clock, Feed

__all__ = [
    "AccountCredentials",
    "AccountFeed",
    "MarketFeed",
    "SecretResolver",
    "VenueSettings",
    "venue_feeds",
]


class SecretResolver(Protocol):
    """Reads a secret from where the settings say it is."""

    def __call__(self, *, what: str, file: Path | str | None, env: str | None) -> bytes:
        """Return the secret. Exactly one of ``file`` and ``env`` is given.

        Args:
            what: the setting, for the error, e.g. ``venues.0.accounts.main.api_key``.
            file: name of a file that holds it.
            env: name of an environment variable that holds it.

        Raises:
            SettingsError: it is missing or empty.
        """
        ...


def venue_feeds(
    settings: VenueSettings,
    *,
    clock: Clock,
    resolve_secret: SecretResolver,
    path: str = "",
    observer: Observer | None = None,
) -> list[Feed]:
    """Make one MarketFeed and one AccountFeed for each account; nothing connects before ``run``.

    Args:
        settings: the venue.
        clock: what time it is.
        resolve_secret: reads a secret; asked for every account before anything is made.
        path: where in the settings the venue is, e.g. ``venues.0``, for errors.
        observer: called after every diff that was applied; for tests.

    Raises:
        SettingsError: a secret is missing (from ``resolve_secret``).
    """
    markets, module = Markets(), module_of(settings.id)

    async def connect_market(sink: MarketSink) -> MarketConnection:
        return await module.connect_market(settings, sink, clock, markets)

    feeds: list[Feed] = [MarketFeed(settings, clock=clock, connect=connect_market, observer=observer)]
    for account, credentials in settings.accounts.items():
        where = ".".join(filter(None, (path, "accounts", account)))
        key, secret = (
            resolve_secret(what=f"{where}.{name}", file=file, env=env).decode().strip()
            for name, file, env in (
                ("api_key", credentials.api_key_file, credentials.api_key_env),
                ("api_secret", credentials.api_secret_file, credentials.api_secret_env),
            )
        )

        def connect(
            sink: AccountSink,
            account: str = account,
            credentials: Credentials = Credentials(key, secret),  # noqa: B008 - one for each account
        ) -> Awaitable[AccountConnection]:
            return module.connect_account(settings, account, credentials, sink, clock, markets)

        feeds.append(AccountFeed(settings, account, clock=clock, connect=connect))
    return feeds
