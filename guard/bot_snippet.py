"""The ready configuration of one bot: where the broker is, who the bot is, and which files hold its secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path

from adapters.mqtt.embedded import HOST, reserve_port
from adapters.mqtt.settings import BrokerKind
from guard.configuration import BotSettings, Settings


def snippet_of(settings: Settings, bot: BotSettings, key: Path, password: Path | None) -> str:
    """Write what ``perpguard_sdk.client_file.read_client_settings`` reads; no secret stands in it.

    Args:
        settings: of the guard.
        bot: the bot.
        key: the bot's key file, in the folder in which the snippet will be.
        password: the file of its broker password, if it has one.

    Raises:
        BrokerError: the embedded broker's port cannot be kept for it.
    """
    broker = settings.broker
    embedded = broker.kind is BrokerKind.EMBEDDED
    folder = key.parent
    values: dict[str, object] = {
        "bot": bot.name,
        "key_file": key.name,
        "guard": settings.guard.name,
        "mode": str(settings.guard.mode),
        "site": broker.site,
        "root": broker.root,
        "venue": bot.venue,
        "account": bot.account,
        "symbols": list(bot.symbols) or _watched(settings, bot.venue),
        "host": HOST if embedded else broker.host,
        "port": reserve_port(broker) if embedded else broker.port_used,
        "protocol": str(broker.protocol_used),
    }
    if password is not None:
        values["username"] = bot.user or bot.name
        values["password_file"] = _beside(password, folder)
    if broker.tls_ca is not None:
        values["tls_ca"] = _beside(broker.tls_ca, folder)
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    if broker.tls_cert is not None:
        lines += ["# The broker may want a certificate of the bot's own, as it does of the guard:"]
        lines += [f'#tls_cert = "{bot.name}.pem"', f'#tls_key = "{bot.name}.tls.key"']
    head = (
        f"# What bot {bot.name} needs to obey {settings.guard.name}. Files are relative to this one and are secrets,\n"
        "# but for tls_ca: keep them with mode 0600. Made by perpguard bots; it is written anew, not read, by it.\n"
    )
    return head + "\n".join(lines) + "\n"


def _watched(settings: Settings, venue: str) -> list[str]:
    return next((list(each.symbols) for each in settings.venues if each.id == venue), [])


def _beside(path: Path, folder: Path) -> str:
    """The path as seen from the snippet's folder."""
    return os.path.relpath(path.absolute(), folder)
