"""The words for reasons, verbs, numbers and postures: the only place where they are put for people. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypeVar

from guard.audit import SettingsReloaded
from guard.findings import Offer, Remedy, Severity
from guard.units import NS_PER_MS, NS_PER_S, Nanoseconds
from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    Ack,
    Command,
    CutLeverage,
    Entries,
    Evidence,
    Posture,
    Resume,
    StopRule,
    Verb,
    WidenStops,
)

V = TypeVar("V")


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
        Entries.NO_ADDS: "no adding to what is held",
        Entries.REDUCE_ONLY: "no new entries, reducing only",
        Entries.HALTED: "trading halted",
    }
)


REMEDIES: Mapping[Remedy, str] = MappingProxyType(
    {
        Remedy.ADD_MARGIN: "add margin",
        Remedy.SWAP_COLLATERAL: "swap collateral for a stable coin",
        Remedy.ISOLATE_POSITION: "give the position margin of its own (isolated)",
        Remedy.HEDGE_ELSEWHERE: "hedge at another venue",
        Remedy.MOVE_STOP_ELSEWHERE: "let the stop wait at another venue's price",
    }
)

CHANGES_SHOWN = 5

DRY_RUN = "a dry run"
"""How the detail of an outcome begins where the bot obeys only guards of the other mode."""

UNITS = {"ratio": "", "version": "", "x": "times"}
SECONDS = {"h": 3_600, "min": 60, "s": 1}
WORDS_ONLY = {"text", "state", "stream state", "trust", "id", "verb", "outcome", "topic", "fault"}


def evidence_words(evidence: Evidence, symbol: str = "") -> str:
    """One measured fact: name, value, unit, and the limit it was held against; sizes in units of ``symbol``.

    >>> evidence_words(Evidence(name="bid depth over normal", value=0.2312, unit="ratio", limit=0.5))
    'bid depth over normal: 23% (limit 50%)'
    >>> evidence_words(Evidence(name="position", value=-2.25, unit="base units", limit=1.5), "BTC/USDT:USDT")
    'position: 2.25 BTC short (limit 1.5 BTC)'
    >>> evidence_words(Evidence(name="book", value="crossed", unit="trust"))
    'book: crossed'
    """
    name = evidence.name.replace("_", " ")
    if isinstance(evidence.value, str) or evidence.unit in WORDS_ONLY:
        return f"{name}: {evidence.value}"
    limit = "" if evidence.limit is None else f" (limit {_quantity(evidence, evidence.limit, symbol)})"
    return f"{name}: {_quantity(evidence, float(evidence.value), symbol)}{limit}"


def _quantity(evidence: Evidence, value: float, symbol: str) -> str:  # noqa: PLR0911 (one case a line is the table)
    match evidence.unit:
        case "base units":
            return size_words(value, symbol)
        case "ratio" if "depth" in evidence.name:
            return share_words(value)
        case "ratio":
            return f"{number_words(value)} times"
        case "sd" | "z":
            return number_words(value)  # the name says that it is a z-score
        case "h" | "min" | "s":
            return duration_words(round(value * NS_PER_S * SECONDS[evidence.unit]))
        case "ms" if abs(value) >= 1_000.0:
            return duration_words(round(value * NS_PER_MS))
        case "USD" if "price" not in evidence.name and 1.0 <= abs(value) < 10_000_000.0:
            return f"{value:,.2f} USD" if abs(value) < 100.0 else f"{value:,.0f} USD"
        case "USD" if "price" not in evidence.name and abs(value) >= 10_000_000.0:
            return money_words(value)
        case unit:
            is_price = "price" in evidence.name and not unit.startswith(("bps", "%"))
            in_words = price_words if is_price else number_words
            return f"{in_words(value)} {UNITS.get(unit, unit)}".strip()


def near_words(evidence: Sequence[Evidence], symbol: str) -> Iterator[str]:
    """Why liquidation was too near, as a chain: how thin, how far a shock goes, how far there is, hence.

    Yields nothing where the evidence does not hold the chain.
    """
    known = {each.name: each for each in evidence}
    try:
        distance, reach, shock = known["distance to liquidation"], known["reach of the shock"], known["shock"]
        leaving, position = known["exit cost of the position"], known["position"]
        values = [float(each.value) for each in (distance, reach, shock, leaving, position)]
    except (KeyError, ValueError):
        return
    distance_bps, reach_bps, shock_usd, exit_bps, size = values
    side, order = ("Bid", "selling") if size > 0 else ("Ask", "buying")
    depth = next((each for each in evidence if each.name.endswith("depth over normal")), None)
    if depth is not None and isinstance(depth.value, float | int):
        usual = (
            ""
            if depth.value < _THIN_SHARE
            else ", about as usual: it is the size of the position that counts"
        )
        yield f"{side} depth was {share_words(depth.value)} of what is normal for this market{usual}."
    estimated = " (an estimate, beyond what the venue shows of its book)" if "book" in known else ""
    yield (
        f"In that book a shock, {order} {money_words(shock_usd)} at once, would have moved the price "
        f"{number_words(reach_bps)} bps{estimated}."
    )
    needed = "" if distance.limit is None else f": {number_words(distance.limit)} bps were needed"
    price = next((each for each in evidence if each.name.startswith("liquidation price")), None)
    at = "" if price is None or isinstance(price.value, str) else f", at {price_words(price.value)}"
    ours = " by our estimate" if price is not None and "estimate" in price.name else ""
    if price is not None and "all move" in price.name:
        ours = " if the markets of all its positions move together"
    yield (
        f"Liquidation was only {number_words(distance_bps)} bps away{at}{ours}. That way must hold the shock, "
        f"the cost of leaving ({number_words(exit_bps)} bps for the whole position) and a reserve{needed}."
    )
    if position.limit is not None and position.limit < abs(size):
        yield (
            f"Hence the cut from {size_words(abs(size), symbol)} to {size_words(position.limit, symbol)}: "
            "a position of that size has its liquidation price far enough away."
        )


def wick_words(evidence: Sequence[Evidence], symbol: str) -> Iterator[str]:
    """Why a stop had to move, as a chain; nothing where the evidence does not hold it."""
    known = {each.name: each for each in evidence}
    try:
        position, names = (
            known["position"],
            ("stop distance", "reach of a wick", "wick", "new stop price", "position"),
        )
        distance_bps, wick_bps, wick_usd, new_price, size = (float(known[name].value) for name in names)
    except (KeyError, ValueError):
        return
    order = "selling" if size > 0 else "buying"
    depth = next((each for each in evidence if each.name.endswith("depth over normal")), None)
    thin = (
        ""
        if depth is None or isinstance(depth.value, str)
        else f", {share_words(depth.value)} as deep as is normal"
    )
    gap = "" if distance_bps < wick_bps else ", and rested in a gap of it"
    yield (
        f"In the book as it was{thin}, {order} {money_words(wick_usd)} at once would have moved the price "
        f"{number_words(wick_bps)} bps; the protective stop was {number_words(distance_bps)} bps from the mark "
        f"price{gap}. A short wick would have fired it far from its price."
    )
    smaller = (
        ""
        if position.limit is None
        else f" from {size_words(abs(size), symbol)} to {size_words(position.limit, symbol)}"
    )
    yield (
        f"Hence the stop's move to {price_words(new_price)}, and the cut{smaller} before it: "
        "the money at risk stays the same."
    )


_THIN_SHARE = 0.8
"""Depth above this share of normal is called usual."""


def share_words(ratio: float) -> str:
    """A share as percent.

    >>> share_words(0.2312), share_words(0.0312), share_words(1.04)
    ('23%', '3.1%', '104%')
    """
    return f"{ratio:.1%}" if abs(ratio) < 0.1 else f"{ratio:.0%}"


def money_words(usd: float) -> str:
    """An amount of money.

    >>> money_words(55_781_461.2), money_words(41_234.5)
    ('55.8 million USD', '41,234 USD')
    """
    return f"{usd / 1e6:,.1f} million USD" if abs(usd) >= 1e6 else f"{usd:,.0f} USD"


def duration_words(duration_ns: Nanoseconds) -> str:
    """A duration.

    >>> duration_words(4_200_000), duration_words(61_000_000_000), duration_words(600_000_000_000)
    ('4 ms', '61.0 s', '10.0 min')
    """
    seconds = duration_ns / NS_PER_S
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def utc_words(at: Nanoseconds) -> str:
    """A time for people, to the millisecond.

    >>> utc_words(1_754_000_000_123_000_000)
    '2025-07-31 22:13:20.123 UTC'
    """
    moment = datetime.fromtimestamp(at // NS_PER_S, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at % NS_PER_S // NS_PER_MS:03d} UTC"


def number_words(value: float) -> str:
    """Three significant digits below a thousand, whole numbers with separators above; no negative zero.

    >>> number_words(412345.6), number_words(0.0123456), number_words(-4.1), number_words(60000)
    ('412,346', '0.0123', '-4.1', '60,000')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.3g}"


