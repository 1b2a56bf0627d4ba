"""The words for reasons, verbs, numbers and postures: the only place where they are put for people. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from guard.findings import Reason, Severity
from perpguard_sdk.messages import ALL_SYMBOLS, Entries, Evidence, Posture, StopRule, Verb

V = TypeVar("V")

REASONS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.STALE_DATA: "Market data had stopped arriving, so nobody could know what the market was doing.",
        Reason.BOOK_UNUSABLE: "The order book was crossed, had gaps or was empty, so it could not be believed.",
        Reason.BASELINE_COLD: "It was not known yet what is normal for this market, because too little had been seen.",
        Reason.ACCOUNT_UNKNOWN: "The state of the account could not be seen, so its risk was unknown.",
        Reason.DEPTH_THIN: "The orders resting in the book had become much thinner than is normal for this market: "
        "leaving a position would have moved the price more than usual, and a fall would have met little resistance.",
        Reason.DEPTH_COLLAPSED: "The orders resting in the book had all but vanished: "
        "what falls through such a book falls far.",
        Reason.SPREAD_WIDE: "The distance between best bid and best ask was much wider than is normal: "
        "market makers were withdrawing.",
        Reason.LIQUIDATION_NEAR: "The position was closer to its liquidation price than the book at that time "
        "could have absorbed.",
        Reason.LIQUIDATION_UNKNOWN: "The price at which the position would be liquidated was not known, "
        "and not known is never safe.",
        Reason.STOP_IN_THIN_ZONE: "The protective stop rested where the book was so thin that a short wick would have "
        "fired it far from its price.",
        Reason.COMMAND_FAILED: "An earlier command to this bot had not taken effect.",
        Reason.BOT_SILENT: "The bot had not been heard from for too long.",
        Reason.BOT_CLOCK_OFFSET: "The bot's clock was off by more than commands can be timed with.",
        Reason.MESSAGE_REFUSED: "Messages in this bot's name were wrongly signed or malformed.",
        Reason.BROKER_DOWN: "The connection to the MQTT broker was lost.",
        Reason.AUDIT_DOWN: "Decisions could not be written down.",
        Reason.POLICY_RAISED: "A policy of the guard failed, so what it watches was not being judged.",
        Reason.RESTART_FLOOR: "The guard had just restarted: what it had restricted before stays until it knows again "
        "what is normal.",
        Reason.RECOVERED: "What had been wrong was over.",
    }
)
"""One sentence for each reason."""

VERBS: Mapping[Verb, str] = MappingProxyType(
    {
        Verb.PAUSE: "pause entries",
        Verb.RESUME: "resume",
        Verb.CUT_LEVERAGE: "cut leverage",
        Verb.WIDEN_STOPS: "widen the stop and shrink the position",
    }
)

SEVERITIES: Mapping[Severity, str] = MappingProxyType(
    {
        Severity.INFO: "worth noting",
        Severity.WATCH: "worth watching",
        Severity.ACT: "bad enough to act",
        Severity.CRITICAL: "critical",
    }
)

ENTRIES: Mapping[Entries, str] = MappingProxyType(
    {
        Entries.ALLOWED: "entries allowed",
        Entries.REDUCE_ONLY: "no new entries, reducing only",
        Entries.HALTED: "trading halted",
    }
)

UNITS = {"sd": "standard deviations", "z": "standard deviations", "ratio": "", "version": "", "USD": "USD"}
WORDS_ONLY = {"text", "state", "stream state", "trust", "id", "verb", "outcome", "topic"}


def evidence_words(evidence: Evidence) -> str:
    """One measured fact: name, value, unit, and the limit it was held against.

    >>> evidence_words(Evidence(name="bid depth over normal", value=0.2312, unit="ratio", limit=0.5))
    'bid depth over normal 0.231 (limit 0.5)'
    >>> evidence_words(Evidence(name="spread", value=12.25, unit="bps"))
    'spread 12.2 bps'
    >>> evidence_words(Evidence(name="book", value="crossed", unit="trust"))
    'book: crossed'
    """
    name = evidence.name.replace("_", " ")
    if isinstance(evidence.value, str) or evidence.unit in WORDS_ONLY:
        return f"{name}: {evidence.value}"
    unit = UNITS.get(evidence.unit, evidence.unit)
    in_words = price_words if "price" in name else number_words
    value = f"{in_words(float(evidence.value))} {unit}".strip()
    limit = "" if evidence.limit is None else f" (limit {f'{in_words(evidence.limit)} {unit}'.strip()})"
    return f"{name} {value}{limit}"


def number_words(value: float) -> str:
    """Three significant digits below a thousand, whole numbers with separators above.

    >>> number_words(412345.6), number_words(0.0123456), number_words(-4.1), number_words(60000)
    ('412,346', '0.0123', '-4.1', '60,000')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def price_words(value: float) -> str:
    """Seven significant digits, enough to tell ticks apart.

    >>> price_words(58211.4), price_words(0.123456)
    ('58,211.4', '0.123456')
    """
    return f"{value:,.7g}"


def size_words(size: float, symbol: str) -> str:
    """A size in base units; the sign is said in words.

    >>> size_words(-0.5, "BTC/USDT:USDT"), size_words(0.0, "BTC/USDT:USDT")
    ('0.5 BTC short', 'no position')
    """
    if size == 0:
        return "no position"
    base = symbol.partition("/")[0] if "/" in symbol else "units"
    return f"{abs(size):.6g} {base}{' short' if size < 0 else ''}"


def posture_words(posture: Posture, symbol: str) -> str:
    """What a posture allows on one symbol."""
    entries = Entries.tightest(*_both(posture.entries, symbol))
    parts = [ENTRIES[entries]]
    sizes, leverages = _both(posture.max_size, symbol), _both(posture.max_leverage, symbol)
    if sizes:
        parts.append(f"a position of at most {size_words(min(sizes), symbol)}")
    if leverages:
        parts.append(f"at most {number_words(min(leverages))} times leverage")
    parts += [stop_words(rule) for rule in _both(posture.stops, symbol)]
    if not sizes and not leverages:
        parts.append("no limit on size or leverage")
    return "; ".join(parts)


def stop_words(rule: StopRule) -> str:
    """A stop rule."""
    parts = []
    if rule.stop_price is not None:
        parts.append(f"the stop at {price_words(rule.stop_price)}")
    if rule.distance_bps_min is not None:
        parts.append(f"no stop nearer than {number_words(rule.distance_bps_min)} bps")
    parts += [f"no stop between {price_words(low)} and {price_words(high)}" for low, high in rule.avoid]
    return list_words(parts) if parts else "no rule for its stop"


def list_words(words: Sequence[str]) -> str:
    """Join with commas and a last *and*.

    >>> list_words(["a", "b", "c"]), list_words(["a"]), list_words([])
    ('a, b and c', 'a', '')
    """
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def _both(by_symbol: Mapping[str, V], symbol: str) -> list[V]:
    return [by_symbol[key] for key in (symbol, ALL_SYMBOLS) if key in by_symbol]
