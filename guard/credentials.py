"""A bot's credentials over their life: given, listed, replaced, taken away; each step whole or not at all.

A step that was cut short is finished by doing it again. The settings are written last when a bot comes and
first when it goes, so a bot that stands in them always has all that it needs.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.mqtt.access import BotAccess, check_name
from adapters.mqtt.admission import Admission, Admitted, administrator
from adapters.mqtt.embedded import USERNAME
from adapters.mqtt.private_files import create_private, make_private_folder, new_password, write_private
from adapters.mqtt.settings import BrokerKind
from guard.bot_snippet import snippet_of
from guard.configuration import BotSettings, Settings, load
from guard.errors import GuardError, SettingsError
from guard.settings import resolve_secret
from guard.settings_edit import CannotEditError, Value, with_member, without_member

FOLDER: Final = "secrets"
"""Beside the settings."""
_FINGERPRINT: Final = b"perpguard key fingerprint\n"


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may change mosquitto's dynamic security; given, changes are sent to the broker at once."""

    user: str
    password_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBot:
    """What was asked for; what is left out is chosen where there is only one choice."""

    name: str
    venue: str | None = None
    account: str | None = None
    symbols: tuple[str, ...] = ()
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BotLine:
    """One bot as it stands. ``fingerprint`` tells keys apart and gives nothing of them away."""

    name: str
    venue: str
    account: str
    symbols: tuple[str, ...]
    user: str
    key: str
    fingerprint: str | None
    changed_at: str | None
    problem: str


@dataclass(slots=True)
class Outcome:
    """What came of a step: files that were written or removed, and what is left for people to do."""

    bot: str
    done: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)
    snippet: Path | None = None


def list_bots(path: Path) -> list[BotLine]:
    """Every bot of the settings.

    Raises:
        SettingsError: the settings cannot be used.
    """
    settings = load(path)
    return [_line(index, bot) for index, bot in enumerate(settings.bots)]


async def add_bot(path: Path, new: NewBot, admin: Administrator | None = None) -> Outcome:
    """Give a new bot a key, a broker user, and a place in the settings.

    A key or password that an interrupted attempt left is taken, not replaced.

    Raises:
        SettingsError: the settings cannot be used, or the bot does not fit in.
        BrokerError: the broker's files cannot be written, or it refuses; nothing is changed then.
    """
    path = _resolved(path)
    with _alone(path):
        settings = load(path)
        bot = _fitting(settings, new)
        access = BotAccess(bot.name, bot.user or bot.name)
        admission = _admission(settings, path, admin)
        key = _key_path(path, bot.name)
        had_key, had_password = key.exists(), admission.password_path(access).exists()
        outcome = Outcome(bot.name)
        text = _edited(path, lambda text: with_member(text, "bots", _member(bot)))
        _try(path, text, present=bot.name)
        try:
            if _create_key(key):
                outcome.files.append(key)
            bots = [*settings.access, access]
            admitted = await admission.admit(access, bots)
            _note(outcome, admitted)
            _write_snippet(outcome, path, settings, bot, admission, admitted)
            _replace(path, text)
        except BaseException:
            if not had_password:
                # What failed is told; that taking it back failed as well would only hide it.
                with contextlib.suppress(GuardError, OSError):
                    await admission.expel(access, settings.access)
            if not had_key:
                key.unlink(missing_ok=True)
            _snippet_path(path, bot.name).unlink(missing_ok=True)
            raise
        outcome.files.append(path)
        outcome.done.append(f"bot {bot.name} on {bot.venue}:{bot.account} logs in as {access.user}")
        outcome.done.append("a guard that runs takes it up by itself; without watch_settings, send it SIGHUP")
        return outcome


async def rotate_bot(path: Path, name: str, admin: Administrator | None = None) -> Outcome:
    """Replace a bot's key and password.

    There is no time in which both keys hold. From the moment a guard has the new key until the bot has it,
    neither believes the other: the bot goes to safe mode after its dead-man time and says so.

    Raises:
        SettingsError: there is no such bot, or its key is not in a file.
        BrokerError: the broker's files cannot be written, or it refuses.
    """
    path = _resolved(path)
    with _alone(path):
        settings = load(path)
        index, bot = _known(settings, name)
        if bot.key_file is None:
            problem = f"its key is in the environment variable {bot.key_env}: change it there, for both sides"
            raise SettingsError(str(path), [(f"bots.{index}.key_env", problem)])
        admission = _admission(settings, path, admin)
        outcome = Outcome(name)
        admitted = await admission.admit(bot.access, settings.access, anew=True)
        _note(outcome, admitted)
        # The key last: a guard that runs watches it, and reads the broker's users again with it.
        _write(bot.key_file, new_password() + "\n")
        outcome.files.append(bot.key_file)
        _write_snippet(outcome, path, settings, bot, admission, admitted)
        outcome.done.append(f"bot {name} has a new key and a new password")
        outcome.to_do.append(
            f"bring the new key and password to bot {name} and restart it; until then it stays in safe mode"
        )
        return outcome


