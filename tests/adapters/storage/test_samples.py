"""Samples: written in blocks, read back as judged, dropped under pressure, sealed in the audit, removed when old."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.storage import SqliteAudit, SqliteAuditReader, samples
from adapters.storage.samples import SampleRecorder, read_samples, sealed_files
from adapters.storage.settings import SamplesSettings
from adapters.storage.verify_samples import verify_samples
from guard.audit import SamplesRetired, SamplesSealed
from guard.events import (
    AccountSnapshot,
    BookSide,
    BookStatus,
    HistoryPoint,
    LongShortRatioSeen,
    MarketFeatures,
    MarketsSampled,
    MarkPriceSeen,
    OpenInterestHistorySeen,
    OutsideFactSeen,
    PositionSource,
    Tick,
    TrackedPosition,
    TrackedPositionsSeen,
)
from guard.units import AccountId
from tests.support.audit_records import MARKET, seconds
from tests.support.fakes import FakeClock

DAY_S = 86_400


def features(at: int, *, depth_usd: float = 1e6) -> MarketFeatures:
    side = BookSide(
        curve_usd=tuple(depth_usd * (index + 1) / 17 for index in range(17)),
        visible_bps=500.0,
        visible_usd=depth_usd,
        slippage_bps=(0.5, 1.25, None, None),
        slope_usd=1e4,
        slope_kappa=0.9,
    )
    return MarketFeatures(
        received_at=at, market=MARKET, status=BookStatus.OK, bid=59_999.9, ask=60_000.0, bids=side, asks=side
    )


def judged(start_s: float, count: int) -> list[samples.Sample]:
    found: list[samples.Sample] = []
    for index in range(count):
        at = seconds(start_s + index / 4)
        found.append(features(at, depth_usd=1e6 + index))
    found.append(MarkPriceSeen(received_at=seconds(start_s), market=MARKET, mark_price=60_000.123456789))
    found.append(
        AccountSnapshot(
            received_at=seconds(start_s), account=AccountId("binanceusdm:main"), source=PositionSource.VENUE
        )
    )
    return found


class Bench:
    def __init__(self, folder: Path, **settings: float) -> None:
        self.clock = FakeClock(seconds(0))
        self.audit_path = folder / "audit.sqlite3"
        self.recorder = SampleRecorder(SamplesSettings(**settings), self.audit_path, self.clock)  # type: ignore[arg-type]

    @property
    def read(self) -> list[samples.Sample]:
        return list(read_samples(self.recorder.folder))

    async def keep(self, events: list[samples.Sample]) -> None:
        for event in events:
            self.recorder.record(event)
        await self.recorder.flush()


async def test_what_was_judged_comes_back_exactly_and_in_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first, second = judged(0, 20), judged(10, 20)
    bench.recorder.record(Tick(received_at=seconds(0)))
    await bench.keep(first)
    await bench.keep(second)
    assert bench.read == [*first, *second]
    between = list(read_samples(bench.recorder.folder, seconds(10), seconds(10)))
    assert between == [each for each in second if each.received_at == seconds(10)]
    assert (bench.recorder.stats.kept, bench.recorder.stats.dropped) == (44, 0)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in bench.recorder.folder.iterdir())


async def test_samples_that_were_judged_together_are_kept_as_if_each_had_come_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    together = [each for each in judged(0, 20) if isinstance(each, MarketFeatures)]
    bench.recorder.record(MarketsSampled(received_at=together[-1].received_at, samples=tuple(together)))
    await bench.recorder.flush()

    assert bench.read == together
    assert bench.recorder.stats.kept == len(together) > 10


async def test_what_estimators_are_fed_with_is_kept_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    points = (
        HistoryPoint(at=1, price=2.0, open_interest=3.0),
        HistoryPoint(at=2, price=2.5, open_interest=3.5, volume_usd=4.0),
    )
    held = TrackedPosition(account="a", size=-1.0, entry_price=None, liquidation_price=9.0)
    fed: list[samples.Sample] = [
        OpenInterestHistorySeen(received_at=seconds(1), market=MARKET, points=points),
        LongShortRatioSeen(received_at=seconds(2), market=MARKET, longs_share=0.6),
        TrackedPositionsSeen(
            received_at=seconds(3), market=MARKET, accounts=("a",), positions=(held,), asked_accounts=1
        ),
        OutsideFactSeen(
            received_at=seconds(4), name="f", value=None, unit="usd", source="s", expires_at=seconds(5)
        ),
    ]
    await bench.keep(fed)
    assert bench.read == fed


async def test_nothing_is_kept_when_switched_off(tmp_path: Path) -> None:
    bench = Bench(tmp_path, enabled=False)
    await bench.keep(judged(0, 3))
    assert not bench.recorder.folder.exists()


async def test_a_block_is_written_when_it_is_due(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.recorder.flush_when_due()
    bench.recorder.record(features(seconds(1)))
    await bench.recorder.flush_when_due()
    assert bench.recorder.stats.blocks == 0
    bench.clock.advance(10_000)
    await bench.recorder.flush_when_due()
    assert bench.recorder.stats.blocks == 1


async def test_without_room_samples_are_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "WAITING_MAX", 10)
    bench = Bench(tmp_path)
    await bench.keep(judged(0, 20))
    assert (len(bench.read), bench.recorder.stats.dropped) == (10, 12)
    bench.recorder.pause("a full disk")
    await bench.keep(judged(5, 2))
    bench.recorder.resume()
    await bench.keep(judged(9, 2))
    assert len(bench.read) == 14
    async with await SqliteAudit.open(bench.audit_path) as audit:
        await bench.recorder.seal_and_retire(audit, seconds(DAY_S))
        sealed = [each.record async for each in audit.records()]
    assert [each.dropped for each in sealed if isinstance(each, SamplesSealed)] == [16]


async def test_a_disk_that_refuses_costs_samples_and_nothing_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.recorder.folder.parent.mkdir(exist_ok=True)
    bench.recorder.folder.write_text("in the way")
    await bench.keep(judged(0, 3))
    assert bench.recorder.stats.dropped == 5
    bench.recorder.folder.unlink()
    await bench.keep(judged(1, 3))
    assert bench.read == judged(1, 3)


async def test_a_day_that_is_over_is_sealed_in_the_audit_and_a_change_shows(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with await SqliteAudit.open(bench.audit_path) as audit:
        await bench.keep(judged(0, 8))
        bench.clock.advance(DAY_S * 1000)
        await bench.keep(judged(DAY_S, 8))
        await bench.recorder.seal_and_retire(audit, bench.clock.now())
        await bench.recorder.seal_and_retire(audit, bench.clock.now())
        found = [each.record async for each in audit.records()]
    (record,) = found
    assert isinstance(record, SamplesSealed)
    assert (record.samples, record.dropped, record.from_at) == (10, 0, seconds(0))
    (sealed,) = sealed_files(bench.recorder.folder)
    assert sealed.name == record.file == "20250731-0001.sqlite3"
    assert await problems(bench) == []

    whole = sealed.read_bytes()
    sealed.chmod(0o600)
    sealed.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    (said,) = await problems(bench)
    assert "20250731-0001.sqlite3 is not as it was sealed" in said
    sealed.unlink()
    (said,) = await problems(bench)
    assert "20250731-0001.sqlite3 is not there" in said


async def test_old_samples_and_too_many_are_removed_and_the_audit_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_days=2, file_mb=0.001, keep_mb=0.03)
    async with await SqliteAudit.open(bench.audit_path) as audit:
        await bench.keep(judged(0, 8))
        for day in range(1, 4):
            bench.clock.advance(DAY_S * 1000)
            for part in range(3):
                await bench.keep(judged(day * DAY_S + 60 * part, 40))
            await bench.recorder.seal_and_retire(audit, bench.clock.now())
        records = [each.record async for each in audit.records()]
        assert (await audit.verify()).ok
    gone = {each.file for each in records if isinstance(each, SamplesRetired)}
    kept = {each.name for each in sealed_files(bench.recorder.folder)}
    assert "20250731-0001.sqlite3" in gone
    assert kept
    assert not gone & kept
    assert {each.file for each in records if isinstance(each, SamplesSealed)} == gone | kept
    assert sum(each.stat().st_size for each in bench.recorder.folder.iterdir()) <= 0.03 * 1024 * 1024
    assert await problems(bench) == []


async def problems(bench: Bench) -> list[str]:
    async with await SqliteAuditReader.open(bench.audit_path) as reader:
        records = [each.record async for each in reader.records()]
    return await asyncio.to_thread(verify_samples, records, bench.recorder.folder)


async def test_what_became_of_samples_can_be_measured(tmp_path: Path) -> None:
    recorder = SampleRecorder(SamplesSettings(), tmp_path / "audit.sqlite3", FakeClock(seconds(0)))
    recorder.record(features(seconds(0)))
    await recorder.flush()

    counted = {meter.name: meter.samples[0].value for meter in recorder.meters()}

    assert counted["samples_kept"] == 1
    assert counted["samples_dropped"] == 0
    assert counted["samples_bytes"] == recorder.stats.bytes > 0
