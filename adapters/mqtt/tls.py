"""TLS to the broker as the settings want it."""

from __future__ import annotations

from adapters.mqtt.settings import BrokerSettings
from guard.errors import SettingsError
from perpguard_sdk.tls import BrokerContext, TlsFilesError
from perpguard_sdk.tls import tls_context as context_of


def tls_context(settings: BrokerSettings) -> BrokerContext | None:
    """Read the certificates as they are now; ``None`` for plain TCP.

    Raises:
        SettingsError: a file cannot be read or is not what it should be.
    """
    if settings.tls_ca is None:
        return None
    passphrase = settings.tls_key_passphrase() or ""
    try:
        return context_of(settings.tls_ca, settings.tls_cert, settings.tls_key, passphrase)
    except TlsFilesError as error:
        raise SettingsError("settings", [(f"broker.{error.name}", error.detail)]) from error
