"""What the demo shows: the live table while the market falls, and the account of it at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from guard.audit import Billed, Step
from guard.bill.account import Chosen, account_of
from guard.bill.totals import summed
from guard.bill_words import bill_line, total_words
from guard.desired import Limits
from guard.engine import Engine
from guard.explain_reasons import REASON_NAMES
from guard.explain_words import DRY_RUN, ENTRIES
from guard.findings import Finding, Severity
from guard.market.book import Side
from guard.ports import StoredRecord
from guard.state import GuardState
from guard.units import NS_PER_S, BotId, MarketId, Nanoseconds
from perpguard_sdk.messages import Entries


@dataclass(frozen=True, slots=True)
class BotLine:
    """One bot's account as its venue shows it now; money in USDT, size signed base units."""

    name: str
    deposit: float
    equity: float
    size: float
    notional: float
    fees: float
    fills: int
    liquidations: int

    @property
    def result(self) -> float:
        """What was won or lost, fees and open position included."""
        return self.equity - self.deposit

    @property
    def leverage(self) -> float:
        """Notional over equity."""
        return self.notional / self.equity if self.equity > 0 else 0.0


def live_table(
    *,
    elapsed_s: float,
    market: MarketId,
    engine: Engine,
    guarded: BotId,
    lines: Sequence[BotLine],
    suppressed: bool,
    others: str = "",
) -> Group:
    """Lay out one look at market, guard and bots, and at what became of everybody else, where it is known."""
    state = engine.state
    view = state.markets[market]
    ratio = view.depth_ratio(Side.BID)
    table = Table(
        title=f"{elapsed_s:5.1f} s   {_market_text(state, market)}", title_justify="left", expand=False
    )
    for column in ("account", "position", "leverage", "equity", "result", "fees", "liquidated"):
        table.add_column(column, justify="left" if column == "account" else "right")
    for line in lines:
        table.add_row(
            line.name,
            f"{line.size:.3f}",
            f"{line.leverage:.1f}x",
            f"{line.equity:,.0f}",
            Text(f"{line.result:+,.0f}", style="red" if line.result < 0 else "green"),
            f"{line.fees:,.0f}",
            Text("yes" if line.liquidations else "no", style="bold red" if line.liquidations else ""),
        )
    wanted = engine.wanted.get(guarded, {}).get(market, Limits())
    heading = "the guard would ask (suppressed)" if suppressed else "the guard asks"
    asks = f"  {heading}: {posture_text(wanted)}"
    thin = "not known yet" if ratio is None else f"{ratio:.0%} of normal"
    below = [f"  bid depth {thin}; {findings_text(engine.findings)}", asks]
    if others:
        below.append(f"  {others}")
    return Group(table, *map(Text, below), Text(""))


def posture_text(limits: Limits) -> str:
    """One line of what a bot may do."""
    parts = [] if limits.entries is Entries.ALLOWED else [ENTRIES[limits.entries]]
    if limits.max_size is not None:
        parts.append(f"a position of at most {limits.max_size:.3f}")
    if limits.max_leverage is not None:
        parts.append(f"at most {limits.max_leverage:.1f}x leverage")
    if limits.stop is not None and limits.stop.stop_price is not None:
        parts.append(f"the stop at {limits.stop.stop_price:,.1f}")
    return ", ".join(parts) or "nothing"


def findings_text(findings: Sequence[Finding]) -> str:
    """What is wrong now, as far as it is more than worth noting."""
    names = {REASON_NAMES[finding.reason] for finding in findings if finding.severity is not Severity.INFO}
    return "found: " + (", ".join(sorted(names)) or "nothing")


def final_table(lines: Sequence[BotLine]) -> Table:
    """What each bot ended with, from the venue's accounts."""
    table = Table(title="What each bot lost, from the venue's accounts (USDT)", title_justify="left")
    for column in (
        "account",
        "deposit",
        "equity at the end",
        "result",
        "of it fees",
        "orders filled",
        "liquidated",
    ):
        table.add_column(column, justify="left" if column == "account" else "right")
    for line in lines:
        table.add_row(
            line.name,
            f"{line.deposit:,.2f}",
            f"{line.equity:,.2f}",
            Text(f"{line.result:+,.2f}", style="red" if line.result < 0 else "green"),
            f"{line.fees:,.2f}",
            str(line.fills),
            _times(line.liquidations),
        )
    return table


def verdict(guarded: BotLine, unguarded: BotLine, *, suppressed: bool) -> str:
    """One sentence on what guarding was worth, also where it cost."""
    difference = guarded.result - unguarded.result
    if suppressed:
        if abs(difference) < 0.005:
            return "The guard decided and sent nothing: both bots ended equal, to the cent."
        return f"The guard sent nothing, yet the bots differ by {difference:+,.2f} USDT: that should not be."
    if abs(difference) < 0.005:
        return "Guarding made no difference here."
    if difference > 0:
        return f"Guarding was worth {difference:,.2f} USDT here."
    return (
        f"Guarding cost {-difference:,.2f} USDT here: the market came back, and what had been cut missed it."
    )


def command_lines(records: Sequence[StoredRecord], market_began_at: Nanoseconds) -> Iterator[str]:
    """One line for each command that was decided, timed like the live table, with what became of it."""
    steps = [stored.record for stored in records if isinstance(stored.record, Step)]
    outcomes = {outcome.command_id: outcome for step in steps for outcome in step.outcomes}
    for step in steps:
        for publish in step.commands:
            if publish.attempt > 1:
                continue
            command = publish.command
            outcome = outcomes.get(command.id)
            became = "still open"
            if outcome is not None and outcome.detail.startswith(DRY_RUN):
                became = "a dry run: the bot heard nothing of it"
            elif outcome is not None:
                seen = {"venue": "seen on the venue", "bot": "by the bot's report"}.get(
                    outcome.source, "nobody saw"
                )
                became = f"{outcome.outcome}, {seen}: {outcome.detail}"
            reason = command.reason.replace("_", " ")
            at_s = round((step.at - market_began_at) / NS_PER_S, 1) + 0.0  # no -0.0
            yield f"{at_s:6.1f} s  {command.verb:<12} {reason:<17} -> {became}"


def bill_lines(bills: Sequence[Billed], *, suppressed: bool) -> Iterator[str]:
    """What the guard's own bill says, beside what the venue's accounts say, and why the two are not the same."""
    told = account_of(bills, Chosen())
    yield from total_words(summed(told.rows), told.open)
    moved = [line for line in (*told.lines, *told.open) if line.size]
    yield from (bill_line(line) for line in moved)
    if moved and not suppressed:
        yield (
            "This is an estimate by mark prices and the book, against a twin that does as the guarded bot does but for "
            "the commands; the table above is what two bots came to that also decided for themselves."
        )


def _times(count: int) -> str:
    return {0: "no", 1: "once"}.get(count, f"{count} times")


def wrapped(text: str, width: int) -> str:
    """Break long lines between words, each part indented like its beginning and two more."""
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2))
        for line in text.splitlines()
    )


def _market_text(state: GuardState, market: MarketId) -> str:
    view = state.markets[market]
    price = view.mid_price
    spread = view.spread_bps
    shown = "no price yet" if price is None else f"{price:,.1f}"
    return f"{market}  {shown}" + ("" if spread is None else f"   spread {spread:.1f} bps")
