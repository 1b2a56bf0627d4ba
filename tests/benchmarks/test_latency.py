"""How commands' ways are joined and judged; the run itself is a benchmark and no test."""

from __future__ import annotations

from pathlib import Path

from adapters.storage.audit import SqliteAudit
from benchmarks._latency_parts import delivered, hops_us, ways_of
from benchmarks.latency import CASES, Measured, ratio_of, results_of
from guard.audit import AnyRecord, Step
from guard.commands import PublishCommand
from guard.events import MarketsSampled
from guard.hops import Hop
from guard.units import NS_PER_MS
from perpguard_sdk.messages import Verb
from tests.support.audit_records import MARKET, PAUSE_ID, pause_step, seconds, tick, traced
from tests.support.builders import ETH
from tests.support.market import even_features

SAMPLED_AT = seconds(10) - 400_000


def pause_by_batch() -> Step:
    """A pause for which the second of two samples was the reason."""
    command = next(each.command for each in pause_step(at=seconds(10)).commands)
    samples = (
        even_features(seconds(10), 100.0, market=ETH),
        even_features(SAMPLED_AT, 100.0, market=MARKET),
    )
    return Step(
        at=seconds(10),
        event=MarketsSampled(received_at=seconds(10), samples=samples),
        commands=(PublishCommand(command=command, attempt=1),),
    )


async def test_hops_come_from_the_record_and_the_ends_from_whoever_saw_them(tmp_path: Path) -> None:
    way = traced(at=seconds(11))
    records: list[AnyRecord] = [pause_by_batch(), way, traced(at=seconds(12), attempt=2), tick(seconds(13))]
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        await audit.append(records, durable=True)
    arrived = SAMPLED_AT + 20 * NS_PER_MS
    ways = await ways_of(tmp_path / "audit.sqlite3", {PAUSE_ID: arrived}, {PAUSE_ID: arrived + 5 * NS_PER_MS})

    assert [(each.traced, each.verb, each.event_at) for each in ways] == [(way, Verb.PAUSE, SAMPLED_AT)]
    assert delivered(ways) == ways
    found = hops_us(ways)
    assert found["event to bot"] == [20_000.0]
    assert found["frame to bot"] == [20_000.0 + way.hops_ns[Hop.SAMPLE] / 1e3]
    decided_and_durable = sum(way.hops_ns[hop] for hop in (Hop.FEATURES, Hop.DECIDE, Hop.DURABLE)) / 1e3
    assert found["publish to bot"] == [20_000.0 - decided_and_durable]
    assert found["bot verifies and persists"] == [5_000.0]
    assert found["durable"] == [way.hops_ns[Hop.DURABLE] / 1e3]


async def test_what_never_came_out_of_the_broker_is_not_taken_for_fast(tmp_path: Path) -> None:
    async with await SqliteAudit.open(tmp_path / "audit.sqlite3") as audit:
        await audit.append([pause_by_batch(), traced(at=seconds(11))], durable=True)
    ways = await ways_of(tmp_path / "audit.sqlite3", {}, {})
    assert len(ways) == 1
    assert delivered(ways) == []
    assert "event to bot" not in hops_us(ways)


def test_the_target_is_held_against_the_bare_ones_of_the_same_run() -> None:
    met = ratio_of("case", [29.0] * 100, [10.0] * 100, [10.0] * 100)
    assert (met.value, met.met) == (1.45, True)
    missed = ratio_of("case", [31.0] * 100, [10.0] * 100, [10.0] * 100)
    assert missed.met is False
    assert ratio_of("case", [31.0] * 100, [10.0] * 100, [10.0] * 100, allowance_us=5.0).met is True
    assert ratio_of("case", [31.0] * 100, [10.0] * 100, [10.0] * 100, publishes_needed=2).met is True


def test_the_table_shows_each_hop_and_both_ratios() -> None:
    measured = Measured({case: [2.0] * 40 for case in CASES}, publishes=[1.0] * 40, commits=[3.0] * 40)
    *table, first, last = results_of(measured)
    assert [each.case.partition(",")[0] for each in table[::2]] == [case.partition(",")[0] for case in CASES]
    assert (first.value, last.value) == (0.5, 0.4)
    durable = next(each for each in table if each.case.startswith("durable, p99"))
    assert durable.baselines == {"bare commit p99": 3.0}
