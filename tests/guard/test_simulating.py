"""A made-up market in files: the same episode twice gives equal bytes of everything, and so does its replay."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from adapters.history.event_file import EventFile, EventWriter
from adapters.simulation.laboratory.parameters import Episode
from adapters.simulation.laboratory.truth import ClosedBy, LiquidationTruth
from adapters.simulation.worlds.drawing import draw_episode
from adapters.simulation.worlds.scenarios import SCENARIOS
from adapters.simulation.worlds.tag import tag
from adapters.simulation.worlds.variants import WORLDS
from guard.cli import cli
from guard.configuration import Settings
from guard.errors import FileUnusableError
from guard.replay.run import Replay
from guard.simulating import EPISODE, EVENTS, NAMES, Liquidations, Simulated, simulate, summary_of
from guard.units import NS_PER_S, MarketId

SETTINGS = Settings.model_validate({"baseline": {"warm_up_s": 10.0, "recover_ms": 1_000}})
BTC, WIF = MarketId("bybit:BTC/USDT:USDT"), MarketId("bybit:WIF/USDT:USDT")


def episode(seed: int = 7, duration_s: float = 60.0) -> Episode:
    return draw_episode(
        "volatility", "minute", seed, symbols=["BTCUSDT", "WIFUSDT"], venues=["bybit"], duration_s=duration_s
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Simulated]:
    folder = tmp_path_factory.mktemp("simulating") / "run"
    return folder, simulate(episode(), folder)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_episode_gives_the_same_bytes(run: tuple[Path, Simulated], tmp_path: Path) -> None:
    simulate(episode(), tmp_path / "again")
    first, again = bytes_of(run[0]), bytes_of(tmp_path / "again")
    assert sorted(first) == sorted(NAMES)
    assert first == again


def test_its_events_are_replayed_the_same_each_time(run: tuple[Path, Simulated], tmp_path: Path) -> None:
    folder, simulated = run
    reports = [
        Replay(SETTINGS, EventFile(folder / EVENTS)).run(tmp_path / name) for name in ("first", "again")
    ]
    assert (tmp_path / "first").read_bytes() == (tmp_path / "again").read_bytes()
    assert reports[0].decisions_hash == reports[1].decisions_hash
    assert reports[0].events == simulated.span.events
    rows = pq.read_table(tmp_path / "first").to_pylist()
    assert {row["market"] for row in rows} == {BTC, WIF}
    assert {row["trust"] for row in rows if row["at"] >= simulated.episode.start_at_ns + 5 * NS_PER_S} == {
        "trusted"
    }


def test_a_run_says_of_what_it_is(run: tuple[Path, Simulated]) -> None:
    folder, simulated = run
    told = msgspec.json.decode((folder / EPISODE).read_bytes())
    assert msgspec.convert(told["episode"], Episode, strict=False) == simulated.episode
    assert (told["tag"], told["is_coarse"], told["events"]) == (tag(), False, simulated.span.events)
    header = EventFile(folder / EVENTS).header
    assert (header.tag, header.episode_sha256) == (tag(), told["episode_sha256"])
    summary = (folder / "summary.txt").read_text()
    assert summary == summary_of(simulated)
    assert "minute in the world volatility, seed 7, order by order" in summary
    assert f"{simulated.span.events:,}" in summary


def test_events_tell_nothing_of_what_made_them(run: tuple[Path, Simulated]) -> None:
    """Whoever is to find out from the events what happens is not given it beside them."""
    metadata = pq.ParquetFile(run[0] / EVENTS).schema_arrow.metadata
    header = msgspec.json.decode(metadata[b"perpguard.events"])
    assert set(header) <= {"version", "order", "origin", "software", "tag", "episode_sha256"}
    told = b"".join(metadata.values())
    episode_told = msgspec.to_builtins(run[1].episode)
    assert [name for name in episode_told if f'"{name}"'.encode() in told] == []
    assert b"volatility" not in told
    assert b"minute" not in told


def test_the_truth_is_no_file_of_events(run: tuple[Path, Simulated]) -> None:
    for name in NAMES:
        if name.endswith(".parquet") and name != EVENTS:
            with pytest.raises(FileUnusableError, match="not one of events of perpguard"):
                EventFile(run[0] / name)


def test_truth_and_events_are_of_the_same_market(run: tuple[Path, Simulated]) -> None:
    folder, simulated = run
    closed = pq.read_table(folder / "liquidations.parquet").to_pylist()
    minutes = {(row["at"] // (60 * NS_PER_S), row["market"], row["position"]) for row in closed}
    by = {(row["at"] // (60 * NS_PER_S), row["market"], row["position"], row["closed_by"]) for row in closed}
    assert len(minutes) == simulated.liquidations.count > 0
    assert len(by) == simulated.liquidations.by.total()
    longs = sum(row["size"] * row["price"] for row in closed if row["size"] > 0.0)
    assert longs == pytest.approx(simulated.liquidations.longs_usd)
    positions = pq.read_table(folder / "positions.parquet").to_pylist()
    assert {row["market"] for row in positions} == {BTC, WIF}
    known = {(row["market"], row["position"]) for row in positions}
    assert any((row["market"], row["position"]) in known for row in closed)
    times = [row["at"] for row in pq.read_table(folder / "books.parquet").to_pylist()]
    assert times[0] == simulated.episode.start_at_ns


def test_a_position_is_counted_once_a_minute() -> None:
    counted = Liquidations()
    told = (
        (0, 1, ClosedBy.BOOK),
        (59, 1, ClosedBy.BOOK),
        (59, 1, ClosedBy.INSURANCE),
        (60, 1, ClosedBy.BOOK),
    )
    for at_s, position, closed_by in (*told, (60, 2, ClosedBy.BOOK)):
        counted.take(
            LiquidationTruth(
                at_ns=at_s * NS_PER_S,
                market=BTC,
                position=position,
                size=-1.0,
                price=2.0,
                bankruptcy_price=2.0,
                leverage=10.0,
                closed_by=closed_by,
            )
        )
    assert (counted.count, counted.by) == (3, {"book": 3, "insurance": 1})
    assert counted.shorts_usd == 10.0


def test_another_run_is_not_written_over_unless_asked(run: tuple[Path, Simulated], tmp_path: Path) -> None:
    """Nor is anything else that is in the folder; what a killed run has left is in nobody's way."""
    folder = shutil.copytree(run[0], tmp_path / "run")
    (folder / "notes.txt").write_text("mine")
    (tmp_path / "run.unfinished").mkdir()
    (tmp_path / "run.unfinished/events.parquet.unfinished").write_bytes(b"PAR1")
    before = bytes_of(folder)
    with pytest.raises(FileUnusableError, match="holds another run"):
        simulate(episode(2, 2.0), folder)
    assert bytes_of(folder) == before
    simulate(episode(2, 2.0), folder, force=True)
    after = bytes_of(folder)
    assert {name for name in NAMES if after[name] == before[name]} == set()
    assert after["notes.txt"] == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_is_broken_off_leaves_the_folder_as_it_was(
    run: tuple[Path, Simulated], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(run[0], tmp_path / "run")

    def interrupted(self: EventWriter, event: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EventWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(episode(2, 2.0), folder, force=True)
    assert bytes_of(folder) == bytes_of(run[0])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(FileUnusableError, match="is no folder"):
        simulate(episode(1, 2.0), tmp_path / "run")


def commanded(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["simulate", *map(str, words)])
    return done.exit_code, done.output


def test_the_command_simulates_coarsely_and_tells_what_came_of_it(tmp_path: Path) -> None:
    words = ("--scenario", "fall", "--seed", 3, "--symbols", "BTCUSDT, WIFUSDT", "--venues", "bybit")
    code, output = commanded(*words, "--hours", 0.3, "--coarse", "--out", tmp_path / "run")
    assert code == 0, output
    assert (tmp_path / "run/summary.txt").read_text() in output
    assert "fall in the world volatility, seed 3, coarse" in output
    assert "lowest price beside that at the onset: BTC (ratio)" in output
    assert msgspec.json.decode((tmp_path / "run" / EPISODE).read_bytes())["is_coarse"] is True
    code, output = commanded(*words, "--out", tmp_path / "run")
    assert (code, "holds another run" in output) == (1, True)


def test_the_command_names_what_there_is() -> None:
    code, output = commanded("--list")
    assert code == 0
    assert [name for name in (*SCENARIOS, *WORLDS, tag()) if name not in output] == []
    code, output = commanded("--list", "--json")
    listed = msgspec.json.decode(output)
    assert (code, listed["tag"], listed["worlds"]) == (0, tag(), list(WORLDS))


def test_the_command_tells_programs_what_the_file_of_the_episode_holds(tmp_path: Path) -> None:
    code, output = commanded(
        *("--scenario", "minute", "--symbols", "BTCUSDT", "--coarse", "--json", "--out", tmp_path / "run")
    )
    assert code == 0
    assert msgspec.json.decode(output) == msgspec.json.decode((tmp_path / "run" / EPISODE).read_bytes())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scenario", "quake"), "choose one of calm"),
        (("--world", "flat"), "choose one of volatility"),
        (("--symbols", "DOGEUSDT"), "choose one of BTCUSDT"),
        (("--symbols", ","), "needs one or more symbols"),
    ],
)
def test_the_command_says_what_it_does_not_know(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    code, output = commanded(*words, "--out", tmp_path / "run")
    assert code == 2
    assert said in " ".join(output.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


def test_the_command_says_what_other_hours_change() -> None:
    """The onset comes sooner with fewer: what a run of an hour shows is not the first hour of a longer one."""
    whole, half = episode(duration_s=60.0), episode(duration_s=30.0)
    assert whole.onset_s is not None
    assert half.onset_s == pytest.approx(whole.onset_s / 2, rel=1e-4)
    code, output = commanded("--help")
    assert code == 0
    assert "shorter or longer in proportion" in " ".join(output.replace("│", " ").split())


def test_the_command_asks_for_a_folder() -> None:
    code, output = commanded()
    assert (code, "--out" in output) == (2, True)


def test_without_its_libraries_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, output = commanded("--scenario", "minute", "--out", tmp_path / "run")
    assert (code, "matplotlib is not installed: pip install 'perpguard[lab]'" in output) == (1, True)
    assert list(tmp_path.iterdir()) == []
