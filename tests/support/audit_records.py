"""Builds audit records for tests: one session, one fall of depth, one command and what came of it."""

from __future__ import annotations

from guard.audit import AnyRecord, CommandTraced, Sent, SessionOpened, Step, TraceEnd
from guard.commands import CommandOutcome, OutcomeKind, PublishCommand, PublishPosture
from guard.events import BotAcked, Tick
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.hops import Hop
from guard.units import NS_PER_MS, NS_PER_S, BotId, market_id
from perpguard_sdk.messages import (
    Ack,
    AckStatus,
    Effect,
    Entries,
    Evidence,
    Mode,
    Pause,
    Posture,
)

START = 1_754_000_000 * NS_PER_S
"""2025-07-31T22:13:20Z."""
BTC = "BTC/USDT:USDT"
MARKET = market_id("binanceusdm", BTC)
BOT = BotId("alpha")
PAUSE_ID = "01J9PAUSE0001"


def seconds(after_s: float) -> int:
    """A time, so many seconds after the session began."""
    return START + int(after_s * NS_PER_S)


def session(epoch: int = 1, at: int = START) -> SessionOpened:
    return SessionOpened(
        at=at,
        guard="guard-1",
        epoch=epoch,
        session=f"s{epoch}",
        mode=Mode.PAPER,
        software_version="0.1.0",
        settings_digest="d1",
    )


def tick(at: int) -> Step:
    return Step(at=at, event=Tick(received_at=at))


def depth_finding(severity: Severity = Severity.ACT) -> Finding:
    return Finding(
        policy="pause_entries",
        reason=Reason.DEPTH_THIN,
        severity=severity,
        subject=Subject(market=MARKET),
        limit=Limit(entries=Entries.REDUCE_ONLY),
        evidence=(
            Evidence(name="bid depth over normal", value=0.412, unit="ratio", limit=0.5),
            Evidence(name="band", value=100.0, unit="bps"),
            Evidence(name="bid depth", value=412_345.0, unit="USD"),
            Evidence(name="normal depth", value=1_000_840.0, unit="USD"),
            Evidence(name="depth z-score", value=-4.12, unit="sd", limit=-3.0),
        ),
        counterfactual="would not stand with bid depth above 50% of its normal (500,420 USD)",
    )


def posture(version: int, entries: Entries, *, epoch: int = 1, bot: str = BOT, at: int = START) -> Posture:
    return Posture(
        bot=bot,
        version=version,
        epoch=epoch,
        session=f"s{epoch}",
        ts=at // NS_PER_MS,
        expires_at=at // NS_PER_MS + 60_000,
        mode=Mode.PAPER,
        entries={BTC: entries},
        reasons=("depth_thin",),
    )


def pause(command_id: str = PAUSE_ID, *, at: int, epoch: int = 1, bot: str = BOT) -> Pause:
    return Pause(
        id=command_id,
        bot=bot,
        epoch=epoch,
        seq=1,
        ts=at // NS_PER_MS,
        expires_at=at // NS_PER_MS + 10_000,
        posture_version=2,
        symbol=BTC,
        reason="depth_thin",
        evidence=depth_finding().evidence,
        dry_run=True,
        entries=Entries.REDUCE_ONLY,
    )


def pause_step(command_id: str = PAUSE_ID, *, at: int, epoch: int = 1, bot: str = BOT) -> Step:
    return Step(
        at=at,
        event=Tick(received_at=at),
        opened=(depth_finding(),),
        postures=(
            PublishPosture(
                posture=posture(2, Entries.REDUCE_ONLY, at=at, epoch=epoch, bot=bot),
                tightens=True,
                changed=True,
            ),
        ),
        commands=(PublishCommand(command=pause(command_id, at=at, epoch=epoch, bot=bot), attempt=1),),
    )


def ack_step(
    status: AckStatus = AckStatus.APPLIED,
    *,
    at: int,
    command_id: str = PAUSE_ID,
    detail: str = "",
    effect: Effect | None = None,
) -> Step:
    ack = Ack(
        bot=BOT,
        session="b1",
        command_id=command_id,
        epoch=1,
        seq=1,
        status=status,
        at=at // NS_PER_MS,
        detail=detail,
        effect=effect,
    )
    return Step(at=at, event=BotAcked(received_at=at, ack=ack))


def outcome_step(
    outcome: OutcomeKind = OutcomeKind.CONFIRMED,
    *,
    at: int,
    command_id: str = PAUSE_ID,
    source: str = "venue",
    detail: str = "no entry order rests on BTC/USDT:USDT any more",
) -> Step:
    judged = CommandOutcome(
        command_id=command_id, bot=BOT, outcome=outcome, source=source, detail=detail, judged_at=at
    )
    return Step(at=at, event=Tick(received_at=at), outcomes=(judged,))


def sent(command_id: str = PAUSE_ID, *, at: int, ok: bool = True, detail: str = "") -> Sent:
    return Sent(
        at=at,
        subject=command_id,
        bot=BOT,
        ok=ok,
        detail=detail,
        hops_us={"decided": 210.0, "durable": 1900.0, "taken": 3100.0} if ok else {},
    )


def traced(
    command_id: str = PAUSE_ID,
    *,
    at: int,
    attempt: int = 1,
    cause: str = "market_features",
    end: TraceEnd = TraceEnd.ANSWERED,
    venue_lag_ms: float | None = 3.2,
    sent_ahead: bool = False,
    **hops_ns: int,
) -> CommandTraced:
    """The way of one attempt; a hop that is given replaces the usual one, 0 takes it away."""
    usual = {
        Hop.VENUE: 4_100_000,
        Hop.DECODE: 2_800,
        Hop.BOOK: 900,
        Hop.SAMPLE: 18_400_000,
        Hop.FEATURES: 310_000,
        Hop.DECIDE: 480_000,
        Hop.DURABLE: 1_900_000,
        Hop.PUBLISH: 2_600_000,
        Hop.BOT: 9_000_000,
    }
    known = usual | {Hop(hop): took for hop, took in hops_ns.items()}
    return CommandTraced(
        at=at,
        command_id=command_id,
        bot=BOT,
        attempt=attempt,
        cause=cause,
        end=end,
        hops_ns={hop: known[hop] for hop in Hop if known.get(hop)},
        market=MARKET,
        sent_ahead=sent_ahead,
        venue_lag_ms=venue_lag_ms,
    )


def whole_story() -> list[AnyRecord]:
    """A pause from the first tick to its confirmed effect."""
    return [
        session(),
        Step(
            at=seconds(1),
            event=Tick(received_at=seconds(1)),
            postures=(
                PublishPosture(
                    posture=posture(1, Entries.ALLOWED, at=seconds(1)), tightens=False, changed=True
                ),
            ),
        ),
        pause_step(at=seconds(10)),
        sent(at=seconds(10.003)),
        ack_step(AckStatus.RECEIVED, at=seconds(10.012)),
        ack_step(
            at=seconds(10.118), effect=Effect(size_before=0.5, size_after=0.5, orders_cancelled=("17", "18"))
        ),
        outcome_step(at=seconds(10.34)),
    ]
