"""What is estimated of an episode's markets, kept beside it: policies are tuned without estimating it all anew.

Estimators see what the guard's own outlook would, of the same events, but for what one holds oneself: that is no part
of any forecast. What they made is found again by the episode, the settings of the outlook, and the code and fitted
numbers that could change it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from benchmarks._frame import ROOT
from benchmarks._skill_episodes import skill_folder
from benchmarks._skill_records import TEXTS, code_digest
from guard.building import build_engine
from guard.configuration import Settings
from guard.events import AnyEvent, MarginTermsSeen, MarketFeatures, Tick
from guard.forecasts import MarketOutlook
from guard.margin_terms import TierTable
from guard.reload.swap import Parts
from guard.units import NS_PER_S, MarketId, Nanoseconds, venue_of

SOURCES = ("guard/market", "adapters/simulation")
"""What decides of an outlook, beside what ``_skill_records`` knows; folders are whole ones."""

FOLDER = "outlooks"
KEPT = 2
"""Of the code of so many versions outlooks are kept."""

TICK_NS = 5 * NS_PER_S
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[MarketOutlook])


def outlooks_of(
    kept_as: str | None,
    events: Iterable[AnyEvent],
    tiers: dict[MarketId, TierTable],
    settings: Settings,
    *,
    is_any: bool = False,
) -> list[MarketOutlook]:
    """All outlooks of a course in order of time: those that are kept by its name, or made now and kept.

    With ``is_any`` those will do that another version of the code has made: for tuning while others edit.
    """
    path = None if kept_as is None else _path(kept_as, settings)
    if path is None:
        return list(estimated(events, tiers, settings))
    found = path
    if is_any and not path.exists():
        others = sorted(path.parents[1].glob(f"*/{path.name}"), key=lambda each: each.stat().st_mtime)
        found = others[-1] if others else path
    try:
        return _decoder.decode(zlib.decompress(found.read_bytes()))
    except (FileNotFoundError, zlib.error, msgspec.DecodeError):
        pass
    made = list(estimated(events, tiers, settings))
    _forget(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_suffix(f".{os.getpid()}.part")
    passing.write_bytes(zlib.compress(_encoder.encode(made), 1))
    passing.replace(path)
    return made


def estimated(
    events: Iterable[AnyEvent], tiers: dict[MarketId, TierTable], settings: Settings
) -> Iterator[MarketOutlook]:
    """Estimate everything anew, each market after its sample, as the guard does; those that are silent at Ticks."""
    parts = Parts(markets=tuple(tiers), bots=(), keyed_accounts=(), policies=())
    state = build_engine(settings, parts, choosing=False).state
    told: dict[MarketId, MarketOutlook] = {}
    ticked_at: Nanoseconds | None = None
    for event in events:
        if ticked_at is None:
            ticked_at = event.received_at
            for venue in dict.fromkeys(venue_of(market) for market in tiers):
                tables = tuple(table for market, table in tiers.items() if venue_of(market) == venue)
                state.apply(MarginTermsSeen(received_at=ticked_at, venue=venue, tiers=tables))
        is_due = event.received_at - ticked_at >= TICK_NS
        if is_due:
            ticked_at = event.received_at
            state.apply(Tick(received_at=ticked_at))
        state.apply(event)
        if is_due or isinstance(event, MarketFeatures):
            for outlook in state.outlook:
                if told.get(outlook.market) is not outlook:
                    told[outlook.market] = outlook
                    yield msgspec.structs.replace(outlook, skill=())


def without_estimating(settings: Settings) -> Settings:
    """The same settings for an engine that is given its outlooks."""
    return settings.model_copy(update={"outlook": replace(settings.outlook, enabled=False)})


def _path(kept_as: str, settings: Settings) -> Path:
    """Where the outlooks of a course belong."""
    told = hashlib.sha256(f"{settings.outlook} {settings.baseline}".encode()).hexdigest()[:8]
    return skill_folder() / FOLDER / _digest() / f"{kept_as}-{told}.z"


@functools.cache
def _digest() -> str:
    digest = hashlib.sha256(code_digest().encode())
    for source in SOURCES:
        place = ROOT / source
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.suffix in TEXTS:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _forget(now: Path) -> None:
    """Remove the outlooks of all code but that of now and the last one before."""
    if not now.parent.is_dir():
        return
    others = [each for each in now.parent.iterdir() if each.is_dir() and each != now]
    others.sort(key=lambda each: each.stat().st_mtime, reverse=True)
    for former in others[KEPT - 1 :]:
        shutil.rmtree(former, ignore_errors=True)
