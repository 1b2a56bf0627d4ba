"""The command that tells each account's own side: where it is liquidated, how far and how long that is."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from guard.account.overview import Overview, overview_of
from guard.account.risk import AccountRisk
from guard.audit import Step
from guard.cli.account_words import LEGS_SHOWN, account_lines, overview_lines, time_words
from guard.cli.shared import (
    DEFAULT_SETTINGS,
    EXIT_FAILED,
    WIDTH_MAX,
    JsonOption,
    SettingsOption,
    audit_path,
    errors_told,
    print_json,
)
from guard.explain_words import utc_words
from guard.ports import StoredRecord
from guard.units import NS_PER_S, AccountId, Nanoseconds

NOTHING = (
    "No account has been assessed yet. The guard assesses accounts that hold a position: run it (`perpguard run`) with "
    "a read-only key for the account ([venues.accounts.NAME] in the settings), or with a bot that reports its "
    "positions. `perpguard doctor` says what it can see."
)

UNSEEN_NS = 60 * NS_PER_S
"""Accounts are read every few seconds, and bots report as often: after a minute without either it is said."""
OLD_NS = 600 * NS_PER_S
"""Assessments are recorded at least every five minutes while a position is held: twice that is too old."""


def accounts(
    audit: Annotated[Path | None, typer.Option("--audit", help="The audit database.")] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Only this one: VENUE:NAME or NAME.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every position, not only the nearest.")] = False,
    settings: SettingsOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
) -> None:
    """Say of each account where it is liquidated, by how much and how soon, and who holds what.

    As last assessed, which the record holds: nothing is asked of a venue, and it may run beside the guard.
    """
    with errors_told(as_json=as_json):
        from adapters.clock import SystemClock  # noqa: PLC0415
        from adapters.storage.reader import SqliteAuditReader  # noqa: PLC0415

        place = audit_path(audit, settings)

        async def read() -> list[StoredRecord]:
            async with await SqliteAuditReader.open(place) as reader:
                return await reader.last_assessments()

        latest = latest_of(asyncio.run(read()))
        now = SystemClock().now()
    found = [(number, risk) for number, risk in latest if account in (None, *_names(risk))]
    if account is not None and not found:
        names = ", ".join(str(risk.account) for _, risk in latest) or "none"
        typer.echo(f"perpguard: no assessment of {account!r} in {place}; there are: {names}", err=True)
        raise typer.Exit(EXIT_FAILED)
    overview = overview_of(risk for _, risk in found)
    if as_json:
        told = [
            {"record": number, "age_s": _age_ns(risk, now) / NS_PER_S, **msgspec.to_builtins(risk)}
            for number, risk in found
        ]
        print_json(
            {"ok": True, "audit": str(place), "overview": msgspec.to_builtins(overview), "accounts": told}
        )
        return
    width = min(Console().width, WIDTH_MAX)
    for line in report_lines(found, overview, now, legs_max=None if everything else LEGS_SHOWN):
        indent = line[: len(line) - len(line.lstrip(" "))] + "    "
        typer.echo(textwrap.fill(line, width, subsequent_indent=indent) if line.strip() else "")


def latest_of(stored: Iterable[StoredRecord]) -> list[tuple[int, AccountRisk]]:
    """The latest assessment of each account with the number of its record, by name; ``stored`` is newest first."""
    found: dict[AccountId, tuple[int, AccountRisk]] = {}
    for each in stored:
        if isinstance(each.record, Step):
            for risk in each.record.assessed:
                found.setdefault(risk.account, (each.number, risk))
    return [found[name] for name in sorted(found)]


def report_lines(
    found: Sequence[tuple[int, AccountRisk]], overview: Overview, now: Nanoseconds, *, legs_max: int | None
) -> Iterator[str]:
    """The whole report."""
    if not found:
        yield NOTHING
        return
    yield from overview_lines(overview)
    for number, risk in found:
        yield ""
        yield from _dated(number, risk, now)
        held = [each for each in overview.held if each.account == risk.account]
        yield from account_lines(risk, held, legs_max=legs_max)


def _dated(number: int, risk: AccountRisk, now: Nanoseconds) -> Iterator[str]:
    age_ns = _age_ns(risk, now)
    yield f"As of {utc_words(risk.at)}, {_age_words(age_ns / NS_PER_S)} ago (record {number}):"
    if age_ns > OLD_NS:
        yield (
            "  THIS IS OLD. The guard does not run, or does not see this account any more: all that follows "
            "may be otherwise by now."
        )
    unseen_ns = 0 if risk.told_at is None else risk.at - risk.told_at
    if unseen_ns > UNSEEN_NS:
        yield (
            f"  WHAT IT HOLDS WAS LAST TOLD {_age_words(unseen_ns / NS_PER_S).upper()} BEFORE THAT: the account could "
            "not be seen any more, and only prices are of then."
        )


def _age_words(age_s: float) -> str:
    return time_words(age_s) if age_s < 172_800.0 else f"{age_s / 86_400.0:,.0f} days"


def _age_ns(risk: AccountRisk, now: Nanoseconds) -> Nanoseconds:
    return max(now - risk.at, 0)


def _names(risk: AccountRisk) -> tuple[str, str]:
    return risk.account, risk.account.partition(":")[2]
