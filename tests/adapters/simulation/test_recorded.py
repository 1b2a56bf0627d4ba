"""Recordings: read as they are, written so that they replay, and clear about what is wrong with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from adapters.simulation import FrameKind, generated_source, recorded_source, write_recording
from adapters.simulation.wire import decode_depth
from guard.errors import MalformedFrameError

START_NS = 1_700_000_000_000_000_000
SNAPSHOT = {"lastUpdateId": 5, "E": 1, "T": 1, "bids": [["100.10", "1.000"]], "asks": [["100.20", "2.500"]]}


def diff(first: int, last: int, previous: int) -> dict[str, object]:
    data = {"e": "depthUpdate", "E": 9, "T": 9, "s": "BTCUSDT", "U": first, "u": last, "pu": previous}
    return {"stream": "btcusdt@depth@0ms", "data": data | {"b": [["100.10", "2.000"]], "a": []}}


def write(path: Path, *lines: object, first_stamp: int = 1_680_652_700_423_575) -> Path:
    path.write_text("".join(f"{first_stamp + i} {json.dumps(line)}\n" for i, line in enumerate(lines)))
    return path


@pytest.mark.parametrize("name", ["market.txt", "market.gz"])
def test_a_written_recording_replays_frame_by_frame(tmp_path: Path, name: str) -> None:
    source = generated_source("fall", seed=7, symbols=("BTCUSDT", "ETHUSDT"), duration_s=5)
    count = write_recording(source, tmp_path / name, start_at_ns=START_NS)

    again = recorded_source(tmp_path / name)

    assert list(again.frames(0)) == list(source.frames(START_NS))
    assert len(list(again.frames(0))) == count
    assert {spec.symbol: (spec.tick, spec.step) for spec in again.specs} == {
        spec.symbol: (spec.tick, spec.step) for spec in source.specs
    }
    assert again.opening("ETHUSDT").bids == source.opening("ETHUSDT").bids
    assert not list(tmp_path.glob("*.part"))


def test_equal_seeds_write_equal_files(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_recording(generated_source("calm", seed=3, duration_s=2), tmp_path / name)

    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_frames_keep_their_bytes_and_their_times(tmp_path: Path) -> None:
    path = write(tmp_path / "m", diff(3, 4, 2), SNAPSHOT, diff(5, 7, 4))

    first, second = recorded_source(path).frames(0)

    assert first.at_ns == 1_680_652_700_423_575_000  # written in microseconds
    assert decode_depth(second.payload).pu == 4
    assert second.payload == json.dumps(diff(5, 7, 4)["data"]).encode()


@pytest.mark.parametrize(
    ("stamp", "expected"), [(1_680_652_700_423, 1_680_652_700_423_000_000), (START_NS + 1, START_NS + 1)]
)
def test_times_in_milliseconds_and_nanoseconds_are_told_apart(
    tmp_path: Path, stamp: int, expected: int
) -> None:
    path = write(tmp_path / "m", diff(3, 4, 2), SNAPSHOT, first_stamp=stamp)

    assert next(recorded_source(path).frames(0)).at_ns == expected


def test_a_gzip_that_ends_early_plays_up_to_there(tmp_path: Path) -> None:
    write_recording(generated_source("calm", seed=3, duration_s=10), tmp_path / "whole.gz")
    whole = (tmp_path / "whole.gz").read_bytes()
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])

    frames = list(recorded_source(tmp_path / "cut.gz").frames(0))

    everything = list(recorded_source(tmp_path / "whole.gz").frames(0))
    assert 10 < len(frames) < len(everything)
    assert frames == everything[: len(frames)]


def test_lines_that_cannot_be_read_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "m", diff(3, 4, 2), SNAPSHOT, diff(5, 7, 4))
    path.write_text(path.read_text() + "what is this\n1680652700423999 {broken\n")
    source = recorded_source(path)

    assert [frame.kind for frame in source.frames(0)] == [FrameKind.DEPTH, FrameKind.DEPTH]
    assert source.lines_skipped == 2


def test_streams_that_the_venue_does_not_know_are_left_out(tmp_path: Path) -> None:
    other = {"stream": "btcusdt@kline_1m", "data": {"e": "kline"}}
    path = write(tmp_path / "m", other, diff(3, 4, 2), SNAPSHOT)

    assert len(list(recorded_source(path).frames(0))) == 1


def test_digits_tell_tick_and_step(tmp_path: Path) -> None:
    (spec,) = recorded_source(write(tmp_path / "m", diff(3, 4, 2), SNAPSHOT)).specs

    assert (spec.symbol, spec.base, str(spec.tick), str(spec.step)) == ("BTCUSDT", "BTC", "0.1", "0.1")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], "no depth snapshot"),
        ([diff(3, 4, 2)], "no depth snapshot"),
        ([SNAPSHOT], "names no symbol"),
        ([diff(3, 4, 2), SNAPSHOT | {"bids": [], "asks": []}], "is empty"),
    ],
)
def test_a_recording_without_a_usable_snapshot_is_refused(
    tmp_path: Path, lines: list[object], problem: str
) -> None:
    path = write(tmp_path / "m", *lines)

    with pytest.raises(MalformedFrameError, match=problem) as error:
        recorded_source(path)
    assert error.value.where == str(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedFrameError, match="cannot be opened"):
        recorded_source(tmp_path / "nothing.gz")


def test_an_empty_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gz").write_bytes(gzip.compress(b""))

    with pytest.raises(MalformedFrameError, match="no depth snapshot"):
        recorded_source(tmp_path / "m.gz")


@pytest.mark.parametrize(
    ("name", "diffs"),
    [
        ("usdm_btcusdt_20240808.gz", 6_551),
        ("usdm_btcusdt_20230404.dat.gz", 4_322),
        ("usdm_ethusdt_20240718.gz", 3_273),
    ],
)
def test_the_real_recordings_are_read_whole(shared_data: Path, name: str, diffs: int) -> None:
    source = recorded_source(shared_data / "binance_ws" / name)
    kinds = [frame.kind for frame in source.frames(0)]

    assert kinds.count(FrameKind.DEPTH) == diffs
    assert source.lines_skipped == 0
    assert len(source.opening(source.specs[0].symbol).bids) == 1_000
