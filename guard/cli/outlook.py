"""The command that tells what is estimated of each market: map, reach, hazards, state, and how well that has done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from guard.audit import Step
from guard.cli.account_words import time_words
from guard.cli.outlook_words import outlook_lines, table_lines, worst_first
from guard.cli.shared import (
    DEFAULT_SETTINGS,
    EXIT_FAILED,
    JsonOption,
    SettingsOption,
    audit_path,
    errors_told,
    print_json,
)
from guard.explain_words import utc_words
from guard.forecasts import MarketOutlook, SkillScore
from guard.ports import StoredRecord
from guard.units import NS_PER_S, MarketId, Nanoseconds, symbol_of

NOTHING = (
    "No outlook has been recorded yet. The guard records one of each market a minute after it has begun to see it: run "
    "it (perpguard run), with outlook.enabled. `perpguard doctor` says what it can see."
)
OLD_S = 1_800.0
"""Each market is recorded every minute, of hundreds each every few minutes."""


def outlook(
    market: Annotated[
        str | None,
        typer.Argument(help="VENUE:SYMBOL, SYMBOL, or a coin as BTC; left out, a line for each market."),
    ] = None,
    audit: Annotated[Path | None, typer.Option("--audit", help="The audit database.")] = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Say what is estimated of each market: others' liquidations, how far a cascade goes, how likely, and its state.

    As last recorded: nothing is asked of a venue, and it may run beside the guard.
    """
    with errors_told(as_json=as_json):
        from adapters.clock import SystemClock  # noqa: PLC0415
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415

        place = audit_path(audit, settings)

        async def read() -> list[StoredRecord]:
            async with await SqliteAuditReader.open(place) as reader:
                return await reader.last_outlooks()

        latest = latest_of(asyncio.run(read()))
        now = SystemClock().now()
    found = worst_first([each for each in latest if market is None or is_named(each[1].market, market)])
    if market is not None and not found:
        names = ", ".join(str(each.market) for _, each in latest) or "none"
        message = f"no outlook of {market!r} in {place}; there are: {names}"
        if as_json:
            print_json({"ok": False, "error": "UnknownMarket", "message": message, "problems": []})
        typer.echo(f"perpguard: {message}", err=True)
        raise typer.Exit(EXIT_FAILED)
    if as_json:
        told = [
            {"record": number, "age_s": max(now - each.at, 0) / NS_PER_S, **msgspec.to_builtins(each)}
            for number, each in found
        ]
        print_json({"ok": True, "audit": str(place), "outlooks": told})
        return
    if not found:
        typer.echo(NOTHING)
        return
    for line in _table(found, now) if market is None else _whole(found, now):
        typer.echo(line)


def _table(found: Sequence[tuple[int, MarketOutlook]], now: Nanoseconds) -> Iterator[str]:
    """A line for each market."""
    yield from table_lines([each for _, each in found])
    latest_at = max(each.at for _, each in found)
    age_s = max(now - latest_at, 0) / NS_PER_S
    yield f"As of {utc_words(latest_at)} and before, {time_words(age_s)} ago."
    if age_s > OLD_S:
        yield "THIS IS OLD: the guard does not run, or watches none of these markets any more."


def _whole(found: Sequence[tuple[int, MarketOutlook]], now: Nanoseconds) -> Iterator[str]:
    """All of it, market by market."""
    for number, each in found:
        age_s = max(now - each.at, 0) / NS_PER_S
        yield f"{each.market}"
        yield f"As of {utc_words(each.at)}, {time_words(age_s)} ago (record {number})."
        if age_s > OLD_S:
            yield "THIS IS OLD: the guard does not run, or does not watch this market any more."
        yield from outlook_lines(each)
        yield ""


def latest_of(stored: Iterable[StoredRecord]) -> list[tuple[int, MarketOutlook]]:
    """The latest outlook of each market with the number of its record, by name; ``stored`` is newest first.

    How estimators have done is the same for all markets and stands once in a record.
    """
    found: dict[MarketId, tuple[int, MarketOutlook]] = {}
    skill: tuple[SkillScore, ...] = ()
    for each in stored:
        if isinstance(each.record, Step):
            for told in each.record.outlooks:
                found.setdefault(told.market, (each.number, told))
                skill = skill or told.skill
    return [
        (number, told if told.skill else msgspec.structs.replace(told, skill=skill))
        for _, (number, told) in sorted(found.items())
    ]


def is_named(market: MarketId, name: str) -> bool:
    """Whether somebody who says ``name`` means this market.

    >>> btc = MarketId("bybit:BTC/USDT:USDT")
    >>> [is_named(btc, each) for each in ("bybit:BTC/USDT:USDT", "BTC/USDT:USDT", "btc", "ETH")]
    [True, True, True, False]
    """
    symbol = symbol_of(market)
    return name.upper() in {market.upper(), symbol.upper(), symbol.partition("/")[0].upper()}
