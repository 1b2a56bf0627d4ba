"""What a bot may do: restrictions, how they add up, and the view of them that a strategy asks.

Restrictions only ever add up to something tighter; nothing here can loosen. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Struct

from perpguard_sdk.messages import (
    ALL_SYMBOLS,
    Command,
    CutLeverage,
    Entries,
    Pause,
    Posture,
    Resume,
    StopRule,
    WidenStops,
)

_T = TypeVar("_T")


class Restrictions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Five maps keyed by symbol or ``ALL_SYMBOLS``; a missing key restricts nothing.

    ``max_leverage`` is notional / equity, ``max_size`` an absolute size in base units, ``entry_share`` (0..1) what
    part of its usual size a new entry may have.
    """

    entries: dict[str, Entries] = {}
    max_leverage: dict[str, float] = {}
    max_size: dict[str, float] = {}
    stops: dict[str, StopRule] = {}
    entry_share: dict[str, float] = {}


UNRESTRICTED = Restrictions()
SAFE_MODE = Restrictions(entries={ALL_SYMBOLS: Entries.REDUCE_ONLY})
"""No new entries, reduce-only; stops stay where they are and nothing is sold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits in force now, safe mode included; ``advisory``: no live guard ever armed this bot."""

    restrictions: Restrictions = UNRESTRICTED
    safe_mode: bool = False
    advisory: bool = False

    def entries(self, symbol: str) -> Entries:
        """What orders may be placed on ``symbol``."""
        return Entries.tightest(*_both(self.restrictions.entries, symbol))

    def entry_share(self, symbol: str) -> float:
        """What part of its usual size a new entry may have, 0..1; the smallest that anything says."""
        return max(0.0, min((1.0, *_both(self.restrictions.entry_share, symbol))))

    def may_enter(self, symbol: str) -> bool:
        """Whether an order that opens or grows a position may be placed."""
        return self.entries(symbol) is Entries.ALLOWED

    def may_open(self, symbol: str) -> bool:
        """Whether an order may be placed that opens a position where none is held."""
        return self.entries(symbol).tightness <= Entries.NO_ADDS.tightness

    def max_size(self, symbol: str) -> float | None:
        """Largest absolute position in base units, ``None`` for no limit."""
        return min(_both(self.restrictions.max_size, symbol), default=None)

    def max_leverage(self, symbol: str) -> float | None:
        """Largest notional / equity, ``None`` for no limit."""
        return min(_both(self.restrictions.max_leverage, symbol), default=None)

    def stop(self, symbol: str) -> StopRule | None:
        """Where the protective stop may stand, ``None`` for anywhere."""
        rules = _both(self.restrictions.stops, symbol)
        return None if not rules else rules[0] if len(rules) == 1 else tightest_stop(rules[1], rules[0])


def tightest(*parts: Restrictions) -> Restrictions:
    """Add up restrictions; where several speak of one key, the tightest holds.

    Of several wanted stop prices the last part's is taken, because which one is tighter depends on
    the side of the position: pass the newest last.
    """
    entries: dict[str, Entries] = {}
    max_leverage: dict[str, float] = {}
    max_size: dict[str, float] = {}
    stops: dict[str, StopRule] = {}
    entry_share: dict[str, float] = {}
    for part in parts:
        for symbol, level in part.entries.items():
            entries[symbol] = Entries.tightest(level, entries.get(symbol, level))
        for symbol, leverage in part.max_leverage.items():
            max_leverage[symbol] = min(leverage, max_leverage.get(symbol, leverage))
        for symbol, size in part.max_size.items():
            max_size[symbol] = min(size, max_size.get(symbol, size))
        for symbol, rule in part.stops.items():
            stops[symbol] = tightest_stop(stops.get(symbol, rule), rule)
        for symbol, share in part.entry_share.items():
            entry_share[symbol] = min(share, entry_share.get(symbol, share))
    return Restrictions(
        entries=entries, max_leverage=max_leverage, max_size=max_size, stops=stops, entry_share=entry_share
    )


def tightest_stop(older: StopRule, newer: StopRule) -> StopRule:
    """Add up two stop rules: the newer price, the larger least distance, all the bands to avoid."""
    distances = [rule.distance_bps_min for rule in (older, newer) if rule.distance_bps_min is not None]
    return StopRule(
        stop_price=older.stop_price if newer.stop_price is None else newer.stop_price,
        distance_bps_min=max(distances, default=None),
        avoid=tuple(dict.fromkeys((*older.avoid, *newer.avoid))),
    )


def of_posture(posture: Posture) -> Restrictions:
    """What a posture restricts."""
    return Restrictions(
        entries=posture.entries,
        max_leverage=posture.max_leverage,
        max_size=posture.max_size,
        stops=posture.stops,
        entry_share=posture.entry_share,
    )


def of_command(command: Command) -> Restrictions:
    """What a command restricts by itself, before the posture of its version has come. A resume: nothing."""
    match command:
        case Pause(symbol=symbol, entries=entries):
            return Restrictions(entries={symbol: entries})
        case Resume():
            return UNRESTRICTED
        case CutLeverage(symbol=symbol, max_leverage=max_leverage, max_size=max_size):
            return Restrictions(max_leverage={symbol: max_leverage}, max_size={symbol: max_size})
        case WidenStops(symbol=symbol, max_size=max_size, stop=stop):
            return Restrictions(max_size={symbol: max_size}, stops={symbol: stop})


def _both(by_symbol: Mapping[str, _T], symbol: str) -> list[_T]:
    return [by_symbol[key] for key in (symbol, ALL_SYMBOLS) if key in by_symbol]
