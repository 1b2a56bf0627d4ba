"""What state a market was in, in words, from the outlooks that were recorded. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guard.explain_words import duration_words, list_words, share_words, utc_words
from guard.forecasts import HORIZONS_S, MOVES, Direction, MarketOutlook, Regime
from guard.units import Nanoseconds, symbol_of

HELD_BY = {
    "hazard": "a move of 5 % within 15 minutes was likely enough that waiting cost more than acting",
    "depth_z": "the book was far thinner than is usual at this hour",
    "round_trip": "getting in and out cost many times the usual",
    "reproduction": "within a usual move, what is forced would have forced more than itself",
    "liquidations": "much of what stood in the book was being liquidated each minute, and price ran",
    "collapse": "most of the book was gone",
}
"""What holds a regime, by the names of ``guard.hazard.regime``."""

MEANS = {
    Regime.NORMAL: "as usual",
    Regime.WATCH: "something is off",
    Regime.STRESSED: "a shock would go far",
    Regime.CASCADE: "a cascade is under way",
    Regime.RECOVERY: "it is over, and depth comes back",
}

CHANGES_MAX = 8


def regime_words(outlook: MarketOutlook) -> str:
    """The state of a market and what holds it there.

    >>> from guard.units import MarketId
    >>> regime_words(MarketOutlook(at=0, market=MarketId("a:B"), regime=Regime.WATCH, regime_reasons=("collapse",)))
    'watch, because most of the book was gone'
    """
    if outlook.regime is None:
        return "not known"
    reasons = [HELD_BY.get(reason, reason) for reason in outlook.regime_reasons]
    if reasons:
        return f"{outlook.regime}, because {list_words(reasons)}"
    if outlook.regime is Regime.NORMAL:
        return "normal"
    return f"{outlook.regime}, although nothing holds it there any more: it is left slowly"


def outlook_line(outlook: MarketOutlook) -> str:
    """One line for lists."""
    symbol = symbol_of(outlook.market)
    if outlook.unknown and outlook.regime is None:
        return f"outlook of {symbol}: not known ({list_words(outlook.unknown)})"
    return f"outlook of {symbol}: {outlook.regime or 'state not known'}{_chance(outlook)}"


def changes_words(outlooks: Iterable[MarketOutlook]) -> Iterator[str]:
    """Yield a sentence for each change of regime, and one for the last state; ``outlooks`` of one market, in order."""
    former: MarketOutlook | None = None
    sentences: list[str] = []
    last: MarketOutlook | None = None
    for outlook in outlooks:
        if outlook.regime is None:
            continue
        if former is not None and outlook.regime is not former.regime:
            sentences.append(
                f"At {utc_words(outlook.at)} it went from {former.regime} to {regime_words(outlook)}."
            )
        former = last = outlook
    yield from sentences[-CHANGES_MAX:]
    if last is None:
        return
    if not sentences:
        yield f"It was {regime_words(last)}{_since(last, last.at)}."
    chance = _chance(last)
    if chance:
        yield f"As last recorded before the command, at {utc_words(last.at)}: {chance.removeprefix(', ')}."


def _since(outlook: MarketOutlook, now: Nanoseconds) -> str:
    if not outlook.regime_since:
        return ""
    return f", for {duration_words(max(now - outlook.regime_since, 0))}"


def _chance(outlook: MarketOutlook) -> str:
    """The chance of the larger move, in the likelier direction."""
    horizon, move = HORIZONS_S.index(900), MOVES.index(0.05)
    told = [(each.probability[horizon][move], each.direction) for each in outlook.hazards]
    if not told:
        return ""
    chance, direction = max(told, key=lambda each: each[0])
    word = "fall" if direction is Direction.DOWN else "rise"
    return f", {share_words(chance)} for a {word} of 5 % within 15 minutes"
