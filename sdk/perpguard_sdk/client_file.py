"""Reads what a bot needs from the file that ``perpguard bots add`` writes, with its secrets beside it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from perpguard_sdk.client_settings import BotClientSettings, read_secret
from perpguard_sdk.messages import Mode, Verb, VerbCapability

_PATHS = ("password_file", "tls_ca", "tls_cert", "tls_key")
_KNOWN = frozenset(
    {
        *("bot", "key_file", "guard", "mode", "site", "root", "venue", "account", "symbols", "host", "port"),
        *("protocol", "username", "dead_man_ms", "rearm_ms", "report_ms", "tls_key_passphrase_file"),
        *_PATHS,
    }
)


def read_client_settings(
    path: Path | str,
    *,
    verbs: dict[Verb, VerbCapability],
    state_path: Path | str,
    **over: Any,
) -> BotClientSettings:
    """Read a bot's settings; paths in the file are relative to it.

    Args:
        path: the file, as ``secrets/alpha.bot.toml``.
        verbs: what the bot can do, which only its author knows.
        state_path: what must survive a restart.
        over: further settings of ``BotClientSettings``, which win over the file.

    Raises:
        ValueError: the file or a secret cannot be read, or something in it is unknown or impossible.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    unknown = sorted(values.keys() - _KNOWN)
    if unknown:
        raise ValueError(f"{path}: unknown: {', '.join(unknown)}")
    values.pop("guard", None)
    for name in _PATHS:
        if name in values:
            values[name] = path.parent / values[name]
    passphrase = values.pop("tls_key_passphrase_file", None)
    if passphrase is not None:
        values["tls_key_passphrase"] = read_secret(path.parent / passphrase)
    try:
        values["key"] = read_secret(path.parent / values.pop("key_file")).encode()
        values["mode"] = Mode(values["mode"])
        values["symbols"] = tuple(values["symbols"])
        return BotClientSettings(**{**values, "verbs": verbs, "state_path": state_path, **over})
    except KeyError as error:
        raise ValueError(f"{path}: {error.args[0]} is missing") from error
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error
