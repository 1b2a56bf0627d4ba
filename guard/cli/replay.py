"""The command that runs the guard over a file of events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from guard.cli.progress import progress
from guard.cli.shared import DEFAULT_SETTINGS, SettingsOption, errors_told


def replay(
    file: Annotated[Path, typer.Argument(help="The event file, as perpguard simulate writes it.")],
    series: Annotated[
        Path | None,
        typer.Option("--series", help="Where to write what was known of each market, in Parquet."),
    ] = None,
    settings: SettingsOption = DEFAULT_SETTINGS,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where to write the summary for programs.")
    ] = None,
    every: Annotated[
        float, typer.Option("--every", min=0.05, max=86_400.0, help="Seconds between two rows of a market.")
    ] = 1.0,
    memory: Annotated[
        Path | None,
        typer.Option("--memory", help="What estimators had learned before: a guard's NAME.outlook file."),
    ] = None,
) -> None:
    """Judge a file of events as if it happened now: same engine, same policies, as fast as the machine goes."""
    with errors_told():
        from adapters.history.event_file import EventFile  # noqa: PLC0415 (each command loads only what it needs)
        from adapters.history.series_file import check_replaceable  # noqa: PLC0415
        from guard.configuration import load  # noqa: PLC0415
        from guard.remembering import remembered_in  # noqa: PLC0415
        from guard.replay.report import lines_of  # noqa: PLC0415
        from guard.replay.run import Replay  # noqa: PLC0415

        loaded = load(settings)
        events = EventFile(file)
        if series is not None:
            check_replaceable(series)
        with progress("replaying", events.span.events) as tell:
            remembered = None if memory is None else remembered_in(memory)
            report = Replay(loaded, events, every_s=every, on_progress=tell, memory=remembered).run(series)
        if json_file is not None:
            json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    for line in lines_of(report):
        typer.echo(line)
    if series is not None:
        typer.echo(f"{report.rows:,} rows: {series}")
