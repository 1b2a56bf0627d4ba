"""The commands for facts from outside of all markets: tell one, take one back, list them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

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
    from perpguard_sdk.messages import OutsideFact
    from perpguard_sdk.topics import Topics

commands = typer.Typer(
    help="Facts from outside of all markets (flows of funds, balances of exchanges), which weigh as priors.",
    no_args_is_help=True,
)

UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,6})([mhd])")

NameArgument = Annotated[str, typer.Argument(help="Small letters, digits and _, e.g. etf_net_flow_usd.")]


def span_ms(text: str) -> int:
    """Read a length of time: 90m, 36h, 2d.

    Raises:
        SettingsError: it is none.

    >>> span_ms("36h")
    129600000
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise SettingsError("perpguard outside", [("--for", f"{text!r}: write 90m, 36h or 2d")])
    return int(found[1]) * UNITS_S[found[2]] * 1_000


@commands.command("set", context_settings={"ignore_unknown_options": True})
def set_fact(
    name: NameArgument,
    value: Annotated[str, typer.Argument(help="A number, in --unit.")],
    unit: Annotated[str, typer.Option(help="Of the value, e.g. usd.")],
    source: Annotated[str, typer.Option(help="Where it comes from.")],
    for_: Annotated[str, typer.Option("--for", help="How long it holds: 90m, 36h, 2d; 7d at most.")] = "36h",
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Tell the guard a fact; it holds until it expires, or is told anew or taken back."""
    with errors_told(as_json=as_json):
        try:
            number = float(value)
        except ValueError:
            raise SettingsError("perpguard outside", [("VALUE", f"{value!r} is no number")]) from None
        fact = _publish(settings, name, number, unit, source, span_ms(for_))
    _say(fact, as_json=as_json)


@commands.command("clear")
def clear_fact(
    name: NameArgument, settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False
) -> None:
    """Take back what was told under a name."""
    with errors_told(as_json=as_json):
        fact = _publish(settings, name, None, "none", "taken back", span_ms("7d"))
    _say(fact, as_json=as_json)


@commands.command("list")
def list_facts(settings: SettingsOption = DEFAULT_SETTINGS, as_json: JsonOption = False) -> None:
    """List what is told now, what has expired, and what could not be believed."""
    with errors_told(as_json=as_json):
        from adapters.clock import SystemClock  # noqa: PLC0415 (each command loads what it needs)
        from adapters.mqtt.outside import problem_of, told  # noqa: PLC0415

        endpoint, topics, key = _door(settings)
        found = asyncio.run(told(endpoint, topics, key))
    now_ms = ms_of(SystemClock().now())
    lines: list[dict[str, object]] = []
    for name, fact in found.items():
        if isinstance(fact, str):
            lines.append({"name": name, "state": "refused", "why": fact})
            continue
        expired = fact.expires_at <= now_ms
        why = "" if expired else problem_of(fact, name, now_ms)
        state = (
            "refused" if why else "expired" if expired else "taken back" if fact.value is None else "holds"
        )
        lines.append({**msgspec.to_builtins(fact), "name": name, "state": state, "why": why})
    if as_json:
        print_json(lines)
    else:
        for line in lines or [{"name": "no facts from outside are told", "state": ""}]:
            typer.echo(_words(line, now_ms))
    if any(line["state"] == "refused" for line in lines):
        raise typer.Exit(EXIT_FAILED)


def _publish(
    settings: Path, name: str, value: float | None, unit: str, source: str, for_ms: int
) -> OutsideFact:
    from adapters.clock import SystemClock  # noqa: PLC0415
    from adapters.mqtt.outside import problem_of, tell  # noqa: PLC0415
    from perpguard_sdk.messages import OutsideFact  # noqa: PLC0415

    now_ms = ms_of(SystemClock().now())
    fact = OutsideFact(
        name=name, value=value, unit=unit, source=source, ts=now_ms, expires_at=now_ms + for_ms
    )
    if problem := problem_of(fact, name, now_ms):
        raise SettingsError("perpguard outside", [("fact", problem)])
    endpoint, topics, key = _door(settings)
    asyncio.run(tell(endpoint, topics, key, fact))
    return fact


def _door(path: Path) -> tuple[Endpoint, Topics, bytes]:
    """How to reach the broker as the guard's user, and the key that signs facts."""
    from adapters.clock import SystemClock  # noqa: PLC0415
    from adapters.mqtt.admission import guard_endpoint  # noqa: PLC0415
    from guard.configuration import load  # noqa: PLC0415
    from perpguard_sdk.topics import Topics  # noqa: PLC0415

    broker = load(path).broker
    key = broker.outside_key()
    if key is None:
        problem = (
            "no key signs facts from outside: head -c 32 /dev/urandom | base64 > secrets/outside.key, name that "
            "file here, and restart perpguard"
        )
        raise SettingsError(str(path), [("broker.outside_key_file", problem)])
    identifier = f"perpguard-{broker.site}-outside-{SystemClock().now() % 10**9}"
    return guard_endpoint(broker, identifier), Topics(site=broker.site, root=broker.root), key


def _say(fact: OutsideFact, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": True, "fact": msgspec.to_builtins(fact)})
    elif fact.value is None:
        typer.echo(f"{fact.name} is taken back")
    else:
        hours = (fact.expires_at - fact.ts) / 3_600_000
        typer.echo(f"{fact.name} = {fact.value:g} {fact.unit} ({fact.source}), for {hours:g} h")


def _words(line: dict[str, object], now_ms: int) -> str:
    if line["state"] not in ("holds", "expired"):
        return "  ".join(str(each) for each in (line["name"], line["state"], line.get("why", "")) if each)
    expires_at = line["expires_at"]
    assert isinstance(expires_at, int)
    left_h = (expires_at - now_ms) / 3_600_000
    when = f"for {left_h:.1f} h more" if left_h > 0.0 else f"expired {-left_h:.1f} h ago"
    return f"{line['name']}  {line['value']:g} {line['unit']}  {when}  ({line['source']})"
