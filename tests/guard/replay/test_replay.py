"""The same engine over a file: deterministic, with the Ticks that the file does not hold, told second by second."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from adapters.history.event_file import EventFile, EventWriter
from adapters.history.event_schema import EventFileHeader, EventOrder, Origin
from adapters.history.series_file import COLUMNS, HEADER_KEY
from guard.audit import GENESIS_HASH, abridged, chain_hash, encode_record
from guard.building import build_engine
from guard.cli import cli
from guard.configuration import Settings
from guard.errors import FileUnusableError
from guard.events import AnyEvent, GuardStarted, OutlookRestored, Tick
from guard.forecasts import Direction
from guard.leverage.crowd.mix import CANDIDATES, MIX_VERSION, MixState
from guard.outlook.memory import OutlookMemory, encode
from guard.replay.report import ReplayReport, lines_of
from guard.replay.run import Replay
from guard.replay.stand_in import stand_ins_of
from guard.units import NS_PER_S, MarketId
from perpguard_sdk.messages import Mode
from tests.support.builders import T0
from tests.support.made_up_events import BTC, ETH, made_up_events

VENUE = {"id": "binanceusdm", "symbols": ["BTC/USDT:USDT", "ETH/USDT:USDT"]}
SETTINGS = Settings.model_validate({"venues": [VENUE]})
SECONDS = 480


def write(path: Path, events: Iterable[AnyEvent], order: EventOrder = EventOrder.BY_TIME) -> EventFile:
    header = EventFileHeader(origin=Origin.SIMULATION, software="test", order=order)
    with EventWriter(path, header) as writer:
        for event in events:
            writer.write(event)
    return EventFile(path)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> EventFile:
    return write(tmp_path_factory.mktemp("replay") / "events.parquet", made_up_events(SECONDS))


@pytest.fixture(scope="module")
def replayed(events: EventFile) -> tuple[ReplayReport, Path]:
    path = events.path.with_name("series.parquet")
    return Replay(SETTINGS, events).run(path), path


def rows_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def test_the_same_file_and_settings_give_the_same_bytes_and_decisions(
    events: EventFile, replayed: tuple[ReplayReport, Path], tmp_path: Path
) -> None:
    report, path = replayed
    again = Replay(SETTINGS, EventFile(events.path)).run(tmp_path / "again.parquet")
    assert path.read_bytes() == (tmp_path / "again.parquet").read_bytes()
    assert msgspec.structs.replace(again, wall_s=report.wall_s) == report
    other = Settings.model_validate({"venues": [VENUE], "policies": {"pause_entries": {"enabled": False}}})
    assert Replay(other, EventFile(events.path)).run().decisions_hash != report.decisions_hash


def test_a_book_that_collapses_stops_entries_in_its_market_alone(
    replayed: tuple[ReplayReport, Path],
) -> None:
    report, path = replayed
    during = [row for row in rows_of(path) if row["at"] == T0 + 330 * NS_PER_S]
    told = {row["market"]: (row["severity"], row["reason"], row["entries"]) for row in during}
    # The collapse is told, too; what comes first is what it is a part of, which is told where the outlook bears it out.
    assert told == {BTC: ("critical", "cascade_under_way", "reduce_only"), ETH: (None, None, "allowed")}
    assert report.findings["depth_collapsed"].opened == 1
    assert set(report.outcomes) == {"confirmed"}, "the stand-in does what it is told"


def test_there_is_a_row_for_each_market_and_second(replayed: tuple[ReplayReport, Path]) -> None:
    report, path = replayed
    rows = rows_of(path)
    assert report.rows == len(rows)
    assert {row["market"] for row in rows} == {BTC, ETH}
    times = sorted({(row["at"] - T0) / NS_PER_S for row in rows})
    assert times[1:] == [float(second) for second in range(1, SECONDS + 1)]
    assert times[0] == SETTINGS.guard.tick_ms / 1000.0, "the first Tick tells what is known at the start"
    assert list(rows[0]) == [column.name for column in COLUMNS]


def test_rows_tell_what_the_events_told(replayed: tuple[ReplayReport, Path]) -> None:
    rows = [row for row in rows_of(replayed[1]) if row["market"] == BTC]
    longs = sum(row["liquidated_longs_usd"] for row in rows)
    shorts = sum(row["liquidated_shorts_usd"] for row in rows)
    assert (longs, shorts) == (pytest.approx(8 * 20.0 * 97.0), pytest.approx(4 * 10.0 * 97.0))
    last = rows[-1]
    assert last["mid_price"] == pytest.approx(97.0)
    assert last["spread_bps"] == pytest.approx(2.0)
    assert last["round_trip_bps_500usd"] == pytest.approx(2.0, rel=1e-3)
    assert last["mark_price"] == 97.0
    assert (last["open_interest"], last["open_interest_usd"]) == (5e4, 5e4 * 97.0)
    assert last["trust"] == "trusted"
    thin = next(row for row in rows if row["at"] == T0 + 330 * NS_PER_S)
    assert thin["bid_depth_ratio"] == pytest.approx(0.05, abs=0.02)
    assert thin["bid_depth_usd_100bps"] == pytest.approx(0.05 * thin["ask_depth_usd_100bps"], rel=0.5)


def test_a_series_says_of_what_it_is(events: EventFile, replayed: tuple[ReplayReport, Path]) -> None:
    header = msgspec.json.decode(pq.read_schema(replayed[1]).metadata[HEADER_KEY])
    assert header["settings_digest"] == SETTINGS.digest
    assert header["events"]["software"] == "test"
    assert header["every_s"] == 1.0
    assert str(events.path) not in str(header)


def test_silence_is_judged_by_ticks_that_the_file_does_not_hold(tmp_path: Path) -> None:
    calm = list(made_up_events(60, thin=range(0)))
    later = list(made_up_events(2, thin=range(0), begin=T0 + 600 * NS_PER_S))[1:]
    file = write(tmp_path / "events.parquet", [*calm, *later])
    report = Replay(SETTINGS, file, every_s=10.0).run(tmp_path / "series.parquet")
    trust = {(row["at"] - T0) // NS_PER_S: row["trust"] for row in rows_of(tmp_path / "series.parquet")}
    assert (trust[60], trust[300]) == ("trusted", "stale")
    assert report.ticks == 602_000 // SETTINGS.guard.tick_ms + 1, "one more follows the last event"


def test_positions_of_the_settings_are_asked_about(events: EventFile) -> None:
    asked = [
        {
            "venue": "binanceusdm",
            "symbol": "BTC/USDT:USDT",
            "size": 100.0,
            "entry_price": 100.0,
            "leverage": 25,
        },
        {"venue": "binanceusdm", "symbol": "SOL/USDT:USDT", "size": 1.0, "entry_price": 1.0, "leverage": 2},
    ]
    venue = VENUE | {"symbols": [*VENUE["symbols"], "SOL/USDT:USDT"]}
    report = Replay(Settings.model_validate({"venues": [venue], "positions": asked}), events).run()
    assert report.findings["liquidation_near"].opened > 0
    assert report.left_out == ("the position in binanceusdm:SOL/USDT:USDT: the file has no such market",)
    assert report.markets == (BTC, ETH), "a market that only the settings name is not missed"


def test_a_file_as_processed_is_judged_as_it_is(tmp_path: Path) -> None:
    """What one engine was fed, its Ticks and start among it, gives the decisions that it made."""
    fed: list[AnyEvent] = [
        GuardStarted(received_at=T0, guard="g", epoch=3, session="s", mode=Mode.PAPER),
        *made_up_events(200, thin=range(150, 180)),
    ]
    fed += [Tick(received_at=T0 + number * NS_PER_S // 2) for number in range(1, 400)]
    fed.sort(key=lambda event: event.received_at)
    engine, decisions = build_engine(SETTINGS), GENESIS_HASH
    for event in fed:
        step = engine.process(event)
        if step.is_decision or step.postures:
            decisions = chain_hash(decisions, encode_record(abridged(step)))
    assert decisions != GENESIS_HASH
    file = write(tmp_path / "events.parquet", fed, EventOrder.AS_PROCESSED)
    report = Replay(SETTINGS, file).run(tmp_path / "series.parquet")
    assert (report.decisions_hash, report.ticks, report.events) == (decisions, 399, len(fed))
    assert report.rows == len(rows_of(tmp_path / "series.parquet")) == 2 * 200


def test_a_file_of_no_events_comes_to_nothing(tmp_path: Path) -> None:
    report = Replay(SETTINGS, write(tmp_path / "events.parquet", [])).run(tmp_path / "series.parquet")
    assert (report.events, report.rows, report.decisions) == (0, 0, 0)
    assert any("nothing was found" in line for line in lines_of(report))


def test_what_cannot_be_read_to_its_end_leaves_no_series(tmp_path: Path) -> None:
    path = write(tmp_path / "events.parquet", made_up_events(30)).path
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    with pytest.raises(FileUnusableError, match="damaged"):
        Replay(SETTINGS, EventFile(path)).run(tmp_path / "series.parquet")
    assert list(tmp_path.iterdir()) == [path]


def test_a_replay_starts_with_what_it_is_told_was_learned(tmp_path: Path) -> None:
    events = write(tmp_path / "events.parquet", made_up_events(30))
    elsewhere = MarketId("binanceusdm:WIF/USDT:USDT")
    kept = MixState(
        version=MIX_VERSION,
        at=T0,
        candidates=CANDIDATES,
        learned_usd={elsewhere: (7.0, 0.0)},
        evidence={elsewhere: ((0.0,) * CANDIDATES,) * 2},
    )
    memory = OutlookRestored(
        received_at=1, written_at=1, digest="d", memory=encode(OutlookMemory(guard="g", at=1, mix=kept))
    )
    told, untold = Replay(SETTINGS, events, memory=memory), Replay(SETTINGS, events)
    told.run()
    untold.run()
    learned = [
        replay.engine.state.outlook.estimators.mix.learned_usd(elsewhere, Direction.DOWN)
        for replay in (told, untold)
    ]
    assert learned[0] > 0.0 == learned[1]


def test_a_stand_in_confirms_what_it_is_told(replayed: tuple[ReplayReport, Path]) -> None:
    assert replayed[0].commands.keys() == {"pause", "resume"}
    (stand_in,) = stand_ins_of((BTC, ETH))
    assert stand_in.birth(1).birth.symbols == ("BTC/USDT:USDT", "ETH/USDT:USDT")
    assert stand_in.report(1) is not None
    assert stand_in.report(2) is None, "once a second where nothing new was told"


def test_the_command_writes_series_and_summary(events: EventFile, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[[venues]]\nid = "binanceusdm"\nsymbols = ["BTC/USDT:USDT"]\n')
    series, summary = tmp_path / "series.parquet", tmp_path / "summary.json"
    words = ["replay", str(events.path), "--series", str(series), "--json", str(summary)]
    done = CliRunner().invoke(cli, [*words, "--settings", str(settings), "--every", "60"])
    assert done.exit_code == 0, done.output
    assert "1 x the collapsed book" in done.output
    assert msgspec.json.decode(summary.read_bytes(), type=ReplayReport).rows == len(rows_of(series)) > 10


def test_the_command_writes_over_no_other_file(events: EventFile, tmp_path: Path) -> None:
    before = events.path.read_bytes()
    done = CliRunner().invoke(cli, ["replay", str(events.path), "--series", str(events.path)])
    assert (done.exit_code, events.path.read_bytes()) == (1, before)
    assert "is no series" in done.output


def test_without_its_libraries_the_command_says_what_to_install(
    events: EventFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    done = CliRunner().invoke(cli, ["replay", str(events.path)])
    assert done.exit_code == 1
    assert "pyarrow is not installed: pip install 'perpguard[lab]'" in done.output