async def revoke_bot(path: Path, name: str, admin: Administrator | None = None) -> Outcome:
    """Take a bot out of the settings and from the broker, with what it left there, and its key away.

    What a former attempt has done already is passed over.

    Raises:
        SettingsError: nothing of such a bot is there, or the settings cannot be used.
        BrokerError: the broker's files cannot be changed, or it refuses; doing it again finishes it.
    """
    path = _resolved(path)
    check_name(name, "bot")
    with _alone(path):
        settings = load(path)
        admission = _admission(settings, path, admin)
        index = next((index for index, each in enumerate(settings.bots) if each.name == name), None)
        bot = settings.bots[index] if index is not None else None
        access = bot.access if bot is not None else BotAccess(name, name)
        key = bot.key_file if bot is not None else _key_path(path, name)
        left = [each for each in (key, admission.password_path(access)) if each is not None and each.exists()]
        outcome = Outcome(name)
        if index is not None:
            position = index
            text = _edited(path, lambda text: without_member(text, "bots", position))
            _try(path, text, absent=name)
            _replace(path, text)
            outcome.files.append(path)
            outcome.done.append(f"bot {name} is out of the settings: a guard that runs stops commanding it")
        stay = [each for each in settings.access if each != access]
        _note(outcome, await admission.expel(access, stay))
        for each in (key, _snippet_path(path, name)):
            if each is not None and each.exists() and each.parent == path.parent / FOLDER:
                each.unlink()
                outcome.files.append(each)
        await _clear(outcome, admission, access, settings)
        if not outcome.done and not left:
            known = ", ".join(each.name for each in settings.bots) or "none"
            problem = f"there is no bot {name}, and nothing was left of one ({known})"
            raise SettingsError(str(path), [("bots", problem)])
        return outcome


async def _clear(outcome: Outcome, admission: Admission, access: BotAccess, settings: Settings) -> None:
    try:
        count = await admission.clear(access, guard=settings.guard.name)
    except GuardError as error:
        outcome.to_do.append(
            f"what is retained of {access.bot} at the broker is still there ({error}): do this again once the "
            "broker runs"
        )
        return
    if count:
        outcome.done.append(f"what was retained of {access.bot} on {count} topics is gone")


def _resolved(path: Path) -> Path:
    """The file itself where the settings are a link: it is that which is replaced."""
    return path.resolve()


def _line(index: int, bot: BotSettings) -> BotLine:
    fingerprint = changed_at = None
    problem = ""
    try:
        key = resolve_secret(what=f"bots.{index}.key", file=bot.key_file, env=bot.key_env)
        fingerprint = fingerprint_of(key)
    except SettingsError as error:
        problem = "; ".join(message for _, message in error.problems)
    if bot.key_file is not None and bot.key_file.exists():
        changed = dt.datetime.fromtimestamp(bot.key_file.stat().st_mtime, dt.UTC)
        changed_at = changed.isoformat(timespec="seconds")
    return BotLine(
        name=bot.name,
        venue=bot.venue,
        account=bot.account,
        symbols=bot.symbols,
        user=bot.user or bot.name,
        key=str(bot.key_file) if bot.key_file is not None else f"${bot.key_env}",
        fingerprint=fingerprint,
        changed_at=changed_at,
        problem=problem,
    )


def fingerprint_of(key: bytes) -> str:
    """Twelve hexadecimal digits of a hash, the same for the same key."""
    return hashlib.sha256(_FINGERPRINT + key).hexdigest()[:12]


def _fitting(settings: Settings, new: NewBot) -> BotSettings:
    """The new bot's settings.

    Raises:
        SettingsError: a name is taken, impossible, or must be given.
    """
    check_name(new.name, "NAME")
    problems: list[tuple[str, str]] = []
    user = new.user or new.name
    check_name(user, "--user")
    if new.name in [each.name for each in settings.bots]:
        problems.append(
            ("NAME", f"there is a bot {new.name} already: perpguard bots rotate gives it new keys")
        )
    elif user in [each.user or each.name for each in settings.bots]:
        problems.append(("--user", f"another bot logs in as {user}: give each a user of its own"))
    if user == (settings.broker.username or (USERNAME if _is_embedded(settings) else None)):
        problems.append(("--user", f"{user} is the guard's own user: give the bot another"))
    ids = [each.id for each in settings.venues]
    venue = new.venue or (ids[0] if len(ids) == 1 else "")
    if venue not in ids:
        problems.append(
            ("--venue", f"one of the venues of the settings must be named: {', '.join(ids) or 'none'}")
        )
    accounts = sorted(name for each in settings.venues if each.id == venue for name in each.accounts)
    account = new.account or (accounts[0] if len(accounts) == 1 else "")
    if not account:
        known = f" (with a key: {', '.join(accounts)})" if accounts else ""
        problems.append(("--account", f"the account that it trades must be named{known}"))
    if problems:
        raise SettingsError("perpguard bots add", problems)
    return BotSettings(
        name=new.name,
        key_file=Path(FOLDER) / f"{new.name}.key",
        venue=venue,
        account=account,
        symbols=new.symbols,
        user=new.user,
    )