def price_words(value: float) -> str:
    """Seven significant digits, enough to tell ticks apart.

    >>> price_words(58211.4), price_words(0.123456)
    ('58,211.4', '0.123456')
    """
    return f"{value:,.7g}"


def size_words(size: float, symbol: str) -> str:
    """A size in base units; the sign is said in words.

    >>> size_words(-0.5, "BTC/USDT:USDT"), size_words(0.0, "BTC/USDT:USDT"), size_words(1e6, "DOGE/USDT:USDT")
    ('0.5 BTC short', 'no position', '1,000,000 DOGE')
    """
    if size == 0:
        return "no position"
    base = symbol.partition("/")[0] if "/" in symbol else "units"
    amount = f"{abs(size):,.0f}" if abs(size) >= 100_000.0 else f"{abs(size):,.6g}"
    return f"{amount} {base}{' short' if size < 0 else ''}"


def posture_words(posture: Posture, symbol: str, *, in_short: bool = False) -> str:
    """What a posture allows on one symbol; ``in_short`` without its rung and what it does not limit."""
    entries = Entries.tightest(*_both(posture.entries, symbol))
    parts = [ENTRIES[entries]]
    share = min(_both(posture.entry_share, symbol), default=1.0)
    if share < 1.0:
        parts.append(f"new entries of {100.0 * share:.0f} % of their usual size")
    sizes, leverages = _both(posture.max_size, symbol), _both(posture.max_leverage, symbol)
    if sizes:
        parts.append(f"a position of at most {size_words(min(sizes), symbol)}")
    if leverages:
        parts.append(f"at most {number_words(min(leverages))} times leverage")
    parts += [stop_words(rule) for rule in _both(posture.stops, symbol)]
    if not sizes and not leverages and not in_short:
        parts.append("no limit on size or leverage")
    if not in_short and (rung := posture.rungs.get(symbol)):
        parts.append(f"on the rung {rung.replace('_', ' ')}")
    if symbol in posture.flattened:
        parts.append("closed until somebody releases it")
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


