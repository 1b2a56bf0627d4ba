"""The commands with which people overrule the guard: for a time, under their name, and for a reason."""

from __future__ import annotations

import asyncio
import getpass
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from guard.cli.outside import span_ms
from guard.cli.shared import (
    DEFAULT_SETTINGS,
    EXIT_FAILED,
    JsonOption,
    SettingsOption,
    errors_told,
    print_json,
)
from guard.errors import SettingsError
from guard.units import ms_of

if TYPE_CHECKING:
    from adapters.mqtt.connection import Endpoint
    from perpguard_sdk.messages import Instruction
    from perpguard_sdk.topics import Topics

commands = typer.Typer(
    help="Overrule the guard for a time and under your name: pause, cap, ignore, silence, release, withdraw.",
    no_args_is_help=True,
)

WHERE = "perpguard override"

BecauseOption = Annotated[str, typer.Option("--because", help="Why, for whoever reads it later.")]
ForOption = Annotated[str, typer.Option("--for", help="How long it holds: 90m, 36h, 2d.")]
ByOption = Annotated[str, typer.Option("--by", help="Who tells it; the user of this machine.")]
VenueOption = Annotated[str | None, typer.Option("--venue", help="All markets of a venue.")]
MarketOption = Annotated[
    str | None, typer.Option("--market", help="One market, as binanceusdm:BTC/USDT:USDT.")
]
AccountOption = Annotated[str | None, typer.Option("--account", help="One account, as binanceusdm:main.")]
BotOption = Annotated[str | None, typer.Option("--bot", help="One bot.")]
FromOption = Annotated[
    str, typer.Option("--from", help="When it begins, UTC, as 2026-11-30T08:00; left out, at once.")
]
ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", help="A reason of findings; may be given several times.")
]
PolicyOption = Annotated[
    list[str] | None, typer.Option("--policy", help="A policy by name; may be given several times.")
]


