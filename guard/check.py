"""Checks settings as far as that goes without connecting to anything, and says what would run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.mqtt.embedded import find_program
from adapters.mqtt.settings import BrokerKind, BrokerSettings
from adapters.mqtt.tls import tls_context
from guard.configuration import Settings, load
from guard.errors import BrokerError, SettingsError
from guard.settings import resolve_secrets
from perpguard_sdk.codec import check_key
from perpguard_sdk.messages import Mode

QUIET_BEATS_MIN = 3
"""A guard is only quiet if so many of its heartbeats stayed out: they come late on a busy machine."""

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(slots=True)
class Check:
    """What checking found: usable if there are no problems."""

    settings: Settings | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def check_settings(path: Path) -> Check:
    """Read and check everything that can be checked on this machine alone."""
    check = Check()
    try:
        check.settings = load(path)
    except SettingsError as error:
        check.problems += error.problems
        return check
    _check_secrets(check, check.settings, str(path))
    _check_files(check, check.settings)
    _warn(check, check.settings)
    return check


def would_run(settings: Settings) -> dict[str, Any]:
    """What ``perpguard run`` would do with these settings, for people and programs."""
    broker = settings.broker
    policies = {policy.name: policy for policy in settings.policies.each}
    return {
        "guard": settings.guard.name,
        "mode": str(settings.guard.mode),
        "site": broker.site,
        "broker": "embedded, on loopback"
        if broker.kind is BrokerKind.EMBEDDED
        else f"{broker.host}:{broker.port_used}{' with TLS' if broker.tls else ''}",
        "venues": {
            venue.id: {
                "symbols": list(venue.symbols),
                **({"busiest": venue.top} if venue.top else {}),
                "accounts": sorted(venue.accounts),
            }
            for venue in settings.venues
        },
        "bots": [f"{bot.name} on {bot.venue}:{bot.account}" for bot in settings.bots],
        "what_if_positions": [
            f"{each.size:g} {each.symbol} on {each.venue}, {each.leverage:g} times leverage"
            for each in settings.positions
        ],
        "policies": [name for name, policy in policies.items() if policy.enabled],
        "policies_off": [name for name, policy in policies.items() if not policy.enabled],
        "audit": str(settings.audit.path),
    }


def _check_secrets(check: Check, settings: Settings, where: str) -> None:
    try:
        secrets = resolve_secrets(settings, where, check.warnings.append)
    except SettingsError as error:
        check.problems += error.problems
        return
    for index in range(len(settings.bots)):
        path = f"bots.{index}.key"
        try:
            check_key(secrets[path], path)
        except ValueError as error:
            why = str(error).removeprefix(f"{path}: ")
            check.problems.append((path, f"{why}: make one with head -c 32 /dev/urandom | base64"))


def _check_files(check: Check, settings: Settings) -> None:
    if settings.broker.kind is BrokerKind.EMBEDDED:
        try:
            find_program()
        except BrokerError as error:
            check.problems.append(("broker.kind", str(error)))
    for name in ("tls_ca", "tls_cert", "tls_key"):
        file: Path | None = getattr(settings.broker, name)
        if file is not None and not os.access(file, os.R_OK):
            check.problems.append(
                (f"broker.{name}", f"{file} cannot be read: correct it, or its permissions")
            )
    _check_login(check, settings)
    for path, place in (
        ("audit.path", settings.audit.path.parent),
        ("broker.data_dir", settings.broker.data_dir),
    ):
        existing = next(each for each in (place, *place.parents) if each.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            check.problems.append((path, f"{existing} cannot be written: choose another, or its permissions"))
    if settings.audit.path.is_dir():
        check.problems.append(("audit.path", f"{settings.audit.path} is a folder: name a file in it"))
    elif settings.audit.path.exists() and not os.access(settings.audit.path, os.R_OK | os.W_OK):
        check.problems.append(
            ("audit.path", f"{settings.audit.path} cannot be written: correct its permissions")
        )


def _check_login(check: Check, settings: Settings) -> None:
    """Password, certificates, key and passphrase as a connection would read them, unless one is known to fail."""
    if any(path.startswith(("broker.tls_", "broker.password")) for path, _ in check.problems):
        return
    try:
        settings.broker.password()
        tls_context(settings.broker)
    except SettingsError as error:
        check.problems += error.problems


def _warn_of_broker(check: Check, broker: BrokerSettings) -> None:
    if broker.kind is BrokerKind.EMBEDDED or broker.tls or broker.host in LOOPBACK:
        return
    if broker.username is not None:
        check.warnings.append(
            f"broker.tls_ca is not set: the password, every position and every command cross the network to "
            f"{broker.host} in PLAIN TEXT; give the broker a certificate and name its authority here "
            "(docs/how-to/secure-the-broker.md)"
        )
    else:
        check.warnings.append(
            f"broker.username is not set: anybody who reaches {broker.host} can read every position "
            "(docs/how-to/secure-the-broker.md)"
        )


def _warn(check: Check, settings: Settings) -> None:
    if settings.guard.mode is Mode.LIVE:
        check.warnings.append("guard.mode is live: commands go to real bots")
    _warn_of_broker(check, settings.broker)
    if not settings.venues:
        check.warnings.append("venues is empty: no market is watched, so nothing can be found")
    beat_s = settings.broker.heartbeat_ms / 1000
    if settings.broker.claim_quiet_s < QUIET_BEATS_MIN * beat_s:
        check.warnings.append(
            f"broker.claim_quiet_s {settings.broker.claim_quiet_s:g} is less than {QUIET_BEATS_MIN} heartbeats "
            f"({beat_s:g} s each): another guard of this site may go unheard, and both would command"
        )
    if not settings.bots:
        check.warnings.append("bots is empty: nobody is commanded")
    if settings.bots and not any(venue.accounts for venue in settings.venues):
        check.warnings.append("no account is read: effects are judged from the bots' own reports")
    for venue in settings.venues:
        strong = [name for name, account in venue.accounts.items() if account.trade_keys_allowed]
        if strong:
            check.warnings.append(
                f"{venue.id}: keys that may trade are allowed for {', '.join(strong)}: a read-only key is all "
                "that perpguard needs"
            )
