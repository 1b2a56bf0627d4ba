"""Made-up markets into files: an episode's events, its truth, a picture and a summary, in one folder.

The one part of the program that writes the truth down; it decides nothing, and nothing that decides knows of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec

from adapters.history.event_file import EventWriter
from adapters.history.event_schema import EventFileHeader, EventFileSpan, Origin
from adapters.simulation.coarse.cache import digest_of
from adapters.simulation.coarse.run import coarse_events
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.picture import Picture
from adapters.simulation.laboratory.truth import BookTruth, LiquidationTruth, MapTruth, PositionsTruth
from adapters.simulation.laboratory.truth_file import FILES, TruthFiles
from adapters.simulation.worlds.anchors import ANCHORS
from adapters.simulation.worlds.measures import Figures, Measures
from adapters.simulation.worlds.report import figure_text
from adapters.simulation.worlds.tag import tag
from guard.errors import FileUnusableError
from guard.events import AnyEvent
from guard.explain_words import duration_words, money_words, utc_words
from guard.tables import UNFINISHED
from guard.units import NS_PER_S

EVENTS, EPISODE, PICTURE, SUMMARY = "events.parquet", "episode.json", "picture.png", "summary.txt"
NAMES = (EVENTS, *FILES, PICTURE, SUMMARY, EPISODE)
"""What a folder holds; the last one says of what it is, and is there only when all are."""

OCTOBER = "october-2025"
PROGRESS_EVENTS = 512


@dataclass(slots=True)
class Liquidations:
    """How much was liquidated, USD, and how often: a position counts once in each minute (of Unix time)."""

    count: int = 0
    longs_usd: float = 0.0
    shorts_usd: float = 0.0
    by: Counter[str] = field(default_factory=Counter)
    """Of one position several may have taken something."""
    _minute: int = 0
    _seen: set[tuple[str | int, ...]] = field(default_factory=set)

    def take(self, truth: LiquidationTruth) -> None:
        """Count one."""
        usd = abs(truth.size) * truth.price
        minute = truth.at_ns // (60 * NS_PER_S)
        if minute != self._minute:
            self._minute, self._seen = minute, set()
        position, by = (truth.market, truth.position), truth.closed_by.value
        self.count += self._is_new(position)
        self.by[by] += self._is_new((*position, by))
        if truth.size > 0.0:
            self.longs_usd += usd
        else:
            self.shorts_usd += usd

    def _is_new(self, name: tuple[str | int, ...]) -> bool:
        is_new = name not in self._seen
        self._seen.add(name)
        return is_new


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What came of an episode; everything in it follows from the episode."""

    episode: Episode
    is_coarse: bool
    tag: str
    span: EventFileSpan
    events: Counter[str]
    liquidations: Liquidations
    figures: Figures


def check_folder(folder: Path, *, force: bool) -> None:
    """See to it that a run may be written there.

    Raises:
        FileUnusableError: another run, or files of such names, are there, and ``force`` is not given.
    """
    if folder.exists() and not folder.is_dir():
        raise FileUnusableError(str(folder), "is no folder: give another name")
    there = [name for name in NAMES if (folder / name).exists()]
    if there and not force:
        raise FileUnusableError(
            str(folder), f"holds another run ({there[0]}): give another folder, or --force to replace it"
        )


def simulate(
    episode: Episode,
    folder: Path,
    *,
    is_coarse: bool = False,
    force: bool = False,
    on_progress: Callable[[float], None] = lambda seconds: None,  # noqa: ARG005 (told, and does nothing with it)
) -> Simulated:
    """Run an episode and write all of it; what raises, Ctrl-C too, leaves the folder as it was.

    Args:
        episode: all of it.
        folder: made if it is not there.
        is_coarse: depth curves in steps of 5 s instead of orders.
        force: replace a run that is there.
        on_progress: told now and then how many seconds of the episode are over.

    Raises:
        ExtraMissingError: pyarrow or matplotlib is not installed.
        FileUnusableError: another run is there, or a file cannot be written.
    """
    check_folder(folder, force=force)
    with _made_aside(folder) as aside:
        simulated = _run(episode, aside, is_coarse=is_coarse, on_progress=on_progress)
        (aside / SUMMARY).write_text(summary_of(simulated), encoding="utf-8")
        (aside / EPISODE).write_bytes(told_of(simulated))
    return simulated


def _run(
    episode: Episode, folder: Path, *, is_coarse: bool, on_progress: Callable[[float], None]
) -> Simulated:
    made_of, counts = tag(), Counter[str]()
    picture, liquidations = Picture(episode), Liquidations()
    measures = Measures(episode) if episode.onset_s is not None else None  # all figures are about an onset
    header = EventFileHeader(
        origin=Origin.SIMULATION,
        software=f"perpguard {version('perpguard')}",
        tag=made_of,
        episode_sha256=digest_of(episode),
    )
    about = {"world": episode.world, "scenario": episode.scenario, "seed": episode.seed, "tag": made_of}
    with EventWriter(folder / EVENTS, header) as writer, TruthFiles(folder, about) as files:
        truth = _Truth(files, picture, liquidations, measures)
        events = coarse_events(episode, truth) if is_coarse else Laboratory(episode, truth).events()
        for number, event in enumerate(events):
            writer.write(event)
            picture.take(event)
            if measures is not None:
                measures.take(event)
            counts[_kind(event)] += 1
            if number % PROGRESS_EVENTS == 0:
                on_progress((event.received_at - episode.start_at_ns) / NS_PER_S)
    on_progress(episode.duration_s)
    picture.draw(folder / PICTURE)
    return Simulated(
        episode=episode,
        is_coarse=is_coarse,
        tag=made_of,
        span=writer.span,
        events=counts,
        liquidations=liquidations,
        figures={} if measures is None else measures.figures(),
    )


