"""What is said to a bot in a market and what came of it: issued, repeated, judged by its effect. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from guard.commands import CommandOutcome, OutcomeKind, PublishCommand
from guard.desired import Limits
from guard.dispatch_settings import DispatchSettings
from guard.effects import Effect, Reading, size_of
from guard.findings import Reason
from guard.outstanding import (
    CHAIN_MAX,
    BotMemory,
    Failure,
    Open,
    Unable,
    Verdict,
    dry_run_verdict,
    in_time_verdict,
    is_broker_away,
    only_listens,
    outdated,
    refusal_of,
    unfilled_verdict,
)
from guard.postures import PostureBook
from guard.routes import Route
from guard.state import BotRecord, GuardState
from guard.units import NS_PER_MS, NS_PER_S, MarketId, Nanoseconds, ms_of, symbol_of
from guard.wants import Kind, Look, PauseWant, Want
from perpguard_sdk.messages import SCHEMA_VERSION, AckStatus, Mode, Verb

ONCE_S = 1e6
"""A wait that never ends: only another want, or a bot that asks, is a reason to say it again."""


REASSERT_S = 5.0
"""A pause costs little: no longer does a bot that enters all the same go without being told again."""


@dataclass(slots=True)
class Conversation:
    """Issues commands, repeats them, and says when and how they end; see the module."""

    settings: DispatchSettings
    postures: PostureBook

    def judge(
        self,
        record: BotRecord,
        memory: BotMemory,
        market: MarketId,
        open_: Open,
        want: Want | None,
        limits: Limits,
        state: GuardState,
        now: Nanoseconds,
    ) -> CommandOutcome | None:
        """Return the end of an open command, ``None`` while it may still take effect."""
        look = Look(
            state,
            record,
            market,
            since=open_.issued_at,
            size_at_most=memory.size_caps.get(market),
            posture_version=open_.command.posture_version,
            settle_ns=self.settings.settle_ms * NS_PER_MS,
        )
        effect = open_.want.read(look)

        if only_listens(record, state):
            verdict = dry_run_verdict(record, open_, now)
        elif effect.reading is Reading.HOLDS:
            verdict = Verdict(OutcomeKind.CONFIRMED)
        elif self._is_put_off(record, open_, want, effect, now) and not is_broker_away(state):
            verdict = Verdict(OutcomeKind.FAILED, "each newer limit found the former one not kept")
        elif (
            why := outdated(record, open_, want, limits, self.postures.version(record.config.bot))
        ) is not None:
            verdict = Verdict(OutcomeKind.SUPERSEDED, why)
        elif (answer := refusal_of(open_, memory.failures.get((market, open_.want.kind)))) is not None:
            verdict = answer
        elif (
            left := unfilled_verdict(open_, effect, memory.failures.get((market, open_.want.kind)))
        ) is not None:
            verdict = left
        elif is_broker_away(state):
            verdict = None
        else:
            looks = record.reported is not None or size_of(state, record, market) is not None
            verdict = in_time_verdict(open_, effect, now, self.settings.look_ms * NS_PER_MS if looks else 0)
        return None if verdict is None else self._end(memory, record, market, open_, verdict, effect, now)

    def _is_put_off(
        self, record: BotRecord, open_: Open, want: Want | None, effect: Effect, now: Nanoseconds
    ) -> bool:
        """Whether commands have taken each other's place for long enough without any effect."""
        if want is None or want.verb is not open_.want.verb or effect.reading is not Reading.FAILS:
            return False
        return now >= open_.since + CHAIN_MAX * self.confirm_ms(record, want.verb) * NS_PER_MS

    def _end(
        self,
        memory: BotMemory,
        record: BotRecord,
        market: MarketId,
        open_: Open,
        verdict: Verdict,
        effect: Effect,
        now: Nanoseconds,
    ) -> CommandOutcome:
        key, kind, quiet = (market, open_.want.kind), verdict.kind, verdict.quiet
        detail = "; ".join(part for part in (verdict.detail, effect.detail) if part)
        if kind in (OutcomeKind.FAILED, OutcomeKind.UNVERIFIABLE) or quiet:
            former = memory.failures.get(key)
            count = 1 if former is None else former.count + 1
            disobeyed = (0 if former is None else former.disobeyed) + (not quiet)
            waits = self.settings.reissue_s
            wait_s = waits[min(count, len(waits)) - 1] if waits else 1.0
            if isinstance(open_.want, PauseWant):
                wait_s = min(wait_s, REASSERT_S)
            applied = open_.ack is not None and open_.ack.status is AckStatus.APPLIED
            if kind is OutcomeKind.UNVERIFIABLE and (applied or quiet):
                wait_s = ONCE_S  # it was heard: saying it again would not let anyone see more
            over_at = (
                open_.command.expires_at * NS_PER_MS + self.confirm_ms(record, open_.want.verb) * NS_PER_MS
            )
            memory.failures[key] = Failure(
                open_.want,
                open_.command.id,
                kind,
                detail,
                count,
                now + int(wait_s * NS_PER_S),
                over_at,
                quiet,
                disobeyed,
            )
            if not quiet and Route.POSTURE in self.settings.routes_for(record.config.bot):
                self.postures.refresh_now(record.config.bot)
        elif kind is OutcomeKind.CONFIRMED:
            memory.forget(key)
            if isinstance(open_.want, PauseWant):
                memory.paused[market] = (open_.want.entries, open_.issued_at)
        if kind is OutcomeKind.FAILED and open_.want.kind is Kind.ENTRIES:
            memory.size_caps.pop(market, None)  # the next pause is held against the size of its own time
        return CommandOutcome(
            command_id=open_.command.id,
            bot=record.config.bot,
            outcome=kind,
            source=effect.source,
            detail=detail,
            judged_at=now,
        )

    def retry(
        self, record: BotRecord, memory: BotMemory, open_: Open, state: GuardState, now: Nanoseconds
    ) -> Iterator[PublishCommand]:
        """Publish the same id again while nothing was heard, until it expires."""
        waits = self.settings.retry_ms
        if open_.heard or not waits or now < open_.retry_at or ms_of(now) >= open_.command.expires_at:
            return
        if not record.is_online or only_listens(record, state) or is_broker_away(state):
            return
        wait_ms = waits[-1]
        if open_.attempt < len(waits):
            wait_ms = max(waits[open_.attempt] - waits[open_.attempt - 1], 0)
        open_.retry_at = now + wait_ms * NS_PER_MS
        open_.attempt += 1
        if open_.command.seq < memory.seq:
            # The bot may have heard a later one and would take this for a replay; the id tells it apart.
            memory.seq += 1
            open_.command = structs.replace(open_.command, seq=memory.seq)
        yield PublishCommand(command=open_.command, attempt=open_.attempt)

    def may_issue(
        self,
        record: BotRecord,
        memory: BotMemory,
        key: tuple[MarketId, Kind],
        want: Want,
        now: Nanoseconds,
    ) -> bool:
        if not record.is_online or record.birth is None:
            memory.unreached.setdefault(key, now)
            return False  # the retained posture waits for it; a command would be lost
        memory.unreached.pop(key, None)
        if key[0] in memory.waiting and key[1] is not Kind.ENTRIES:
            return False
        if want.verb not in record.birth.verbs:
            unable = memory.unable.setdefault(key, Unable(want.verb, now))
            unable.is_due = now - unable.since >= self.confirm_ms(record, want.verb) * NS_PER_MS
            return False  # the posture carries the limit; if that does not help, a finding says so
        memory.unable.pop(key, None)
        failure = memory.failures.get(key)
        return failure is None or now >= failure.reissue_at or want.differs(failure.want)

    def issue(
        self,
        record: BotRecord,
        memory: BotMemory,
        market: MarketId,
        want: Want,
        state: GuardState,
        now: Nanoseconds,
        since: Nanoseconds,
    ) -> PublishCommand:
        memory.seq += 1
        bot = record.config.bot
        cause = want.cause
        envelope: dict[str, Any] = {
            "v": SCHEMA_VERSION,
            "id": f"{state.session}.{state.epoch}-{bot}-{memory.seq}",
            "bot": bot,
            "epoch": state.epoch,
            "session": state.session,
            "seq": memory.seq,
            "ts": ms_of(now),
            "expires_at": ms_of(now) + self.settings.command_ttl_ms,
            "posture_version": self.postures.version(bot),
            "symbol": symbol_of(market),
            "reason": cause.reason if cause is not None else Reason.RECOVERED,
            "evidence": cause.evidence if cause is not None else (),
            "dry_run": state.mode is Mode.PAPER,
        }
        command = want.command(envelope)
        confirm_ns = self.confirm_ms(record, want.verb) * NS_PER_MS
        memory.open[market, want.kind] = Open(
            want=want,
            command=command,
            issued_at=now,
            since=since,
            deadline_at=now + confirm_ns,
            retry_at=now + (self.settings.retry_ms[0] if self.settings.retry_ms else 0) * NS_PER_MS,
        )
        return PublishCommand(command=command, attempt=1)

    def confirm_ms(self, record: BotRecord, verb: Verb) -> int:
        declared = record.birth.verbs.get(verb) if record.birth is not None else None
        return self.settings.settle_ms + (
            self.settings.confirm_ms if declared is None else declared.deadline_ms
        )
