"""Reads the settings again while the guard runs: checked whole first, then swapped whole between two events.

What cannot be used changes nothing and is said: in the log, in the audit, and on the state topic until it
is put right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from guard.audit import SettingChange, SettingsReloaded
from guard.check import check_settings
from guard.configuration import Settings
from guard.errors import AuditError, FatalError, GuardError, SettingsError
from guard.events import LinkChanged, LinkKind, MarketsWatched, SettingsChanged
from guard.policy import Policy
from guard.ports import Feed
from guard.reload.plan import Plan, plan
from guard.runner import Runner
from guard.settings import resolve_secrets, secret_places
from guard.state import BotConfig
from guard.units import AccountId, BotId, MarketId
from perpguard_sdk.codec import check_key
from perpguard_sdk.messages import Posture

RESTART = "restart needed"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What settings come to for the engine."""

    markets: tuple[MarketId, ...]
    bots: tuple[BotConfig, ...]
    keyed_accounts: tuple[AccountId, ...]
    policies: Sequence[Policy]


class Hands(Protocol):
    """What a reload does to the rest of the program; ``guard.app`` fulfils it."""

    def parts(self, settings: Settings) -> Parts: ...

    def venue_feeds(self, settings: Settings, venue: str) -> list[Feed]:
        """Make the feeds of one venue; nothing connects. Raises SettingsError."""
        ...

    def asked_feeds(self, settings: Settings) -> list[Feed]:
        """Make the feed that tells the positions of the settings, if there are any."""
        ...

    def know_bots(self, keys: Mapping[BotId, bytes]) -> None:
        """Speak with these bots, by these keys, from now on."""
        ...

    def follow_log(self, settings: Settings, secrets: Iterable[bytes]) -> None:
        """Log as they say, and these secrets never."""
        ...

    async def let_bots_in(self, settings: Settings) -> None:
        """Let exactly these bots in at the embedded broker. Raises BrokerError."""
        ...


