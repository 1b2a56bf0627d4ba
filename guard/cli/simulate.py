"""The command that makes markets up."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import Annotated

import typer

from guard.cli.progress import progress
from guard.cli.shared import WIDTH_MAX, JsonOption, errors_told, print_json

ListOption = Annotated[bool, typer.Option("--list", help="Say which worlds and scenarios there are.")]


def simulate(
    scenario: Annotated[
        str, typer.Option(help="What happens; --list says which there are.")
    ] = "october-2025",
    seed: Annotated[int, typer.Option(help="The same seed makes the same market.", min=0)] = 7,
    out: Annotated[Path | None, typer.Option("--out", help="The folder for all files of the run.")] = None,
    world: Annotated[
        str | None, typer.Option(help="How the market works; left out, the first listed.")
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(help="Some of the symbols, as BTCUSDT,SOLUSDT; left out, all.")
    ] = None,
    venues: Annotated[
        str | None, typer.Option(help="Some of the venues, as binanceusdm,bybit; left out, all.")
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            help="How long it lasts; left out, as the scenario says. Of a scenario with an onset, the calm before it "
            "becomes shorter or longer in proportion; what follows takes its own time, and ends where the hours do.",
            min=0.001,
        ),
    ] = None,
    coarse: Annotated[
        bool,
        typer.Option("--coarse", help="Depth curves in steps of 5 s instead of orders: faster, rougher."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is in the folder.")] = False,
    show: ListOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make up a market whose truth is known: events to replay, everyone's positions, and a picture."""
    with errors_told(as_json=as_json):
        if show:
            _list(as_json=as_json)
            return
        if out is None:
            raise typer.BadParameter("give the folder for the files of the run", param_hint="--out")
        from adapters.simulation.worlds.drawing import draw_episode  # noqa: PLC0415
        from adapters.simulation.worlds.variants import WORLDS  # noqa: PLC0415
        from guard.extras import need  # noqa: PLC0415 (each command loads only what it needs)

        for library in ("pyarrow", "matplotlib"):
            need(library, extra="lab")
        try:
            episode = draw_episode(
                world or next(iter(WORLDS)),
                scenario,
                seed,
                symbols=_names(symbols),
                venues=_names(venues),
                duration_s=None if hours is None else hours * 3600.0,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        from guard.simulating import simulate as simulate_into  # noqa: PLC0415
        from guard.simulating import summary_of, told_of  # noqa: PLC0415

        began = time.perf_counter()
        with progress("simulating", episode.duration_s) as tell:
            simulated = simulate_into(episode, out, is_coarse=coarse, force=force, on_progress=tell)
        took_s = time.perf_counter() - began
    if as_json:
        typer.echo(told_of(simulated).decode().rstrip())
        return
    typer.echo(summary_of(simulated))
    typer.echo(
        f"{out}: made in {took_s:,.1f} s, {episode.duration_s / took_s:,.0f} times as fast as it lasts"
    )


def _names(told: str | None) -> list[str] | None:
    return None if told is None else [name.strip() for name in told.split(",") if name.strip()]


def _list(*, as_json: bool) -> None:
    from adapters.simulation.worlds.ranges import SYMBOLS, VENUES  # noqa: PLC0415
    from adapters.simulation.worlds.scenarios import SCENARIOS  # noqa: PLC0415
    from adapters.simulation.worlds.tag import tag  # noqa: PLC0415
    from adapters.simulation.worlds.variants import WORLDS  # noqa: PLC0415

    if as_json:
        listed = {"scenarios": list(SCENARIOS), "worlds": list(WORLDS)}
        print_json({**listed, "symbols": list(SYMBOLS), "venues": list(VENUES), "tag": tag()})
        return
    for what, entries in (("scenarios", SCENARIOS), ("worlds", WORLDS)):
        typer.echo(what)
        for name, entry in entries.items():
            typer.echo(
                textwrap.fill(
                    entry.about, WIDTH_MAX, initial_indent=f"  {name:<14} ", subsequent_indent=" " * 17
                )
            )
    typer.echo(f"symbols: {', '.join(SYMBOLS)}")
    typer.echo(f"venues: {', '.join(VENUES)}")
    typer.echo(f"all of it by its hash: {tag()}")
