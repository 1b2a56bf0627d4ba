"""What can be read of a running guard, gathered from its parts at the moment that somebody asks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from guard.engine import Engine
from guard.events import LinkKind
from guard.hops import BUDGETS_NS, Hop
from guard.measuring_accounts import measure_accounts
from guard.measuring_bill import measure_bill
from guard.measuring_outlook import measure_outlook
from guard.meters import Distribution, Distributions, Measured, Meter, MeterKind, Sample
from guard.ports import Importance
from guard.readiness import Readiness
from guard.runner import Runner
from guard.units import NS_PER_S, Nanoseconds, venue_of

STUCK_S = 3.0
"""Bots go to safe mode so long after the last heartbeat, which needs a Tick that was processed."""


_WHO = {
    Importance.VITAL: "markets with a position",
    Importance.TRADED: "markets that a bot may enter",
    Importance.FAR: "markets that are only watched",
}


def what_is_wrong(runner: Runner) -> str:
    """Say why the guard does not decide, empty if it does."""
    now = runner.world.clock.now()
    if not runner.engine.state.epoch:
        return "it has no epoch yet: another guard may be in charge, or the broker is away"
    silent_s = (now - runner.decided_at) / NS_PER_S
    if silent_s > STUCK_S:
        return f"the engine has processed no Tick for {silent_s:.1f} s"
    return ""


def measure(runner: Runner) -> Iterator[Measured]:
    """Yield everything that is measured; changes nothing. Names have no prefix yet."""
    now = runner.world.clock.now()
    yield _identity(runner)
    yield _gauge("tasks", "Tasks of the process", {"": float(len(asyncio.all_tasks()))})
    yield from _load(runner, now)
    yield from _state(runner.engine, now)
    yield from _ready(runner.readiness)
    yield from _sending(runner)
    if runner.bill is not None and runner.bill.settings.enabled:
        lines = list(runner.bill.open_lines(runner.engine.state))
        yield from measure_bill(runner.bill.books.run.rows, len(lines), sum(line.net_usd for line in lines))


def _identity(runner: Runner) -> Meter:
    state = runner.engine.state
    labels = {"version": version("perpguard"), "guard": state.guard, "mode": str(state.mode)}
    return Meter("info", "Which perpguard this is", MeterKind.GAUGE, (Sample(1.0, labels),))


def _load(runner: Runner, now: Nanoseconds) -> Iterator[Measured]:
    inbox, load = runner.inbox, runner.load
    counts = inbox.counts
    yield _counter("events", "Events that the engine has processed, samples one by one", counts.taken, "kind")
    yield _counter(
        "events_coalesced",
        "Events whose place a newer one took before they were judged",
        counts.coalesced,
        "kind",
    )
    yield _counter("events_dropped", "Events dropped because a bound was reached", counts.dropped, "kind")
    yield _counter(
        "events_overtaken",
        "Events that waited while more important ones went first",
        counts.overtaken,
        "importance",
    )
    yield _one("sheddings", "How often the engine began to judge far markets less often", counts.sheddings)
    yield _gauge("shedding", "1 while the engine does not keep up", {"": float(inbox.shedding)})
    yield _gauge("events_waiting", "Events that wait now", inbox.waiting(), "importance")
    yield _gauge(
        "event_oldest_seconds", "How long the oldest of them waits", {"": inbox.oldest_ns / NS_PER_S}
    )
    yield _counter(
        "samples_late",
        "Samples that waited longer than the settings allow before they were judged",
        counts.late,
        "importance",
    )
    for importance, who in _WHO.items():
        words = f"How old the first unjudged word of a market was when it was judged: {who}"
        yield Distribution(f"judgement_age_{importance.name.lower()}_seconds", words, load.ages[importance])
    yield _gauge(
        "judge_seconds", "What judging one market's sample takes, smoothed", {"": load.judge_us / 1e6}
    )
    yield Distribution("event_wait_seconds", "From an event's arrival to its turn", load.waited)
    yield Distribution(
        "event_process_seconds", "What the engine took for one event that it judged", load.processed
    )
    yield Distribution("tick_late_seconds", "How late Ticks came: so long nothing else ran", load.tick_late)
    yield _gauge(
        "tick_age_seconds",
        "Since the last Tick that was processed",
        {"": (now - runner.decided_at) / NS_PER_S},
    )


def _state(engine: Engine, now: Nanoseconds) -> Iterator[Measured]:
    state = engine.state
    yield _gauge("epoch", "The fencing epoch, 0 while there is none", {"": float(state.epoch)})
    trust = Counter((venue_of(view.market), str(view.trust(now))) for view in state.markets.values())
    yield Meter(
        "markets",
        "Markets by whether their book may be acted on; everything but trusted is unknown",
        MeterKind.GAUGE,
        tuple(Sample(count, {"venue": venue, "trust": kind}) for (venue, kind), count in trust.items()),
    )
    standing = Counter((str(finding.reason), str(finding.severity)) for finding in engine.findings)
    yield Meter(
        "findings",
        "Findings that stand now",
        MeterKind.GAUGE,
        tuple(Sample(count, {"reason": why, "severity": how}) for (why, how), count in standing.items()),
    )
    yield _gauge(
        "account_known",
        "1 while an account's state is known",
        {
            account: float(view.source is not None and account not in state.account_faults)
            for account, view in state.accounts.items()
        },
        "account",
    )
    yield _gauge(
        "bot_online",
        "1 while a bot is there",
        {bot: float(record.is_online) for bot, record in state.bots.items()},
        "bot",
    )
    yield _gauge(
        "link_up",
        "1 while it works",
        {str(link): float(link not in state.links_down) for link in LinkKind},
        "link",
    )
    refused = Counter({str(bot or "unknown"): each.count for bot, each in state.refusals.items()})
    yield _gauge("messages_refused", "Messages refused of late", refused, "bot")
    yield from measure_accounts(state.own.risks)
    concerned = {market for record in state.bots.values() for market in record.markets}
    held = {each.market for view in state.accounts.values() for each in view.positions}
    yield from measure_outlook(state.outlook, concerned | held)


def _ready(readiness: Readiness) -> Iterator[Measured]:
    yield _gauge(
        "ready", "1 once all that is watched was judged", {"": float(readiness.ready_at is not None)}
    )
    if readiness.seconds is not None:
        yield _gauge("ready_seconds", "From the start to that moment", {"": readiness.seconds})
    judged = {venue: float(count) for venue, (count, _) in readiness.counts().items()}
    yield _gauge("markets_judged", "Markets judged since the start with a believable book", judged, "venue")


def _sending(runner: Runner) -> Iterator[Measured]:
    steps = runner.load.steps
    yield _one("decisions", "Steps that were recorded", steps["decisions", ""])
    for name, help_, label in (
        ("commands", "Commands issued, each attempt counted", "verb"),
        ("outcomes", "Ends of commands", "outcome"),
    ):
        found = {each: count for (kind, each), count in steps.items() if kind == name}
        yield _counter(name, help_, found, label)
    yield _gauge("outbox_waiting", "Steps that wait to be sent", {"": float(runner.outbox.waiting)})
    yield _one(
        "outbox_unsent", "Steps recorded but not sent, because the outbox was full", runner.outbox.unsent
    )
    yield _gauge("journal_waiting", "Records that wait for the disk", {"": float(runner.journal.waiting)})
    yield _one("journal_lost", "Records that found no room while the disk was away", runner.journal.lost)
    yield Distribution(
        "command_seconds", "From the causing event to the broker's taking the command", runner.outbox.latency
    )
    traces = runner.outbox.traces
    yield Distributions(
        "hop_seconds",
        "From the venue's clock to a bot's answer: each hop of commands, the first ones also of samples",
        "hop",
        {str(hop): latency for hop, latency in traces.latencies.items()},
    )
    yield _counter(
        "hop_over_budget", "How often a hop took longer than its budget", _all_hops(traces.over_budget), "hop"
    )


def _all_hops(over_budget: Mapping[Hop, int]) -> dict[str, int]:
    """Those that never were over it too, so that a rate can be taken."""
    return {str(hop): over_budget.get(hop, 0) for hop in BUDGETS_NS}


def _one(name: str, help_: str, value: float) -> Meter:
    return Meter(name, help_, MeterKind.COUNTER, (Sample(value),))


def _counter(name: str, help_: str, values: Mapping[str, int], label: str) -> Meter:
    return Meter(name, help_, MeterKind.COUNTER, _samples(values, label))


def _gauge(name: str, help_: str, values: Mapping[str, float], label: str = "") -> Meter:
    return Meter(name, help_, MeterKind.GAUGE, _samples(values, label))


def _samples(values: Mapping[str, float], label: str) -> tuple[Sample, ...]:
    """One for each value; without a label there is one value, under any key."""
    return tuple(Sample(value, {label: key} if label else {}) for key, value in values.items())
