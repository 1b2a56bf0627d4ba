"""How fast event files are written, read and replayed: events a CPU second, beside other ways to keep the same events.

The events are those of a made-up market in the laboratory, one symbol at one venue in a calm hour: samples of the book,
mark prices, what streams delivered. What is read must be what was written, or the benchmark fails.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from adapters.history.event_file import EventFile, EventWriter, read_events
from adapters.history.event_schema import EventFileHeader, Origin
from adapters.simulation.laboratory.laboratory import Laboratory
from adapters.simulation.worlds.drawing import draw_episode
from benchmarks._frame import Better, Options, Result, interleave, main, result_of
from guard.configuration import Settings
from guard.events import AnyEvent
from guard.replay.run import Replay

HOURS, HOURS_QUICK = 1.5, 0.5
READ_TARGET = 200_000.0


def measure(options: Options) -> list[Result]:
    """Write, read and replay the same events."""
    hours = HOURS_QUICK if options.quick else HOURS
    episode = draw_episode(
        "volatility",
        "calm",
        options.seed,
        symbols=["BTCUSDT"],
        venues=["binanceusdm"],
        duration_s=hours * 3600.0,
    )
    events = list(Laboratory(episode).events())
    with tempfile.TemporaryDirectory() as folder:
        path, lines = Path(folder) / "events.parquet", Path(folder) / "events.jsonl"
        cases: dict[str, Callable[[], float]] = {
            "write": lambda: _rate(len(events), lambda: write(path, events)),
            "read": lambda: _rate(len(events), lambda: read(path)),
            "write lines": lambda: _rate(len(events), lambda: write_lines(lines, events)),
            "read lines": lambda: _rate(len(events), lambda: read_lines(lines)),
            "read rows": lambda: _rate(len(events), lambda: read_rows(path)),
            "replay": lambda: _rate(len(events), lambda: Replay(Settings(), EventFile(path)).run()),
        }
        write(path, events)
        write_lines(lines, events)
        if list(read_events(path)) != events or list(lines_of(lines)) != events:
            raise SystemExit("what was read is not what was written")
        samples = interleave(cases, options)
        bytes_each = {
            name: each.stat().st_size / len(events) for name, each in (("ours", path), ("lines", lines))
        }
    medians = {name: sorted(values)[len(values) // 2] for name, values in samples.items()}
    case = f"{len(events):,} events, {hours:g} h of one market"
    more = Better.HIGHER
    return [
        result_of(
            "read",
            case,
            samples["read"],
            "events/s",
            better=more,
            target=READ_TARGET,
            baselines={
                "JSON lines (msgspec)": medians["read lines"],
                "the same file as rows (pyarrow)": medians["read rows"],
            },
        ),
        result_of(
            "write",
            case,
            samples["write"],
            "events/s",
            better=more,
            baselines={"JSON lines (msgspec)": medians["write lines"]},
        ),
        result_of(
            "size", case, [bytes_each["ours"]], "bytes/event", baselines={"JSON lines": bytes_each["lines"]}
        ),
        result_of("replay", case, samples["replay"], "events/s", better=more),
        result_of(
            "replay, times as fast as it came",
            case,
            [value * hours * 3600.0 / len(events) for value in samples["replay"]],
            "times",
            better=more,
        ),
    ]


def write(path: Path, events: list[AnyEvent]) -> None:
    with EventWriter(path, EventFileHeader(origin=Origin.SIMULATION, software="benchmark")) as writer:
        for event in events:
            writer.write(event)


def read(path: Path) -> None:
    for _ in read_events(path):
        pass


def write_lines(path: Path, events: list[AnyEvent]) -> None:
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        file.writelines(encode(event) + b"\n" for event in events)


def lines_of(path: Path) -> Iterator[AnyEvent]:
    decode = msgspec.json.Decoder(AnyEvent).decode
    with path.open("rb") as file:
        for line in file:
            yield decode(line)


def read_lines(path: Path) -> None:
    for _ in lines_of(path):
        pass


def read_rows(path: Path) -> None:
    file = pq.ParquetFile(path)
    for batch in file.iter_batches(batch_size=16_384):
        for _ in batch.to_pylist():
            pass


def _rate(count: int, work: Callable[[], object]) -> float:
    """Events a CPU second, of all threads."""
    began = time.process_time()
    work()
    return count / (time.process_time() - began)


if __name__ == "__main__":
    sys.exit(main("event_file", measure))