@dataclass(slots=True)
class Reloader:
    """Holds what runs now and puts other settings in its place; ``reload`` is called by one task at a time.

    Attributes:
        path: the settings file.
        settings: what holds now.
        secrets: what its secrets are, by path.
        runner: the loop.
        hands: what else changes.
        venue_feeds: the feeds that run, by venue.
        asked_feeds: the feed that tells the positions of the settings.
    """

    path: Path
    settings: Settings
    secrets: Mapping[str, bytes]
    runner: Runner
    hands: Hands
    venue_feeds: dict[str, list[Feed]]
    asked_feeds: list[Feed]
    _refused: str = ""

    def files(self) -> list[Path]:
        """What to watch: the settings file first, then those of the secrets that it names."""
        places = (place.file for place in secret_places(self.settings))
        return [self.path, *(path.expanduser() for path in places if path is not None)]

    async def catch_up(self) -> None:
        """Take a change that came between the start's reading and the first look at the file."""
        try:
            new, secrets = await asyncio.to_thread(read, self.path)
            differs = bool(plan(self.settings, new, self.secrets, secrets).changes)
        except SettingsError:
            differs = True
        if differs:
            await self.reload(f"{self.path.name} changed while the guard started")

    async def reload(self, cause: str) -> bool:
        """Read, check and take the settings; return whether they hold now.

        Raises:
            FatalError: they could not be taken whole, which is a bug; a start with them is.
        """
        try:
            new, secrets = await asyncio.to_thread(read, self.path)
            what = plan(self.settings, new, self.secrets, secrets)
            if what.restart:
                self._refuse(cause, _restart_problems(what), new.digest, what.changes)
                return False
            feeds = {
                venue.id: self.hands.venue_feeds(new, venue.id)
                for venue in new.venues
                if venue.id in what.venues
            }
            asked = self.hands.asked_feeds(new) if what.positions else self.asked_feeds
        except SettingsError as error:
            problems = tuple(f"{path}: {message}" for path, message in error.problems)
            self._refuse(cause, problems, "", ())
            return False
        floors = await self._floors(new)
        try:
            self._swap(cause, new, secrets, what, floors)
        except Exception as error:
            log.exception(
                "the settings could not be taken whole: this is a bug, please report it with these lines"
            )
            raise FatalError(
                f"settings that were checked could not be taken whole: {error}: start again"
            ) from error
        await self._swap_feeds(what, feeds, asked)
        await self._let_bots_in(what)
        return True

    def _swap(
        self,
        cause: str,
        new: Settings,
        secrets: Mapping[str, bytes],
        what: Plan,
        floors: Mapping[BotId, Posture],
    ) -> None:
        """Change everything that decides, between two events: nothing is awaited here."""
        runner, old, parts = self.runner, self.settings, self.hands.parts(new)
        now = runner.world.clock.now()
        runner.journal.put(
            SettingsReloaded(
                at=now,
                cause=cause,
                applied=True,
                former_digest=old.digest,
                settings_digest=new.digest,
                changes=what.changes,
            )
        )
        self._tell(cause, what)
        former = self.hands.parts(old)
        self.settings, self.secrets = new, secrets
        self.hands.follow_log(new, secrets.values())
        if what.changes:
            runner.identity = replace(runner.identity, settings_digest=new.digest)
            runner.settings = replace(runner.settings, signals=new.guard.signals)
            runner.engine.state.reconfigure(
                baseline=new.baseline,
                markets=parts.markets,
                without=frozenset(former.markets) - frozenset(parts.markets),
                bots=parts.bots,
                keyed_accounts=parts.keyed_accounts,
                floors=floors,
            )
            runner.engine.state.outlook.reconfigure(new.outlook)
            runner.telling.notices.settings = new.notices
            if runner.bill is not None:
                runner.bill.reconfigure(new.bill)
            runner.engine.reconfigure(
                policies=parts.policies,
                arbiter=new.arbiter,
                dispatch=new.dispatch,
                floors=floors,
                now=now,
            )
            self.hands.know_bots(bot_keys(new, secrets))
            runner.inbox.put(SettingsChanged(received_at=now, settings_digest=new.digest))
        if self._refused:
            self._refused = ""
            self._say(up=True, detail="the settings can be used again")

    async def _swap_feeds(self, what: Plan, feeds: Mapping[str, list[Feed]], asked: list[Feed]) -> None:
        """End and begin what watches the venues that changed; the others go on undisturbed."""
        for venue in sorted(what.venues):
            old, new = self.venue_feeds.pop(venue, []), feeds.get(venue, [])
            await self.runner.feeding.swap(old, new)
            if new:
                self.venue_feeds[venue] = new
            else:
                now = self.runner.world.clock.now()
                self.runner.inbox.put(MarketsWatched(received_at=now, venue=venue, markets=()))
        if what.changes:
            # What was asked about is forgotten with every change: it is told again.
            former, self.asked_feeds = self.asked_feeds, asked
            await self.runner.feeding.swap(former, asked)

    async def _let_bots_in(self, what: Plan) -> None:
        if not any(change.path.startswith("bots.") for change in what.changes):
            return
        try:
            await self.hands.let_bots_in(self.settings)
        except GuardError as error:
            log.error("the embedded broker does not know the bots of the settings yet", error=str(error))

    async def _floors(self, new: Settings) -> dict[BotId, Posture]:
        """What a former guard last told the bots that are new: it holds as after a start."""
        added = {bot.name for bot in new.bots} - {bot.name for bot in self.settings.bots}
        if not added:
            return {}
        try:
            stored = await self.runner.world.memory.last_postures()
        except AuditError as error:
            log.error("the stored postures of new bots cannot be read", error=str(error))
            return {}
        return {bot: posture for bot, posture in stored.items() if bot in added}

    def _refuse(
        self, cause: str, problems: tuple[str, ...], digest: str, changes: tuple[SettingChange, ...]
    ) -> None:
        runner = self.runner
        log.error(
            "the settings are refused, the former ones go on", cause=cause, problems="; ".join(problems)
        )
        runner.journal.put(
            SettingsReloaded(
                at=runner.world.clock.now(),
                cause=cause,
                applied=False,
                former_digest=self.settings.digest,
                settings_digest=digest,
                changes=changes,
                problems=problems,
            )
        )
        self._refused = f"{self.path.name} is refused, the former settings go on: {'; '.join(problems)}"
        self._say(up=False, detail=self._refused)

    def _say(self, *, up: bool, detail: str) -> None:
        now = self.runner.world.clock.now()
        self.runner.inbox.put(LinkChanged(received_at=now, link=LinkKind.SETTINGS, up=up, detail=detail))

    def _tell(self, cause: str, what: Plan) -> None:
        if not what.changes:
            log.info("the settings were read again, nothing differs", cause=cause)
            return
        log.info("the settings are changed", cause=cause, changes="; ".join(map(_words, what.changes)))
        for each in what.loosening:
            log.warning("a change of settings takes protection away", change=_words(each))


def read(path: Path) -> tuple[Settings, dict[str, bytes]]:
    """Read settings and their secrets as a start does.

    Raises:
        SettingsError: with every problem.
    """
    checked = check_settings(path)
    if checked.settings is None or not checked.ok:
        raise SettingsError(str(path), checked.problems)
    return checked.settings, resolve_secrets(checked.settings, str(path))


def bot_keys(settings: Settings, secrets: Mapping[str, bytes]) -> dict[BotId, bytes]:
    """Each bot's key."""
    paths = {bot.name: f"bots.{index}.key" for index, bot in enumerate(settings.bots)}
    return {BotId(bot): check_key(secrets[path], path) for bot, path in paths.items()}


def _restart_problems(what: Plan) -> tuple[str, ...]:
    """One for each setting that cannot change; with one of them none of the others does either."""
    loosening = {each.path: each.effect for each in what.loosening}
    return tuple(
        f"{path}: {RESTART}: it cannot change while the guard runs"
        + (f" ({loosening[path]})" if path in loosening else "")
        for path in what.restart
    )


def _words(change: SettingChange) -> str:
    return f"{change.path}: {change.old} -> {change.new} ({change.effect})"
