"""2,000 examples of the state machine are sound, all that it is for happens in them, and every planted bug is found.

Fewer while working: ``PROTOCOL_EXAMPLES=200 pytest tests/protocol``; more of them:
``python -m tests.protocol --examples 100000``.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.protocol.__main__ import Progress, main
from tests.protocol.bots import DiskState
from tests.protocol.plants import PLANTS
from tests.protocol.runs import play, run
from tests.protocol.wires import Fate

EXAMPLES = int(os.environ.get("PROTOCOL_EXAMPLES", "2000"))
ENOUGH = 1_000
"""So many examples see everything that is to be seen."""

SEED_TO_CATCH: dict[str, int] = {
    "double_execution": 1,
    "stale_execution": 1,
    "lost_tightening": 1,
    "early_loosening": 1,
    "two_leaders": 1,
}
EXAMPLES_TO_CATCH = 1_000

HAPPENS = (
    *(f"to {fate}" for fate in Fate),
    *(f"from {fate}" for fate in Fate),
    *(f"did: disk {state}" for state in DiskState),
    *(f"executed {verb}" for verb in ("pause", "resume", "cut_leverage", "widen_stops")),
    *(f"posture {level}" for level in ("no_adds", "reduce_only", "halted")),
    *(f"rung {rung}" for rung in ("no_adds", "pause_entries", "reduce", "reduce_to_safe")),
    *(f"ack {status}" for status in ("received", "applied", "failed", "expired")),
    *(f"outcome {outcome}" for outcome in ("confirmed", "failed", "superseded", "unverifiable")),
    *(f"bot died {point}" for point in ("before_saving", "after_saving", "before_effect", "after_effect")),
    "did: abandoned",
    "did: bot killed",
    "did: bot's state damaged",
    "did: broker lost what it retained",
    "did: broker restarted",
    "did: clock set back",
    "did: clock set forward",
    "did: disconnect",
    "did: guard hung",
    "did: guard killed",
    "did: human enlarged",
    "did: human paused",
    "did: older posture retained",
    "did: paced demand",
    "did: paced demand of a stop",
    "did: relax",
    "did: relent",
    "did: second guard started",
    "did: share demand",
    "SafeModeEntered",
    "SafeModeLeft",
    "bot loosened",
    "disk full",
    "guard gave way",
    "reconciled",
    "replayed",
    "retry",
)
"""A machine in which one of these does not happen checks less than it says."""


@pytest.mark.timeout(900)  # 60 s of computing on an idle machine
def test_whatever_happens_in_whatever_order_no_invariant_is_violated() -> None:
    """In as many processes as there are cores; what fails is named with its seed, and shortened."""
    seen: Counter[str] = Counter()
    took_s = 0.0
    for ran in play(EXAMPLES, seed=1, processes=os.cpu_count() or 1):
        assert not ran.violation, "\n".join((f"seed {ran.seed}: {ran.violation}", *ran.story, *ran.happened))
        seen += ran.seen
        took_s += ran.took_s
    print(
        f"\n{seen['examples']} examples in {took_s:.0f} s of CPU, {seen['checks of limits']} checks of limits"
    )

    assert seen["examples"] >= EXAMPLES
    if EXAMPLES >= ENOUGH:
        assert [what for what in HAPPENS if not seen[what]] == []


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_a_planted_bug_is_found_by_the_invariant_that_it_breaks(name: str) -> None:
    plant = PLANTS[name]
    ran = run(EXAMPLES_TO_CATCH, seed=SEED_TO_CATCH[name], plant=plant, shrinks=False)
    print(f"\n{name}: after {ran.examples} examples: {ran.violation[:200]}")

    assert ran.invariant in plant.caught_by


def test_the_command_line_shows_the_shortest_example_of_a_planted_bug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--planted", "two_leaders"]) == 1

    told = capsys.readouterr().out
    assert "two guards never both command" in told
    assert "restart_guard" in told
    assert "guard decides" in told


def test_a_run_goes_on_where_it_was_left(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"

    assert main(["--examples", "1", "--seed", "7", "--minutes", "0.0001", "--resume", str(file)]) == 0
    part = msgspec.json.decode(file.read_bytes(), type=Progress)
    assert (part.first, part.next) == (7, 8)
    with pytest.raises(SystemExit, match="name another file"):
        main(["--examples", "1", "--seed", "8", "--resume", str(file)])