def market_words(command: Command) -> str:
    """What market a command is about."""
    return "every market" if command.symbol == ALL_SYMBOLS else command.symbol


def request_words(command: Command) -> str:
    """What a command asks of a bot, after "the guard asked bot X"."""
    on = market_words(command)
    match command:
        case CutLeverage(max_leverage=leverage, max_size=size):
            return (
                f"to reduce its position in {on} to at most {size_words(size, on)} and to use no more than "
                f"{number_words(leverage)} times leverage from then on"
            )
        case WidenStops(max_size=size, stop=stop):
            to = "where the posture says" if stop.stop_price is None else f"to {price_words(stop.stop_price)}"
            return (
                f"to reduce its position in {on} to at most {size_words(size, on)} first, and only then to move "
                f"its protective stop {to}"
            )
        case Resume(entries=entries):
            return f"to loosen again on {on}: {ENTRIES[entries]}"
        case _ if command.entries is Entries.NO_ADDS:
            return f"to add nothing to what it holds on {on} and to cancel the resting orders that could"
        case _:
            halted = f" ({ENTRIES[command.entries]})" if command.entries is not Entries.REDUCE_ONLY else ""
            return f"to enter nothing new on {on}{halted} and to cancel the resting orders that could enter"


def ack_words(ack: Ack, when: str, symbol: str) -> str:
    """What a bot answered, and what it says that it changed; sizes in units of ``symbol``."""
    words = f"The bot answered {ack.status!s} {when}"
    if ack.detail:
        words += f": {ack.detail}"
    effect = ack.effect
    if effect is None:
        return words + "."
    said = []
    if effect.size_before is not None and effect.size_after is not None:
        moved = effect.size_before != effect.size_after
        before, after = size_words(effect.size_before, symbol), size_words(effect.size_after, symbol)
        said.append(
            f"its position went from {before} to {after}" if moved else f"its position stayed {after}"
        )
    if effect.stop_price_after is not None:
        said.append(f"its stop is at {price_words(effect.stop_price_after)}")
    if effect.orders_cancelled:
        said.append(f"it cancelled {_orders(effect.orders_cancelled)}")
    if effect.orders_placed:
        said.append(f"it placed {_orders(effect.orders_placed)}")
    return f"{words} and says that {list_words(said)}." if said else words + "."


