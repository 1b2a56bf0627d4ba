"""Where a command's time went, in plain words, from what was written down of its hops. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

from guard.audit import CommandTraced, TraceEnd
from guard.explain_words import list_words
from guard.hops import BUDGETS_NS, Hop, slowest_of, whole_ns
from guard.units import NS_PER_MS, NS_PER_S, Nanoseconds, venue_of

HOPS = {
    Hop.VENUE: "from the venue to here",
    Hop.DECODE: "reading a frame",
    Hop.BOOK: "applying it to the book",
    Hop.SAMPLE: "until the book was sampled",
    Hop.FEATURES: "measuring it and waiting for the engine",
    Hop.CAUSE: "from the latest look at the market to what caused it",
    Hop.DECIDE: "deciding",
    Hop.DURABLE: "writing it down",
    Hop.PUBLISH: "until the broker had it",
    Hop.BOT: "until the bot's answer was here",
}

CAUSES = {
    "market_features": "a look at the book",
    "markets_sampled": "a look at the books",
    "tick": "the passing of time",
    "account_snapshot": "an account's state",
    "bot_reported": "a bot's report",
    "bot_acked": "a bot's answer",
    "bot_born": "the birth of a bot",
    "bot_status": "a bot's state",
    "streams_active": "the silence or speech of streams",
    "stream_fault": "a fault of a stream",
    "link_changed": "a link that changed",
    "guard_started": "the start of the guard",
    "settings_changed": "other settings",
}

ENDS = {
    TraceEnd.ANSWERED: "",
    TraceEnd.JUDGED: "what came of it was known before the bot answered",
    TraceEnd.REPEATED: "it was repeated before the bot answered",
    TraceEnd.STOPPED: "the guard stopped following it before the bot answered",
}


def traced_words(record: CommandTraced) -> str:
    """What a record of a command's hops says, in one line."""
    again = "" if record.attempt == 1 else f", attempt {record.attempt}"
    hops = [f"{hop} {took_words(took)}" for hop, took in record.hops_ns.items()]
    end = "" if record.end is TraceEnd.ANSWERED else f", {record.end}"
    whole = took_words(whole_ns(record.hops_ns))
    return f"{record.command_id} to {record.bot} took {whole}{again}{end}: {', '.join(hops)}"


def way_words(record: CommandTraced) -> Iterator[str]:
    """Say where the time of one attempt went: a heading, a line for each hop, what was slowest."""
    hops, slowest = record.hops_ns, slowest_of(record.hops_ns)
    which = "" if record.attempt == 1 else f" for attempt {record.attempt}"
    cause = CAUSES.get(record.cause, record.cause.replace("_", " "))
    end = f"; {ENDS[record.end]}" if ENDS[record.end] else ""
    yield f"{took_words(whole_ns(hops))} in all{which}, caused by {cause}{end}."
    for hop in Hop:
        if hop in hops:
            yield f"- {HOPS[hop]}: {took_words(hops[hop])}{_over_words(hop, hops[hop])}{_note(hop, record)}"
    if record.sent_ahead:
        yield "It was sent before its record was on the disk, because it must not wait for that any longer."
    missing = _missing(record)
    if missing:
        yield f"Not known: {list_words(missing)}."
    if slowest is not None:
        yield f"Slowest was: {HOPS[slowest]}."


def took_words(took_ns: Nanoseconds) -> str:
    """A duration of any size.

    >>> took_words(2_800), took_words(1_460_000), took_words(31_000_000), took_words(2_500_000_000)
    ('3 us', '1.5 ms', '31 ms', '2.5 s')
    """
    size = abs(took_ns)
    if size < NS_PER_MS:
        return f"{took_ns / 1_000:.0f} us"
    if size < 10 * NS_PER_MS:
        return f"{took_ns / NS_PER_MS:.1f} ms"
    return f"{took_ns / NS_PER_MS:.0f} ms" if size < NS_PER_S else f"{took_ns / NS_PER_S:.1f} s"


def _over_words(hop: Hop, took_ns: Nanoseconds) -> str:
    budget = BUDGETS_NS.get(hop)
    return "" if budget is None or took_ns <= budget else f", more than the {took_words(budget)} it may take"


def _note(hop: Hop, record: CommandTraced) -> str:
    if hop in (Hop.DECODE, Hop.BOOK):
        return f" (as last measured on frames of that venue; part of: {HOPS[Hop.SAMPLE]})"
    if hop is not Hop.VENUE:
        return ""
    venue = "the venue" if record.market is None else venue_of(record.market)
    if record.venue_lag_ms is None:
        return f" (by {venue}'s clock and ours, whose difference is not known)"
    return (
        f" (by {venue}'s clock and ours: no message took less than {record.venue_lag_ms:.1f} ms by them in that "
        "minute, which is the shortest way and their difference together)"
    )


def _missing(record: CommandTraced) -> list[str]:
    hops = record.hops_ns
    missing = []
    if Hop.VENUE not in hops:
        missing.append("when the venue saw what led to it")
    if Hop.PUBLISH not in hops:
        missing.append("when the broker had it")
    if Hop.BOT not in hops:
        missing.append("when the bot had it")
    return missing