@dataclass(frozen=True, slots=True)
class _Truth:
    """Hands the truth to all who take it."""

    files: TruthFiles
    picture: Picture
    liquidations: Liquidations
    measures: Measures | None

    def liquidation(self, truth: LiquidationTruth) -> None:
        self.files.liquidation(truth)
        self.picture.liquidation(truth)
        self.liquidations.take(truth)
        if self.measures is not None:
            self.measures.liquidation(truth)

    def map(self, truth: MapTruth) -> None:
        self.files.map(truth)
        if self.measures is not None:
            self.measures.map(truth)

    def positions(self, truth: PositionsTruth) -> None:
        self.files.positions(truth)
        if self.measures is not None:
            self.measures.positions(truth)

    def book(self, truth: BookTruth) -> None:
        self.files.book(truth)
        if self.measures is not None:
            self.measures.book(truth)


def summary_of(simulated: Simulated) -> str:
    """Tell what came of an episode in plain words; equal episodes give equal words."""
    episode, closed = simulated.episode, simulated.liquidations
    events = ", ".join(f"{count:,} {kind}" for kind, count in sorted(simulated.events.items()))
    lasts = duration_words(round(episode.duration_s * NS_PER_S))
    onset = "none" if episode.onset_s is None else f"{episode.onset_s:,.0f} s after the begin"
    by = ", ".join(f"{count:,} by {name}" for name, count in sorted(closed.by.items())) or "none"
    lines = [
        f"{episode.scenario} in the world {episode.world}, seed {episode.seed}"
        + (", coarse: depth curves, steps of 5 s" if simulated.is_coarse else ", order by order"),
        f"worlds     {simulated.tag}",
        f"symbols    {', '.join(each.symbol for each in episode.symbols)}",
        f"venues     {', '.join(each.venue for each in episode.venues)}",
        f"begins     {utc_words(episode.start_at_ns)}, lasts {lasts}; onset of the stress: {onset}",
        f"events     {simulated.span.events:,}: {events}",
        f"liquidated {closed.count:,} positions, each once a minute: {by}",
        f"           {money_words(closed.longs_usd)} of longs, {money_words(closed.shorts_usd)} of shorts",
        "",
    ]
    if simulated.figures:
        lines.append(_anchors(simulated.figures, is_of_october=episode.scenario == OCTOBER))
    return "\n".join(lines)


def _anchors(figures: Figures, *, is_of_october: bool) -> str:
    """What was measured beside what is published of 10 October 2025: whether one episode lies in the span of it."""
    head = ("published", "here", "in that span") if is_of_october else ("published", "here", "")
    rows = [("of 10 October 2025", *head)]
    for anchor in ANCHORS:
        here = figures.get(anchor.figure)
        if here is not None:
            inside = ("yes" if anchor.low <= here <= anchor.high else "no") if is_of_october else ""
            span = f"{figure_text(anchor.low)} .. {figure_text(anchor.high)}"
            name = f"{anchor.about}: {anchor.symbols} ({anchor.unit})"
            rows.append((name, span, figure_text(here), inside))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    return "".join(
        f"{name:<{widths[0]}}  {span:>{widths[1]}}  {here:>{widths[2]}}  {inside}".rstrip() + "\n"
        for name, span, here, inside in rows
    )


def told_of(simulated: Simulated) -> bytes:
    """Tell what ``episode.json`` holds: all parameters of the episode and what came of it."""
    told = {
        "software": f"perpguard {version('perpguard')}",
        "tag": simulated.tag,
        "is_coarse": simulated.is_coarse,
        "events": simulated.span.events,
        "figures": {figure.value: value for figure, value in simulated.figures.items()},
        "episode_sha256": digest_of(simulated.episode),
        "episode": msgspec.to_builtins(simulated.episode),
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


@contextmanager
def _made_aside(folder: Path) -> Iterator[Path]:
    """Give a folder beside ``folder`` to write into; its files are moved when all are there, ``EPISODE`` last."""
    aside = folder.with_name(folder.name + UNFINISHED)
    try:
        aside.mkdir(parents=True, exist_ok=True)
        _clear(aside)
        yield aside
        folder.mkdir(exist_ok=True)
        (folder / EPISODE).unlink(missing_ok=True)
        for name in NAMES:
            (aside / name).replace(folder / name)
    except OSError as error:
        raise FileUnusableError(str(folder), f"cannot be written: {error.strerror or error}") from error
    finally:
        if aside.is_dir():
            _clear(aside)
            if not any(aside.iterdir()):
                aside.rmdir()


def _clear(aside: Path) -> None:
    """Take away what a run that was killed has left; nothing else."""
    for name in NAMES:
        for each in (aside / name, aside / (name + UNFINISHED)):
            each.unlink(missing_ok=True)


def _kind(event: AnyEvent) -> str:
    return str(type(event).__struct_config__.tag)
