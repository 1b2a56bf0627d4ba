"""Examines all that a guard stands on, beside a running one and without disturbing it: what is wrong, what to do.

Every check runs by itself, all at once, each within its time: one that hangs is a finding of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import sqlite3
import stat
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from msgspec import Struct

from adapters.clock import SystemClock, network_time
from adapters.exchanges import capabilities_of, probe
from adapters.exchanges.settings import VenueSettings
from adapters.exchanges.venue import Capabilities, Way
from adapters.mqtt.probe import ProbeStatus, probe_broker
from adapters.mqtt.settings import BrokerKind
from adapters.storage.health import CheckResult, inspect_storage, lock_holder
from adapters.systemd import watchdog_of
from guard.check import check_settings
from guard.configuration import Settings
from guard.events import Stream
from guard.market.implementation import COMPILED, TO_COMPILE, implementation, why_slow
from guard.ports import Clock
from guard.settings import is_handed_over, resolve_secret, secret_places

LOCAL_S = 10.0
"""A check of this machine: a disk that hangs must not hang the doctor."""
BROKER_S = 20.0
VENUE_S = 60.0
"""Time, markets and each account's key, each within twenty seconds."""
RUNNING_S = 5.0

OFFSET_MS_MAX = 500.0
"""Beyond this the protocol calls a clock off; venues refuse signed requests from a second or five on."""
OFFSET_MS_BAD = 2_000.0
ERROR_MS_MAX = 500.0

FILES_EACH_VENUE, FILES_EACH_BOT, FILES_BESIDES = 32, 4, 128
WATCHDOG_S_MIN = 2.0

