"""Feeds a file of events to the engine of the settings, with the Ticks between them, and keeps what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec import structs

from adapters.history.event_file import EventFile
from adapters.history.event_schema import EventOrder
from adapters.history.series_file import SeriesHeader, SeriesWriter
from guard.account.hypothetical import Hypothetical, snapshots_of
from guard.audit import GENESIS_HASH, Step, abridged, chain_hash, encode_record
from guard.bill.ledger import Ledger
from guard.billed import BillLine
from guard.building import build_engine, engine_parts
from guard.configuration import Settings
from guard.engine import Engine
from guard.events import AnyEvent, GuardStarted, OutlookRestored, Tick
from guard.findings import Severity
from guard.replay.remarks import Remarks
from guard.replay.report import ReasonCount, ReplayReport
from guard.replay.rows import Rows
from guard.replay.stand_in import StandIn, stand_ins_of
from guard.units import NS_PER_MS, NS_PER_S, MarketId, Nanoseconds
from guard.wiring import asked_of
from perpguard_sdk.messages import Entries, Mode

EVERY_S = 1.0
PROGRESS_EVENTS = 4_096
SESSION = "replay"
LINES_BILLED = 200
"""Decisions that a report tells one by one, with what each saved and cost."""
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(slots=True)
class Replay:
    """One replay; ``run`` it once.

    A file by time is judged as if the guard had been started at its first event, with a bot at each of its venues that
    holds nothing (``stand_in``), and with the positions of the settings whose markets are in it: accounts and bots of
    the settings are not there to be read. A file as processed is judged as it is, by all that the settings name.

    Args:
        settings: everything in settings.toml.
        file: the events.
        every_s: seconds between two rows of a market.
        on_progress: told now and then how many events are done.
        stopwatch: seconds on a clock, from any start.
        memory: what estimators had learned before the first event; without it they start as on their first day.

    Raises:
        FileUnusableError: the file cannot be read.
    """

    settings: Settings
    file: EventFile
    every_s: float = EVERY_S
    on_progress: Callable[[int], None] = lambda events: None  # noqa: ARG005 (told, and does nothing with it)
    stopwatch: Callable[[], float] = time.perf_counter
    memory: OutlookRestored | None = None
    engine: Engine = field(init=False)
    _stand_ins: tuple[StandIn, ...] = ()
    _asked: tuple[Hypothetical, ...] = ()
    _left_out: tuple[str, ...] = ()
    _rows: Rows = field(init=False)
    _series: SeriesWriter | None = None
    _tick_at: Nanoseconds | None = None
    _row_at: Nanoseconds = 0
    _counts: _Counts = field(init=False)
    _remarks: Remarks = field(default_factory=Remarks)
    _bill: Ledger = field(init=False)
    _billed: list[BillLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self._adds_time:
            self._stand_ins = stand_ins_of(self.file.markets)
            self._choose()
            parts = replace(
                engine_parts(self.settings),
                markets=self.file.markets,
                bots=tuple(each.config for each in self._stand_ins),
                keyed_accounts=(),
            )
            self.engine = build_engine(self.settings, parts, choosing=False)
        else:
            self.engine = build_engine(self.settings)
        self._rows = Rows(self.engine)
        self._bill = Ledger(self.settings.bill)
        self._counts = _Counts()

    @property
    def _adds_time(self) -> bool:
        return self.file.header.order is EventOrder.BY_TIME

    def run(self, series: Path | None = None) -> ReplayReport:
        """Judge every event, and write what was known of each market into ``series``.

        Raises:
            FileUnusableError: the events cannot be read, or the series cannot be written; then there is none.
        """
        began = self.stopwatch()
        if series is None:
            self._run()
        else:
            header = SeriesHeader(
                events=self.file.header,
                settings_digest=self.settings.digest,
                every_s=self.every_s,
            )
            with SeriesWriter(series, header) as self._series:
                self._run()
        return self._report(self.stopwatch() - began)

    def _run(self) -> None:
        counts, adds_time = self._counts, self._adds_time
        for event in self.file.events():
            if counts.events == 0 and self.memory is not None:
                self._process(structs.replace(self.memory, received_at=event.received_at))
            if adds_time:
                self._pass_time(event.received_at)
            self._remarks.note(event)
            self._process(event)
            counts.events += 1
            if counts.events % PROGRESS_EVENTS == 0:
                self.on_progress(counts.events)
        if adds_time and counts.last_at is not None:
            self._pass_time(counts.last_at + self._tick_ns)
        self.on_progress(counts.events)

    @property
    def _tick_ns(self) -> Nanoseconds:
        return self.settings.guard.tick_ms * NS_PER_MS

    def _pass_time(self, until: Nanoseconds) -> None:
        """Let it be ``until``: a Tick comes before what was received in the same instant."""
        if self._tick_at is None:
            self._begin(until)
            self._tick_at = until + self._tick_ns
        while self._tick_at <= until:
            for stand_in in self._stand_ins:
                report = stand_in.report(self._tick_at)
                if report is not None:
                    self._process(report)
            self._process(Tick(received_at=self._tick_at))
            self._tick_at += self._tick_ns

    def _begin(self, at: Nanoseconds) -> None:
        guard = self.settings.guard.name
        self._process(GuardStarted(received_at=at, guard=guard, epoch=1, session=SESSION, mode=Mode.PAPER))
        for stand_in in self._stand_ins:
            self._process(stand_in.birth(at))
        for snapshot in snapshots_of(self._asked, at):
            self._process(snapshot)

    def _process(self, event: AnyEvent) -> None:
        step = self.engine.process(event)
        self._rows.note(step)
        self._counts.note(step)
        self._note_bill(step)
        if step.postures or step.commands:
            for stand_in in self._stand_ins:
                stand_in.take(step)
        if isinstance(event, Tick):
            self._tell(event.received_at)

    def _note_bill(self, step: Step) -> None:
        """What decisions save and cost; of many, the first ones by themselves."""
        self._bill.note(step, self.engine.state, self.engine.wanted)
        if isinstance(step.event, Tick):
            record = self._bill.take(self.engine.state)
            if record is not None:
                self._billed += record.lines[: LINES_BILLED - len(self._billed)]

    def _tell(self, at: Nanoseconds) -> None:
        every_ns = round(self.every_s * NS_PER_S)
        if at < self._row_at:
            return
        self._row_at = at - at % every_ns + every_ns
        for row in self._rows.take(at):
            self._counts.rows += 1
            self._remarks.row(row)
            if row.entries not in (None, Entries.ALLOWED.value):
                known = self._counts.restricted_s.get(row.market, 0.0)
                self._counts.restricted_s[row.market] = known + self.every_s
            if self._series is not None:
                self._series.take(row)

    def _choose(self) -> None:
        """Ask about those positions of the settings whose market is in the file."""
        asked, markets = asked_of(self.settings), set(self.file.markets)
        self._asked = tuple(each for each in asked if each.market in markets)
        lost = [each for each in asked if each.market not in markets]
        accounts = sum(len(venue.accounts) for venue in self.settings.venues)
        self._left_out = (
            *(f"the position in {each.market}: the file has no such market" for each in lost),
            *([f"{accounts} account(s) of the settings: a file has no keys"] if accounts else []),
            *(
                [f"{len(self.settings.bots)} bot(s) of the settings: they are not there"]
                if self.settings.bots
                else []
            ),
        )

    def _told_lines(self) -> tuple[BillLine, ...]:
        """Decisions that ended, and those that are still counted where the file ends."""
        last = self._bill.take(self.engine.state, last=True)
        ended = [*self._billed, *(() if last is None else last.lines)]
        return tuple([*ended, *self._bill.open_lines(self.engine.state)][:LINES_BILLED])

    def _report(self, wall_s: float) -> ReplayReport:
        counts = self._counts
        return ReplayReport(
            file=str(self.file.path),
            settings_digest=self.settings.digest,
            events=counts.events,
            ticks=counts.ticks,
            from_at=self.file.span.first_at,
            to_at=self.file.span.last_at,
            markets=tuple(sorted(self.engine.state.markets)),
            left_out=self._left_out,
            remarks=self._remarks.told(counts.events, self.file.span.first_at, self.file.span.last_at),
            findings={
                reason: ReasonCount(opened=count, worst=counts.worst[reason])
                for reason, count in sorted(counts.opened.items())
            },
            postures=counts.postures,
            commands=dict(sorted(counts.commands.items())),
            outcomes=dict(sorted(counts.outcomes.items())),
            restricted_s=dict(sorted(counts.restricted_s.items())),
            rows=counts.rows,
            decisions=counts.decisions,
            decisions_hash=counts.hash,
            wall_s=wall_s,
            bill=self._bill.books.run.rows,
            billed=self._told_lines(),
        )


@dataclass(slots=True)
class _Counts:
    """What is counted on the way; nothing grows with the length of the file."""

    events: int = 0
    ticks: int = 0
    rows: int = 0
    decisions: int = 0
    postures: int = 0
    last_at: Nanoseconds | None = None
    hash: str = GENESIS_HASH
    opened: Counter[str] = field(default_factory=Counter)
    worst: dict[str, Severity] = field(default_factory=dict)
    commands: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    restricted_s: dict[MarketId, float] = field(default_factory=dict)

    def note(self, step: Step) -> None:
        self.last_at = step.at
        self.ticks += isinstance(step.event, Tick)
        if not (step.is_decision or step.postures):
            return
        self.decisions += 1
        self.hash = chain_hash(self.hash, encode_record(abridged(step)))
        for finding in step.opened:
            self.opened[finding.reason] += 1
            worst = self.worst.get(finding.reason, finding.severity)
            self.worst[finding.reason] = max(worst, finding.severity, key=_RANK.__getitem__)
        self.postures += sum(publish.changed for publish in step.postures)
        self.commands.update(publish.command.verb.value for publish in step.commands)
        self.outcomes.update(outcome.outcome.value for outcome in step.outcomes)
