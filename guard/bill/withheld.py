"""Bills entries that a bot says it was kept from: a level, so that a report that got lost is made up for. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from guard.bill.books import Books
from guard.bill.decision import WISHES_UNKNOWN, Decision
from guard.bots import BotRecord
from guard.state import GuardState
from guard.units import NS_PER_S, BotId, Nanoseconds
from perpguard_sdk.messages import Reported

SILENT_S = 60
"""A bot that said nothing for so long before its entries were given back may have wished for anything."""
LEVEL_MIN = 1e-9
"""Levels that differ by less of themselves are the same."""


def hear(
    reported: Reported,
    restricted: Mapping[tuple[BotId, str], str],
    books: Books,
    state: GuardState,
    at: Nanoseconds,
) -> None:
    """Take a bot's word on what it would hold more now; ``restricted`` names the open decision by bot and symbol."""
    told = reported.withheld or {}
    bot = BotId(reported.bot)
    for (of_bot, symbol), name in restricted.items():
        decision = books.decisions.get(name)
        if of_bot != bot or decision is None or decision.line.modelled:
            continue
        level = told.get(symbol)
        if level is not None and math.isfinite(level):
            decision.tells_wishes = True
            _settle_level(decision, level, books, state, at)
        elif decision.tells_wishes:
            # It could tell before and cannot any more, as after a restart: what was known by then stays counted.
            decision.misses(WISHES_UNKNOWN)


def heard_out(decision: Decision, record: BotRecord, at: Nanoseconds) -> None:
    """A restriction is over: a bot that had gone silent by then did not tell all that it wished for."""
    is_silent = record.reported_at is None or at - record.reported_at > SILENT_S * NS_PER_S
    if is_silent and decision.tells_wishes and not decision.line.modelled:
        decision.misses(WISHES_UNKNOWN)


def _settle_level(decision: Decision, level: float, books: Books, state: GuardState, at: Nanoseconds) -> None:
    """Have the twin hold ``level`` more: it enters what it has less of that, and closes what it has beyond it."""
    has = decision.left
    if abs(level - has) <= LEVEL_MIN * max(abs(level), abs(has)):
        return
    kept = 0.0 if level * has <= 0.0 else math.copysign(min(abs(level), abs(has)), has)
    if kept != has:
        books.meet(decision, has - kept, state, at, end=None, pays=-1.0)
    if level != kept:
        books.part(decision, level - kept, state, enters=True)