WAL_FIXED = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""Releases that have no WAL-reset bug (3.7.0 to 3.51.2, https://www.sqlite.org/wal.html#walresetbug)."""
WITHDRAWN = (3, 52, 0)


class Status(StrEnum):
    """How one thing stands; a later member is worse."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was looked at; ``remedy`` says what to do and is empty where all is well."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each kind of check may take, seconds."""

    local_s: float = LOCAL_S
    broker_s: float = BROKER_S
    venue_s: float = VENUE_S


@dataclass(slots=True)
class Doctor:
    """Examines what the settings at ``path`` describe.

    Attributes:
        path: the settings file.
        offline: leaves out what connects to a broker or a venue.
        clock: against which others are held.
        environment: of the process, for what a supervisor put there.
        limits: how long each check may take.
    """

    path: Path
    offline: bool = False
    clock: Clock = field(default_factory=SystemClock)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    limits: Limits = field(default_factory=Limits)

    async def examine(self) -> tuple[Check, ...]:
        """Make every check, all at once; never raises, ends within the longest of their times."""
        checked = check_settings(self.path)
        found = _settings_checks(self.path, checked.problems, checked.warnings)
        local: list[tuple[str, Callable[[], Iterable[Check]]]] = [
            ("python", _python),
            ("books", _books),
            ("sqlite", _sqlite),
            ("clock", _network_clock),
            ("supervisor", partial(_supervisor, self.environment)),
        ]
        work = [self._bounded(name, _in_thread(make), self.limits.local_s) for name, make in local]
        settings = checked.settings
        if settings is not None:
            work += [
                self._bounded("audit", _in_thread(partial(_storage, settings)), self.limits.local_s),
                self._bounded("files", _in_thread(partial(_files, settings)), self.limits.local_s),
                self._bounded("secrets", _in_thread(partial(_secrets, settings)), self.limits.local_s),
                self._bounded("daemon", _in_thread(partial(_daemon, settings)), self.limits.local_s),
            ]
            if not self.offline:
                work.append(self._bounded("broker", self._broker(settings), self.limits.broker_s))
            work += [self._venue(settings, index) for index in range(len(settings.venues))]
        for each in await asyncio.gather(*work):
            found += each
        return tuple(found)

    async def running(self) -> tuple[Check, ...]:
        """Only whether a daemon runs with these settings, and decides where it serves its health."""
        checked = check_settings(self.path)
        found = _settings_checks(self.path, checked.problems, ())
        if checked.settings is None:
            return tuple(found)
        found += await self._bounded("daemon", _in_thread(partial(_must_run, checked.settings)), RUNNING_S)
        metrics = checked.settings.metrics
        if metrics.enabled and metrics.port:
            found += await self._bounded("health", _health(metrics.host, metrics.port), RUNNING_S)
        return tuple(found)

    async def _bounded(self, name: str, work: Awaitable[Iterable[Check]], limit_s: float) -> list[Check]:
        try:
            return list(await asyncio.wait_for(work, limit_s))
        except TimeoutError:
            return [_failed(name, f"no answer within {limit_s:g} s", "see what it waits for, and try again")]
        except Exception as error:  # noqa: BLE001 (a check that fails is a finding; the others still count)
            detail = f"the check itself failed: {type(error).__name__}: {error}"
            return [_failed(name, detail, "report this: it is a bug")]

    async def _broker(self, settings: Settings) -> list[Check]:
        embedded = settings.broker.kind is BrokerKind.EMBEDDED
        if embedded and await asyncio.to_thread(lock_holder, settings.audit.path) is None:
            return [_ok("broker", "perpguard's own, which runs while perpguard does")]
        bots = [bot.name for bot in settings.bots]
        probed = await probe_broker(settings.broker, guard=settings.guard.name, bots=bots, clock=self.clock)
        statuses = {
            ProbeStatus.OK: Status.OK,
            ProbeStatus.WARN: Status.WARNING,
            ProbeStatus.FAIL: Status.FAILED,
        }
        return [
            Check(
                name=f"broker: {each.name}",
                status=statuses[each.status],
                detail=f"{probed.broker}: {each.detail}",
                remedy=each.remedy,
            )
            for each in probed.findings
        ]

    async def _venue(self, settings: Settings, index: int) -> list[Check]:
        venue = settings.venues[index]
        found = [_gives(venue, capabilities_of(venue))]
        if self.offline:
            return found

        def resolve(*, what: str, file: Path | str | None, env: str | None) -> bytes:
            return resolve_secret(what=f"venues.{index}.{what}", file=file, env=env)

        async def ask() -> list[Check]:
            probed = await probe(venue, clock=self.clock, resolve_secret=resolve)
            where = f"venue {venue.id}"
            if not probed.reachable:
                remedy = "check the network, and the venue's status page"
                return [_failed(where, probed.error or "does not answer", remedy)]
            checks = [
                Check(
                    name=where,
                    status=Status.OK,
                    detail=f"lists {', '.join(probed.listed) or 'nothing named'}",
                )
            ]
            checks += [
                _failed(f"{where}: symbol", line, "correct it in the settings") for line in probed.unknown
            ]
            if probed.clock_offset_ms is not None:
                checks.append(_offset(where, probed.clock_offset_ms))
            for account in probed.accounts:
                name = f"{where}: account {account.account}"
                if account.error is not None:
                    checks.append(
                        _failed(name, account.error, "make a key that can only read, and name its files")
                    )
                elif account.permissions is not None:
                    checks.append(
                        _permissions(name, account.permissions.can_trade, account.permissions.can_withdraw)
                    )
            return checks

        return found + await self._bounded(f"venue {venue.id}", ask(), self.limits.venue_s)


def verdict(checks: Sequence[Check]) -> Status:
    """The worst of all."""
    found = {check.status for check in checks}
    return next((each for each in (Status.FAILED, Status.WARNING) if each in found), Status.OK)


async def _in_thread(make: Callable[[], Iterable[Check]]) -> list[Check]:
    return await asyncio.to_thread(lambda: list(make()))


def _settings_checks(path: Path, problems: Sequence[tuple[str, str]], warnings: Sequence[str]) -> list[Check]:
    found = [
        _failed("settings", f"{path}: {where}: {what}", "correct it in the file") for where, what in problems
    ]
    found += [_warning("settings", line, "leave it if you mean it") for line in warnings]
    return found or [_ok("settings", f"{path} is right")]


def _python() -> Iterable[Check]:
    yield _ok("python", f"{platform.python_implementation()} {platform.python_version()}")


def _books() -> Iterable[Check]:
    if implementation() == COMPILED:
        yield _ok("books", "compiled")
        return
    yield _warning("books", f"the slow reference runs, about thirty times slower: {why_slow()}", TO_COMPILE)


def _sqlite() -> Iterable[Check]:
    yield wal_check(sqlite3.sqlite_version_info)


def wal_check(version: tuple[int, ...]) -> Check:
    """Judge a version of SQLite by what its write-ahead log does to a database.

    >>> wal_check((3, 51, 3)).detail, wal_check((3, 52, 0)).status.value
    ('3.51.3', 'warning')
    """
    text = ".".join(map(str, version))
    if version == WITHDRAWN:
        return _warning("sqlite", f"{text} was withdrawn by its makers", "use 3.51.3, or 3.52.1 and newer")
    is_fixed = version >= WAL_FIXED[-1] or any(
        version[:2] == fixed[:2] and version >= fixed for fixed in WAL_FIXED
    )
    if is_fixed:
        return _ok("sqlite", text)
    return _ok(
        "sqlite",
        f"{text} has the WAL-reset bug (mended in 3.51.3), which needs two writers: perpguard's audit has one; "
        "open it with nothing else that writes",
    )


def _network_clock() -> Iterable[Check]:
    told = network_time()
    if told is None:
        yield _warning(
            "clock", "this system does not tell whether its clock is synchronised", "see that it is"
        )
    elif not told.synchronised:
        yield _warning(
            "clock",
            "the system says that its clock follows no other",
            "run chrony or systemd-timesyncd; in a container, on the host",
        )
    elif told.error_ms > ERROR_MS_MAX:
        yield _warning("clock", f"it may be off by {told.error_ms:.0f} ms", "give it a nearer time server")
    else:
        yield _ok("clock", f"synchronised, off by {told.error_ms:.0f} ms at most")


def _supervisor(environment: Mapping[str, str]) -> Iterable[Check]:
    watchdog_s = watchdog_of(environment)
    if "NOTIFY_SOCKET" not in environment:
        yield _ok("supervisor", "none asks to be told in this environment")
    elif watchdog_s is None:
        yield _warning(
            "supervisor", "it asks for no sign of life", "set WatchdogSec=20s, as deploy/perpguard.service"
        )
    elif watchdog_s < WATCHDOG_S_MIN:
        yield _warning("supervisor", f"it waits {watchdog_s:g} s for a sign of life", "set WatchdogSec=20s")
    else:
        yield _ok("supervisor", f"it waits {watchdog_s:g} s for a sign of life")


def _storage(settings: Settings) -> Iterable[Check]:
    statuses = {
        CheckResult.OK: Status.OK,
        CheckResult.WARNING: Status.WARNING,
        CheckResult.FAILED: Status.FAILED,
    }
    for each in inspect_storage(settings.audit, settings.samples).checks:
        if each.name != "sqlite" or each.result is not CheckResult.OK:
            status = statuses[each.result]
            yield Check(name=f"audit: {each.name}", status=status, detail=each.detail, remedy=each.remedy)


def _files(settings: Settings) -> Iterable[Check]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES_BESIDES + FILES_EACH_VENUE * len(settings.venues) + FILES_EACH_BOT * len(settings.bots)
    words = (
        f"{'unlimited' if soft == resource.RLIM_INFINITY else soft} open files allowed, about {needed} needed"
    )
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = "unlimited" if hard == resource.RLIM_INFINITY else hard
        yield _failed("files", words, f"ulimit -n {needed} (at most {most}), or LimitNOFILE= in the unit")
    else:
        yield _ok("files", words)


def _secrets(settings: Settings) -> Iterable[Check]:
    places = [place for place in secret_places(settings) if place.file is not None]
    found = [
        each for place in places for each in _secret_file(place.path, Path(str(place.file)).expanduser())
    ]
    yield from found or [_ok("secrets", f"{len(places)} file(s), each its owner's alone")]


def _secret_file(what: str, path: Path) -> Iterable[Check]:
    try:
        status, folder = path.stat(), path.parent.stat()
    except OSError as error:
        yield _failed(f"secret {what}", f"{path} cannot be read: {error.strerror}", "make it, chmod 600")
        return
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) and not is_handed_over(path):
        mode = stat.S_IMODE(status.st_mode)
        yield _warning(f"secret {what}", f"others can use {path} (mode {mode:o})", f"chmod 600 {path}")
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        yield _failed(
            f"secret {what}",
            f"anyone can put another file in the place of {path}",
            f"chmod 700 {path.parent}",
        )


