"""From what the settings say of an account to what signs its requests."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from adapters.exchanges.ccxt_session import Credentials
from adapters.exchanges.settings import SECRETS, AccountCredentials, VenueSettings
from adapters.exchanges.venue import KeyPermissions


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


def credentials_of(account: AccountCredentials, where: str, resolve_secret: SecretResolver) -> Credentials:
    """Read the secrets that the settings name; ``where`` is the account's path in them.

    Raises:
        SettingsError: a secret is missing (from ``resolve_secret``).
    """
    key, secret, password = (
        resolve_secret(
            what=f"{where}.{name}",
            file=getattr(account, f"{name}_file"),
            env=getattr(account, f"{name}_env"),
        )
        .decode()
        .strip()
        if account.places(name)
        else None
        for name in SECRETS
    )
    return Credentials(key, secret, password, account.wallet_address)


def refusal_of(settings: VenueSettings, account: str, permissions: KeyPermissions) -> str | None:
    """Say why a key that can do too much is not used, ``None`` if it is used."""
    too_much = [
        what
        for what, can in (("trade", permissions.can_trade), ("withdraw", permissions.can_withdraw))
        if can
    ]
    allowed = settings.accounts.get(account)
    if not too_much or (allowed is not None and allowed.trade_keys_allowed):
        return None
    granted = f" ({permissions.detail})" if permissions.detail else ""
    return (
        f"the key may {' and '.join(too_much)}{granted}: perpguard only reads. Make a read-only key at the venue, "
        f"or set trade_keys_allowed = true in accounts.{account} of {settings.id} to use this one all the same"
    )