def _orders(ids: Sequence[str]) -> str:
    return f"the order {ids[0]}" if len(ids) == 1 else f"the orders {list_words(list(ids))}"


def changed_words(record: SettingsReloaded, at: Nanoseconds) -> str:
    """What was changed in the settings before something that happened ``at``, and how long before."""
    changes = [f"{change.path} from {change.old} to {change.new}" for change in record.changes]
    shown = changes[:CHANGES_SHOWN] + [f"{len(changes) - CHANGES_SHOWN} more"] * (
        len(changes) > CHANGES_SHOWN
    )
    return (
        f"Its settings had last been changed {duration_words(at - record.at)} before ({record.cause}): "
        f"{list_words(shown)}."
    )


def detail_words(detail: str, symbol: str) -> str:
    """What was seen of an effect, with its sizes in units of ``symbol``.

    >>> detail_words("no order that can enter rests and the position is -20000", "XRP/USDT:USDT")
    'no order that can enter rests and the position is 20,000 XRP short'
    >>> detail_words("position 1.02089, at most 1.5 asked; stops at [2387.5], 2387.5 asked", "ETH/USDT:USDT")
    'position 1.02089 ETH, at most 1.5 ETH asked; stops at 2,387.5, 2,387.5 asked'
    """
    detail = _ENTRIES.sub(lambda found: ENTRIES[Entries(found[1])], detail)
    detail = _SIZE.sub(
        lambda found: f"{found[1]}{size_words(float(found[2]), symbol) if float(found[2]) else 0}", detail
    )
    return _STOPS.sub(
        lambda found: (
            f"stops at {', '.join(price_words(float(each)) for each in found[1].split(', ') if each) or 'none'}, "
            f"{price_words(float(found[2]))} asked"
        ),
        detail,
    )


def _size_or_0(size: float, symbol: str) -> str:
    return size_words(size, symbol) if size else "0"


_NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_SIZE = re.compile(r"(\bposition (?:is )?|\bat most )" + _NUMBER + r"(?![\d ]*[%x]| times)")
_ENTRIES = re.compile(rf"\bentries ({'|'.join(Entries)})\b")
_STOPS = re.compile(r"stops at \[([-\d., e+]*)\], " + _NUMBER + " asked")


def counterfactual_words(text: str) -> str:
    """What would have had to be different, as a sentence.

    >>> counterfactual_words("would not stand with more depth"), counterfactual_words("more depth")
    ('It would not have come to this with more depth.', 'What would have had to be different: more depth.')
    """
    rest = text.removeprefix("would not stand")
    if rest != text:
        return f"It would not have come to this{rest}."
    if text.startswith("would "):
        return f"It {text}."
    return f"What would have had to be different: {text}."


def offer_words(offer: Offer) -> str:
    """What a human could do instead.

    >>> offer_words(Offer(remedy=Remedy.ADD_MARGIN, amount_usd=10_355.2, about="USDT", cost_usd=0.0))
    'add margin: 10,355 USD (USDT), which costs nothing'
    """
    venue, _, rest = offer.about.partition(":")
    shown = f"{rest} on {venue}" if rest and "/" not in venue else offer.about
    cost = (
        "at an unknown cost"
        if offer.cost_usd is None
        else "which costs nothing"
        if abs(offer.cost_usd) < 0.005
        else f"for about {_money(offer.cost_usd)}"
    )
    where = f" ({shown})" if shown else ""
    return f"{REMEDIES[offer.remedy]}: {_money(offer.amount_usd)}{where}, {cost}"


def _money(usd: float) -> str:
    return f"{usd:,.2f} USD" if abs(usd) < 100.0 else money_words(usd)


def decapitalised(sentence: str) -> str:
    """A sentence to go on with behind a colon."""
    return sentence[:1].lower() + sentence[1:]