def _daemon(settings: Settings) -> Iterable[Check]:
    holder = lock_holder(settings.audit.path)
    yield _ok("daemon", f"process {holder} runs" if holder else "none runs with these settings")


def _must_run(settings: Settings) -> Iterable[Check]:
    holder = lock_holder(settings.audit.path)
    if holder is None:
        yield _failed("daemon", f"nobody writes {settings.audit.path}", "start it: perpguard run")
    else:
        yield _ok("daemon", f"process {holder} runs")


async def _health(host: str, port: int) -> list[Check]:
    """Ask a daemon's /healthz, which answers 200 only while its engine decides."""
    reader, writer = await asyncio.open_connection("127.0.0.1" if host in ("0.0.0.0", "::") else host, port)  # noqa: S104 (where it listens, not where we do)
    try:
        writer.write(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        answer = (await reader.read(65_536)).decode(errors="replace")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    said = body.strip() or head.partition("\r\n")[0]
    if head.split()[1:2] == ["200"]:
        return [_ok("health", said)]
    return [_failed("health", said, "see its log")]


def _gives(venue: VenueSettings, can: Capabilities) -> Check:
    """What a venue streams, has to be polled for, and cannot give."""
    parts = []
    for way in Way:
        streams = [
            str(stream) for stream in Stream if stream is not Stream.ACCOUNT and can.way(stream) is way
        ]
        if streams:
            parts.append(f"{way}: {', '.join(streams)}")
    notes = "".join(f"; {note}" for note in can.notes)
    return _ok(f"venue {venue.id}: data", "; ".join(parts) + notes)


def _offset(where: str, offset_ms: float) -> Check:
    words = f"its clock is {abs(offset_ms):.0f} ms {'ahead of' if offset_ms > 0 else 'behind'} ours"
    remedy = "see the check of our clock; if that is right, the venue's is off"
    if abs(offset_ms) > OFFSET_MS_BAD:
        return _failed(f"{where}: clock", words, remedy)
    if abs(offset_ms) > OFFSET_MS_MAX:
        return _warning(f"{where}: clock", words, remedy)
    return _ok(f"{where}: clock", words)


def _permissions(name: str, can_trade: bool | None, can_withdraw: bool | None) -> Check:
    if can_withdraw:
        return _failed(name, "its key can withdraw", "make a key that can only read")
    if can_trade:
        return _warning(
            name, "its key can trade, which perpguard never does", "make a key that can only read"
        )
    if can_trade is None:
        return _ok(name, "can be read; the venue does not tell what else its key may do")
    return _ok(name, "can be read, and nothing else")


def _ok(name: str, detail: str) -> Check:
    return Check(name=name, status=Status.OK, detail=detail)


def _warning(name: str, detail: str, remedy: str) -> Check:
    return Check(name=name, status=Status.WARNING, detail=detail, remedy=remedy)


def _failed(name: str, detail: str, remedy: str) -> Check:
    return Check(name=name, status=Status.FAILED, detail=detail, remedy=remedy)
