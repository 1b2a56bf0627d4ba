"""A finding that asks to be confirmed moves nothing before it has stood for its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from guard.engine import Engine
from guard.events import Tick
from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.market.view import BaselineSettings
from guard.state import BotConfig, GuardState
from guard.units import AccountId, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries

MARKET, BOT = MarketId("v:BTC/USDT:USDT"), BotId("alpha")
SECOND = 1_000_000_000


@dataclass
class Says:
    """Says what the test puts into it."""

    name: str = "says"
    severity: Severity | None = None
    seen: list[Nanoseconds] = field(default_factory=list)

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        del state
        self.seen.append(now)
        if self.severity is not None:
            yield Finding(
                policy=self.name,
                reason=Reason.LIQUIDATION_NEAR,
                severity=self.severity,
                subject=Subject(market=MARKET),
                limit=Limit(
                    entries=Entries.HALTED if self.severity is Severity.CRITICAL else Entries.REDUCE_ONLY
                ),
                confirm_ms=1000,
            )


def entries_at(engine: Engine, at_s: float) -> Entries:
    engine.process(Tick(received_at=int(at_s * SECOND)))
    return engine.wanted[BOT][MARKET].entries


def engine_with(policy: Says) -> Engine:
    config = BotConfig(bot=BOT, account=AccountId("v:main"), markets=(MARKET,))
    return Engine(GuardState.of(baseline=BaselineSettings(), bots=(config,)), [policy])


def test_one_bad_sample_moves_nothing() -> None:
    policy = Says(severity=Severity.ACT)
    engine = engine_with(policy)
    assert entries_at(engine, 10.0) is Entries.ALLOWED
    policy.severity = None
    assert entries_at(engine, 10.5) is Entries.ALLOWED
    policy.severity = Severity.ACT
    assert entries_at(engine, 11.2) is Entries.ALLOWED


def test_what_stands_for_its_time_is_obeyed() -> None:
    engine = engine_with(Says(severity=Severity.ACT))
    entries_at(engine, 10.0)
    assert entries_at(engine, 10.99) is Entries.ALLOWED
    assert entries_at(engine, 11.0) is Entries.REDUCE_ONLY


def test_what_gets_worse_is_confirmed_anew_at_its_new_severity() -> None:
    policy = Says(severity=Severity.ACT)
    engine = engine_with(policy)
    entries_at(engine, 10.0)
    assert entries_at(engine, 11.0) is Entries.REDUCE_ONLY
    policy.severity = Severity.CRITICAL
    assert entries_at(engine, 11.5) is Entries.REDUCE_ONLY
    assert entries_at(engine, 12.5) is Entries.HALTED
