"""Whose a bot's pause is: the guard takes back only what it asked for itself, never what a human holds. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from guard.state import BotRecord
from guard.units import MarketId, symbol_of
from perpguard_sdk.messages import ALL_SYMBOLS, Entries, Reported


def own_entries(reported: Reported, market: MarketId) -> Entries | None:
    """Return what a bot says that it holds back of its own accord; ``None`` where it does not tell that apart."""
    own = reported.own_entries
    if own is None:
        return None
    return entries_of(own, market)


def guarded_entries(reported: Reported, market: MarketId) -> Entries:
    """Return what a bot says of its entries, its safe mode and what it tells to be its own left out."""
    return entries_of(reported.entries, market)


def entries_of(by_symbol: Mapping[str, Entries], market: MarketId) -> Entries:
    """Return what is said of one market in a map by symbol or ``ALL_SYMBOLS``."""
    symbols = (symbol_of(market), ALL_SYMBOLS)
    return Entries.tightest(*(by_symbol[each] for each in symbols if each in by_symbol))


@dataclass(slots=True)
class Hold:
    """What holds a bot's entries in one market, as far as it can be told apart.

    ``asked`` is the tightest that a guard asked for and that was not seen to be taken back, ``theirs`` what the bot
    reported beyond that: a human's, or its own protection's. A bot that tells the two apart by itself is believed.
    Where a human and a former guard hold the same, and the bot does not tell, what is left looks like the guard's.
    """

    asked: Entries = Entries.ALLOWED
    theirs: Entries = Entries.ALLOWED

    def follow(self, record: BotRecord, market: MarketId, wanted: Entries, version: int) -> None:
        """Take what the bot has reported, then that ``wanted`` is asked for.

        Args:
            record: the bot.
            market: where.
            wanted: what is asked for from now on.
            version: of the posture that was published last; a report of an older one may speak of the time before.
        """
        reported = record.reported
        if reported is not None and not reported.safe_mode:
            said, own = guarded_entries(reported, market), own_entries(reported, market)
            if own is not None:
                self.theirs = own
            elif said.tightness > self.asked.tightness:
                self.theirs = said
            elif said.tightness < self.theirs.tightness:
                self.theirs = Entries.ALLOWED
            if reported.posture_version >= version and said.tightness <= wanted.tightness:
                self.asked = wanted
        self.asked = Entries.tightest(self.asked, wanted)

    def to_take_back(self, record: BotRecord, market: MarketId, wanted: Entries) -> Entries | None:
        """Return to what a bot's entries are to be loosened where ``wanted`` is all that is asked for.

        ``None`` where nothing that is the guard's is left to be taken back.
        """
        reported = record.reported
        if reported is None or reported.safe_mode:
            return None
        said = guarded_entries(reported, market)
        left = wanted
        if own_entries(reported, market) is None:
            left = Entries.tightest(wanted, self.theirs)
        return left if said.tightness > left.tightness else None