def _member(bot: BotSettings) -> dict[str, Value]:
    member: dict[str, Value] = {
        "name": bot.name,
        "key_file": str(bot.key_file),
        "venue": bot.venue,
        "account": bot.account,
    }
    if bot.symbols:
        member["symbols"] = bot.symbols
    if bot.user:
        member["user"] = bot.user
    return member


def _known(settings: Settings, name: str) -> tuple[int, BotSettings]:
    for index, bot in enumerate(settings.bots):
        if bot.name == name:
            return index, bot
    known = ", ".join(each.name for each in settings.bots) or "none"
    raise SettingsError("settings", [("bots", f"there is no bot {name} ({known})")])


def _admission(settings: Settings, path: Path, admin: Administrator | None) -> Admission:
    who = administrator(settings.broker, admin.user, admin.password_file) if admin is not None else None
    return Admission(settings.broker, path.parent / FOLDER, who)


def _is_embedded(settings: Settings) -> bool:
    return settings.broker.kind is BrokerKind.EMBEDDED


def _key_path(path: Path, name: str) -> Path:
    return path.parent / FOLDER / f"{name}.key"


def _snippet_path(path: Path, name: str) -> Path:
    return path.parent / FOLDER / f"{name}.bot.toml"


def _create_key(key: Path) -> bool:
    try:
        make_private_folder(key.parent)
        return create_private(key, new_password() + "\n")
    except OSError as error:
        raise _unwritable(key, error) from error


def _write_snippet(
    outcome: Outcome,
    path: Path,
    settings: Settings,
    bot: BotSettings,
    admission: Admission,
    admitted: Admitted,
) -> None:
    text = snippet_of(settings, bot, _key_path(path, bot.name), admitted.password_file)
    snippet = _snippet_path(path, bot.name)
    _write(snippet, text)
    outcome.snippet = snippet
    outcome.files.append(snippet)
    if admission.settings.host in ("127.0.0.1", "localhost"):
        return
    outcome.to_do.append(f"bring {snippet} and the files that it names to the bot's machine, mode 0600")


def _note(outcome: Outcome, admitted: Admitted) -> None:
    outcome.files += admitted.written
    outcome.to_do += admitted.to_do


def _write(path: Path, text: str) -> None:
    try:
        make_private_folder(path.parent)
        write_private(path, text)
    except OSError as error:
        raise _unwritable(path, error) from error


def _edited(path: Path, edit: Callable[[str], str]) -> str:
    try:
        return edit(path.read_text(encoding="utf-8"))
    except CannotEditError as error:
        raise SettingsError(str(path), [("bots", str(error))]) from error


def _try(path: Path, text: str, *, present: str = "", absent: str = "") -> None:
    """Read the edited settings as a start would, before anything is changed.

    Raises:
        SettingsError: they could not be used; the settings are as they were.
    """
    draft = path.with_name(f".{path.name}.try")
    try:
        _write(draft, text)
        names = [bot.name for bot in load(draft).bots]
    except SettingsError as error:
        raise SettingsError(f"{path}, with this change", error.problems) from error
    finally:
        draft.unlink(missing_ok=True)
    if (present and present not in names) or absent in names:
        problem = "the environment decides who the bots are (PERPGUARD_BOTS...): change it there"
        raise SettingsError(str(path), [("bots", problem)])


def _replace(path: Path, text: str) -> None:
    """Put the new settings in the old ones' place, with their mode."""
    draft = path.with_name(f".{path.name}.new")
    try:
        mode = path.stat()
        write_private(draft, text)
        draft.chmod(mode.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(draft, mode.st_uid, mode.st_gid)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> SettingsError:
    problem = f"cannot be written: {error.strerror}: let this user write it, or run this as the guard's user"
    return SettingsError("files", [(str(path), problem)])


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One change at a time: two would each write the settings without the other's bot."""
    try:
        number = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(str(path), [("file", f"cannot be read: {error.strerror}")]) from error
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise SettingsError(str(path), [("file", "another perpguard bots changes it: try again")]) from error
    finally:
        os.close(number)
