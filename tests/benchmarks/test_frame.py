"""The frame that every benchmark uses: figures, interleaving, JSON, peers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.__main__ import main as run_all
from benchmarks.__main__ import names_of_benchmarks
from benchmarks._frame import Better, Options, Result, cpu_us_per, interleave, main, ratios, result_of
from benchmarks._frames import CHANGES, LEVELS, make_frames
from benchmarks._peers import PeerUnavailableError, PeerWorker, peer_python


def measure_fast(options: Options) -> list[Result]:
    samples = [float(options.seed)] * options.repetitions
    return [result_of("fake", "case", samples, "us", target=2.0, baselines={"other": 5.0})]


def test_a_figure_is_a_median_with_its_spread() -> None:
    result = result_of("fake", "case", [5.0, 1.0, 2.0, 3.0, 4.0], "us")
    assert (result.value, result.low, result.high, result.met) == (3.0, 1.4, 4.6, None)


@pytest.mark.parametrize(("better", "met"), [(Better.LOWER, False), (Better.HIGHER, True)])
def test_a_target_is_a_bound_in_the_direction_that_is_better(better: Better, met: bool) -> None:
    assert result_of("fake", "case", [3.0], "x", better=better, target=2.0).met is met


def test_ratios_are_taken_repetition_by_repetition() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_repetitions_interleave_and_the_first_round_is_thrown_away() -> None:
    ran: list[str] = []

    def case(name: str) -> float:
        ran.append(name)
        return float(len(ran))

    samples = interleave({name: lambda name=name: case(name) for name in "ab"}, Options(repetitions=3))  # type: ignore[misc]
    assert {name: len(figures) for name, figures in samples.items()} == {"a": 3, "b": 3}
    rounds = [set(ran[at : at + 2]) for at in range(0, len(ran), 2)]
    assert rounds == [{"a", "b"}] * 4
    assert min(min(figures) for figures in samples.values()) > 2


def test_cpu_time_is_per_unit_and_not_negative() -> None:
    assert cpu_us_per(1000, lambda: sum(range(10_000))) >= 0.0


def test_json_holds_figures_machine_seed_and_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "fake.json"
    assert main("fake", measure_fast, ["--json", str(path), "--quick", "--seed", "2"]) == 0
    (figure,) = msgspec.json.decode(path.read_bytes(), type=list[Result])
    assert figure.run is not None
    assert (figure.run.seed, figure.run.repetitions, figure.run.quick) == (2, 3, True)
    assert figure.run.machine.cores >= 1
    assert msgspec.structs.replace(figure, run=None) == measure_fast(Options(seed=2, repetitions=3))[0]


def test_a_missed_target_is_an_error_only_where_asked() -> None:
    assert main("fake", measure_fast, ["--seed", "3"]) == 0
    assert main("fake", measure_fast, ["--seed", "3", "--strict"]) == 1


def test_all_benchmarks_are_found_and_a_wrong_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "book" in names_of_benchmarks()
    with pytest.raises(SystemExit) as stopped:
        run_all(["boook"])
    assert stopped.value.code == 2
    assert "no benchmark named boook" in capsys.readouterr().err


def test_frames_come_from_their_seed_and_never_cross() -> None:
    frames = make_frames(50, seed=7)
    assert frames == make_frames(50, seed=7) != make_frames(50, seed=8)
    assert len(frames.bids) == len(frames.asks) == LEVELS
    bids, asks = sizes_at(frames.bids), sizes_at(frames.asks)
    for update in frames.updates:
        assert len(update.bids) + len(update.asks) == CHANGES
        bids |= sizes_at(update.bids)
        asks |= sizes_at(update.asks)
        assert max(p for p, size in bids.items() if size) < min(p for p, size in asks.items() if size)


def sizes_at(levels: list[list[float]]) -> dict[float, float]:
    return {level[0]: level[1] for level in levels}


def test_what_numpy_has_counted_is_written_as_a_number(tmp_path: Path) -> None:
    """Half an hour of scoring is not lost at its last line."""

    def measure(options: Options) -> list[Result]:
        result = result_of("fake", "case", [2.5], "us", baselines={"other": np.float64(options.seed)})
        return [msgspec.structs.replace(result, value=np.float64(2.5))]

    path = tmp_path / "fake.json"
    assert main("fake", measure, ["--json", str(path), "--seed", "3"]) == 0
    (figure,) = msgspec.json.decode(path.read_bytes(), type=list[Result])
    assert (figure.value, figure.baselines) == (2.5, {"other": 3.0})


@pytest.mark.slow
def test_a_peer_gets_an_environment_of_its_own_once(tmp_path: Path) -> None:
    python = peer_python("nobody", [], folder=tmp_path)
    made_at = (tmp_path / "nobody/pyvenv.cfg").stat().st_mtime_ns
    assert peer_python("nobody", [], folder=tmp_path) == python
    assert (tmp_path / "nobody/pyvenv.cfg").stat().st_mtime_ns == made_at
    with (
        PeerWorker(python, "sorted_book") as worker,
        pytest.raises(PeerUnavailableError, match="ended with 1"),
    ):
        worker.ask({"features": False})  # sortedcontainers is not there


@pytest.mark.slow
def test_a_peer_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    with pytest.raises(PeerUnavailableError, match="nobody"):
        peer_python("nobody", ["./no-such-file.whl"], folder=tmp_path)