@commands.command("pause")
def pause(
    because: BecauseOption,
    for_: ForOption,
    by: ByOption = "",
    venue: VenueOption = None,
    market: MarketOption = None,
    account: AccountOption = None,
    bot: BotOption = None,
    begins: FromOption = "",
    no_adds: Annotated[
        bool, typer.Option("--no-adds", help="Let positions be opened, and none be grown.")
    ] = False,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """No new entries: of everything, or of what is named."""
    subject = _subject(venue, market, account, bot)
    entries = "no_adds" if no_adds else "reduce_only"
    _tell(settings, "pause", because, for_, by, begins, as_json=as_json, entries=entries, **subject)


@commands.command("halt")
def halt(
    because: BecauseOption,
    for_: ForOption,
    by: ByOption = "",
    venue: VenueOption = None,
    market: MarketOption = None,
    account: AccountOption = None,
    bot: BotOption = None,
    begins: FromOption = "",
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """No orders at all but those that the guard asks for."""
    subject = _subject(venue, market, account, bot)
    _tell(settings, "halt", because, for_, by, begins, as_json=as_json, **subject)


@commands.command("cap")
def cap(
    because: BecauseOption,
    for_: ForOption,
    by: ByOption = "",
    size: Annotated[
        float | None, typer.Option("--size", help="Base units of the whole account's position.")
    ] = None,
    leverage: Annotated[float | None, typer.Option("--leverage", help="Notional / equity.")] = None,
    share: Annotated[
        float | None, typer.Option("--share", help="Part of its usual size of a new entry, 0 to 1.")
    ] = None,
    venue: VenueOption = None,
    market: MarketOption = None,
    account: AccountOption = None,
    bot: BotOption = None,
    begins: FromOption = "",
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """At most this size, leverage, or part of the usual size of an entry."""
    limits = {"max_size": size, "max_leverage": leverage, "entry_share": share}
    subject = _subject(venue, market, account, bot)
    _tell(settings, "cap", because, for_, by, begins, as_json=as_json, **limits, **subject)


@commands.command("ignore")
def ignore(
    because: BecauseOption,
    for_: ForOption,
    by: ByOption = "",
    reason: ReasonOption = None,
    policy: PolicyOption = None,
    even_imminent: Annotated[
        bool, typer.Option("--even-imminent", help="Also where a liquidation is imminent.")
    ] = False,
    venue: VenueOption = None,
    market: MarketOption = None,
    account: AccountOption = None,
    bot: BotOption = None,
    begins: FromOption = "",
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Ask for nothing because of these reasons or policies; they are recorded all the same."""
    named = {"reasons": tuple(reason or ()), "policies": tuple(policy or ()), "forced": even_imminent}
    subject = _subject(venue, market, account, bot)
    _tell(settings, "ignore", because, for_, by, begins, as_json=as_json, **named, **subject)


@commands.command("silence")
def silence(
    because: BecauseOption,
    for_: ForOption,
    by: ByOption = "",
    reason: ReasonOption = None,
    policy: PolicyOption = None,
    venue: VenueOption = None,
    market: MarketOption = None,
    account: AccountOption = None,
    bot: BotOption = None,
    begins: FromOption = "",
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Plan a maintenance: cut nothing and tell nobody meanwhile; without reasons, because of unknown data alone."""
    named = {"reasons": tuple(reason or ()), "policies": tuple(policy or ())}
    subject = _subject(venue, market, account, bot)
    _tell(settings, "silence", because, for_, by, begins, as_json=as_json, **named, **subject)


@commands.command("release")
def release(
    because: BecauseOption,
    for_: ForOption = "1h",
    by: ByOption = "",
    venue: VenueOption = None,
    market: MarketOption = None,
    account: AccountOption = None,
    bot: BotOption = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Let what flatten has closed be opened again, step by step; meanwhile nothing is closed anew."""
    subject = _subject(venue, market, account, bot)
    _tell(settings, "release", because, for_, by, "", as_json=as_json, **subject)


@commands.command("withdraw")
def withdraw(
    name: Annotated[str, typer.Argument(help="Its id, as `perpguard override list` shows it.")],
    because: BecauseOption = "withdrawn",
    by: ByOption = "",
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Take back what was told."""
    with errors_told(as_json=as_json):
        from msgspec import structs  # noqa: PLC0415

        found = _told(settings).get(name)
        if found is None or isinstance(found, str):
            raise SettingsError(WHERE, [("id", f"{name!r} is not told; `perpguard override list` shows all")])
        taken_back = structs.replace(
            found, ts=max(_now_ms(), found.ts + 1), author=by or _user(), reason=because, withdrawn=True
        )
        _send(settings, taken_back)
    _say(taken_back, as_json=as_json)


@commands.command("list")
def list_told(settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False) -> None:
    """List what holds, what is planned, what was withdrawn or has expired, and what could not be believed."""
    with errors_told(as_json=as_json):
        from guard.configuration import load  # noqa: PLC0415
        from guard.instructions import problem_of  # noqa: PLC0415

        found, hours_max = _told(settings), load(settings).broker.instruction_hours_max
    now_ms = _now_ms()
    lines: list[dict[str, object]] = []
    for name, each in found.items():
        if isinstance(each, str):
            lines.append({"id": name, "state": "refused", "why": each})
            continue
        expired = each.expires_at <= now_ms
        why = "" if expired else problem_of(each, name, now_ms, hours_max)
        lines.append({**msgspec.to_builtins(each), "state": _state(each, now_ms, why), "why": why})
    if as_json:
        print_json(lines)
    else:
        for line in lines:
            typer.echo(_words(line))
        if not lines:
            typer.echo("nothing is told")
    if any(line["state"] == "refused" for line in lines):
        raise typer.Exit(EXIT_FAILED)


@commands.command("reasons")
def reasons(as_json: JsonOption = False) -> None:
    """List the reasons that may be ignored or silenced."""
    from guard.explain_reasons import REASONS  # noqa: PLC0415
    from guard.findings import Reason  # noqa: PLC0415

    known = {each.value: REASONS[each] for each in Reason if each is not Reason.INSTRUCTED}
    if as_json:
        print_json(known)
    else:
        for name, words in known.items():
            typer.echo(f"{name}  {words}")


def _subject(
    venue: str | None, market: str | None, account: str | None, bot: str | None
) -> dict[str, str | None]:
    return {"venue": venue, "market": market, "account": account, "bot": bot}


def _tell(
    settings: Path, kind: str, because: str, for_: str, by: str, begins: str, *, as_json: bool, **fields: Any
) -> None:
    with errors_told(as_json=as_json):
        from perpguard_sdk.messages import Instruction  # noqa: PLC0415

        now_ms = _now_ms()
        starts_at = _at_ms(begins)
        told = {
            "type": "instruction",
            "id": f"{kind}-{secrets.token_hex(3)}",
            "kind": kind,
            "author": by or _user(),
            "reason": because,
            "ts": now_ms,
            "starts_at": starts_at,
            "expires_at": max(starts_at, now_ms) + span_ms(for_),
            **fields,
        }
        instruction = msgspec.convert(told, Instruction)
        _send(settings, instruction)
    _say(instruction, as_json=as_json)


def _send(settings: Path, instruction: Instruction) -> None:
    from adapters.mqtt.instructing import instruct  # noqa: PLC0415
    from guard.configuration import load  # noqa: PLC0415
    from guard.instructions import problem_of  # noqa: PLC0415

    hours_max = load(settings).broker.instruction_hours_max
    if problem := problem_of(instruction, instruction.id, _now_ms(), hours_max):
        raise SettingsError(WHERE, [("instruction", problem)])
    endpoint, topics, key = _door(settings)
    asyncio.run(instruct(endpoint, topics, key, instruction))


def _told(settings: Path) -> dict[str, Instruction | str]:
    from adapters.mqtt.instructing import instructed  # noqa: PLC0415

    endpoint, topics, key = _door(settings)
    return dict(asyncio.run(instructed(endpoint, topics, key)))


def _door(path: Path) -> tuple[Endpoint, Topics, bytes]:
    """How to reach the broker as the guard's user, and the key that signs instructions."""
    from adapters.clock import SystemClock  # noqa: PLC0415
    from adapters.mqtt.admission import guard_endpoint  # noqa: PLC0415
    from guard.configuration import load  # noqa: PLC0415
    from perpguard_sdk.topics import Topics  # noqa: PLC0415

    broker = load(path).broker
    key = broker.instruction_key()
    if key is None:
        problem = (
            "no key signs what people tell the guard: head -c 32 /dev/urandom | base64 > secrets/instruction.key, "
            "name that file here, and restart perpguard"
        )
        raise SettingsError(str(path), [("broker.instruction_key_file", problem)])
    identifier = f"perpguard-{broker.site}-override-{SystemClock().now() % 10**9}"
    return guard_endpoint(broker, identifier), Topics(site=broker.site, root=broker.root), key


def _now_ms() -> int:
    from adapters.clock import SystemClock  # noqa: PLC0415

    return ms_of(SystemClock().now())


def _at_ms(text: str) -> int:
    """Read a time in UTC; 0 for none."""
    if not text:
        return 0
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        problem = f"{text!r}: write a time in UTC as 2026-11-30T08:00"
        raise SettingsError(WHERE, [("--from", problem)]) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise SettingsError(WHERE, [("--by", "say who you are")]) from None


def _state(instruction: Instruction, now_ms: int, why: str) -> str:
    if why:
        return "refused"
    if instruction.expires_at <= now_ms:
        return "expired"
    if instruction.withdrawn:
        return "withdrawn"
    return "planned" if instruction.starts_at > now_ms else "holds"


def _say(instruction: Instruction, *, as_json: bool) -> None:
    line = {**msgspec.to_builtins(instruction), "state": _state(instruction, _now_ms(), "")}
    if as_json:
        print_json({"ok": True, "instruction": line})
    else:
        typer.echo(_words(line))


def _words(line: dict[str, Any]) -> str:
    if line["state"] == "refused":
        return f"{line['id']}  refused: {line['why']}"
    about = [str(line[name]) for name in ("venue", "market", "account", "bot") if line.get(name)]
    limits = [
        f"{name} {line[name]:g}"
        for name in ("max_size", "max_leverage", "entry_share")
        if line.get(name) is not None
    ]
    named = [*line.get("reasons", ()), *line.get("policies", ())]
    begins = f"from {_time(line['starts_at'])} " if line["state"] == "planned" else ""
    return (
        f"{line['id']}  {line['state']}  {line['kind']}{' even if imminent' if line.get('forced') else ''}: "
        f"{', '.join([*limits, *named, *(about or ['everything'])])}  {begins}until {_time(line['expires_at'])}  "
        f"{line['author']}: {line['reason']}"
    )


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M} UTC"
