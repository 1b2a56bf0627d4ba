"""The ledger beside the engine: in the loop, in a replay, on the metrics page, and what it costs if it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.audit import Billed, SessionClosed, Step
from guard.bill.ledger import Ledger
from guard.bill.settings import BillSettings
from guard.bill.totals import ROWS_MAX, Totals, summed
from guard.billed import BillEnd, BillKind, BillLine, BillRow, BillVerdict
from guard.configuration import Settings
from guard.demo_report import bill_lines
from guard.desired import Desired
from guard.measuring_bill import measure_bill
from guard.replay.report import lines_of
from guard.replay.run import Replay
from guard.state import GuardState
from guard.units import AccountId, MarketId
from tests.guard.replay.test_replay import VENUE, write
from tests.guard.test_runner import Stage
from tests.support.billed_guard import BilledGuard
from tests.support.builders import (
    ACCOUNT,
    SaysWhatItIsTold,
    born,
    features,
    finding,
    mark,
    position,
    snapshot,
)
from tests.support.eventually import eventually
from tests.support.made_up_events import made_up_events

CUT = finding(max_size=4.0, account=ACCOUNT)


async def cut_in_the_loop(stage: Stage) -> None:
    now = stage.clock.now()
    stage.feed.put(features(0.0), mark(0.0), snapshot(0.0, position(10.0), equity_usd=1_000.0))
    await stage.tick(1)
    stage.feed.put(born(0.0))
    await stage.tick(2)
    assert stage.sink.commands, "a scene in which nothing is asked proves nothing"
    seconds = (stage.clock.now() - now) / 1e9
    await stage.take_in(mark(seconds), snapshot(seconds, position(4.0), equity_usd=1_000.0))
    await stage.tick(6)


async def test_the_loop_records_its_bill_and_a_next_guard_goes_on_from_it() -> None:
    stage = Stage([SaysWhatItIsTold([CUT])])
    stage.runner.bill = Ledger()
    async with stage.running():
        await cut_in_the_loop(stage)
    await stage.runner.close("done")
    bills = [record for record in stage.audit.records if isinstance(record, Billed)]
    assert isinstance(stage.audit.records[-1], SessionClosed)
    assert stage.audit.records[-2] is bills[-1]
    (kept,) = [each for each in bills[-1].memory.open if each.line.kind is BillKind.CUT]
    assert kept.left == pytest.approx(6.0)
    (goes_on,) = [
        each
        for each in Ledger.of(BillSettings(), bills[-1].memory).books.decisions.values()
        if each.line.kind is BillKind.CUT
    ]
    assert (goes_on.left, goes_on.price) == (kept.left, kept.price)


async def test_a_bill_that_fails_ends_and_nothing_else_does() -> None:
    class Broken(Ledger):
        def note(self, step: Step, state: GuardState, wanted: Desired) -> None:
            raise ZeroDivisionError

    stage = Stage([SaysWhatItIsTold([CUT])])
    stage.runner.bill = Broken()
    async with stage.running():
        await cut_in_the_loop(stage)
        await eventually(lambda: stage.runner.bill is None)
    assert stage.sink.commands


def test_nothing_that_is_decided_rests_on_the_bill() -> None:
    def steps(*, enabled: bool) -> list[Step]:
        guard = BilledGuard(size=10.0, settings=BillSettings(enabled=enabled))
        guard.policy.findings = [CUT]
        guard.live(10.0)
        return guard.guard.steps

    assert steps(enabled=True) == steps(enabled=False)


def test_a_replay_tells_what_obeying_would_have_saved(tmp_path: Path) -> None:
    events = write(tmp_path / "events.parquet", made_up_events(60))
    asked = [
        {
            "venue": "binanceusdm",
            "symbol": "BTC/USDT:USDT",
            "size": 100.0,
            "entry_price": 100.0,
            "leverage": 25,
        }
    ]
    settings = Settings.model_validate({"venues": [VENUE], "positions": asked})
    report = Replay(settings, events, every_s=10.0).run()
    advised = [line for line in report.billed if line.kind is BillKind.ADVICE]
    assert advised
    assert all(line.modelled for line in advised)
    assert "what guarding would have saved and cost:" in list(lines_of(report))


def test_the_metrics_page_tells_each_part_and_what_is_unknown() -> None:
    row = BillRow(
        account=AccountId("v:main"),
        market=MarketId("v:BTC/USDT:USDT"),
        policy="cut_leverage",
        commands=3,
        paid_off=1,
        false_alarms=1,
        unknown=1,
        saved_usd=60.0,
        fees_usd=1.0,
        slippage_usd=2.0,
        missed_usd=4.0,
    )
    meters = {meter.name: meter for meter in measure_bill([row], 2, -1.5)}
    parts = {sample.labels["part"]: sample.value for sample in meters["bill_usd"].samples}
    assert parts == {"saved": 60.0, "fees": 1.0, "slippage": 2.0, "missed": 4.0}
    verdicts = {sample.labels["verdict"]: sample.value for sample in meters["bill_decisions"].samples}
    assert verdicts == {"paid_off": 1.0, "false_alarm": 1.0, "nothing": 0.0, "unknown": 1.0}
    assert [meters["bill_open"].samples[0].value, meters["bill_open_usd"].samples[0].value] == [2.0, -1.5]


def test_rows_are_bounded_and_their_sum_is_kept() -> None:
    totals = Totals()
    for number in range(ROWS_MAX + 20):
        line = BillLine(
            decision=str(number),
            kind=BillKind.CUT,
            account=ACCOUNT,
            market=MarketId(f"v:COIN{number}"),
            policy="p",
            reason="",
            began_at=0,
            until_at=1,
            size=1.0,
            verdict=BillVerdict.FALSE_ALARM,
            ended_by=BillEnd.SETTLED,
            fees_usd=1.0,
        )
        totals.add(line)
    assert len(totals.rows) == ROWS_MAX + 1
    total = summed(totals.rows)
    assert total is not None
    assert (total.false_alarms, total.cost_usd, total.net_bps) == (ROWS_MAX + 20, ROWS_MAX + 20.0, None)


def test_the_demo_says_that_its_bill_is_an_estimate() -> None:
    guard = BilledGuard(size=10.0)
    guard.policy.findings = [CUT]
    guard.live(15.0)
    assert guard.records
    text = " ".join(bill_lines(guard.records, suppressed=False))
    assert "Still counted: 1" in text
    assert "estimate by mark prices and the book" in text
    assert list(bill_lines([], suppressed=True)) == [
        "No decision has ended yet: nothing was saved and nothing was paid."
    ]
