"""The last words of each venue on margin, kept over restarts: one JSON file a venue, complete or not there.

A file that cannot be used is said in the log and left as it is until the venue has spoken again: without it the guard
starts with its formula, which asks for more than venues do.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path

import msgspec
import structlog
from msgspec import structs

from adapters.storage.files import settle
from guard.margin_terms import CollateralTerms, TermsSource, TierTable
from guard.ports import Clock
from guard.units import Nanoseconds, venue_of

VERSION = 1
BYTES_MAX = 8 * 1024 * 1024
"""900 markets of twelve tiers, each 80 bytes, are one tenth of it."""

_VENUE = re.compile(r"[A-Za-z0-9_]+")

log = structlog.get_logger()


class StoredTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds."""

    version: int
    venue: str
    written_at: Nanoseconds
    tables: tuple[TierTable, ...] = ()
    collateral: tuple[CollateralTerms, ...] = ()


class MarginTermsFiles:
    """A TermsMemory (see ``adapters.exchanges.margin_terms``) of files ``VENUE.json`` in one folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    async def recall(self, venue: str) -> tuple[Sequence[TierTable], Sequence[CollateralTerms]]:
        """Return what was last kept of a venue, as STORED and with its dates; nothing where nothing can be used."""
        path = self._path(venue)
        try:
            stored = await asyncio.to_thread(read_terms, path, venue)
        except FileNotFoundError:
            return (), ()
        except (OSError, ValueError) as error:
            log.warning(
                "stored margin terms cannot be used: going on without them until the venue answers",
                file=str(path),
                why=str(error),
            )
            return (), ()
        return stored.tables, stored.collateral

    async def keep(
        self, venue: str, tables: Iterable[TierTable], collateral: Iterable[CollateralTerms]
    ) -> None:
        """Keep these in the place of what was kept before; a failure is said in the log, and the old file stays."""
        stored = StoredTerms(
            version=VERSION,
            venue=venue,
            written_at=self._clock.now(),
            tables=tuple(tables),
            collateral=tuple(collateral),
        )
        path = self._path(venue)
        try:
            await asyncio.to_thread(write_terms, path, stored)
        except (OSError, ValueError) as error:
            log.warning("margin terms cannot be kept over a restart", file=str(path), why=str(error))

    def _path(self, venue: str) -> Path:
        assert _VENUE.fullmatch(venue), venue  # ccxt's ids: the settings take no other
        return self._folder / f"{venue}.json"


def read_terms(path: Path, venue: str) -> StoredTerms:
    """Read and check a file.

    Raises:
        OSError: it cannot be read (FileNotFoundError: there is none).
        ValueError: it is too large, no JSON of this version, of another venue, or holds what cannot be.
    """
    if path.stat().st_size > BYTES_MAX:
        raise ValueError(f"it is larger than {BYTES_MAX} bytes")
    stored = msgspec.json.decode(path.read_bytes(), type=StoredTerms)
    if stored.version != VERSION:
        raise ValueError(f"it is of version {stored.version}, and this program reads {VERSION}")
    if stored.venue != venue:
        raise ValueError(f"it is of {stored.venue}")
    for table in stored.tables:
        _check_table(table, venue)
    for terms in stored.collateral:
        _check_collateral(terms)
    return structs.replace(
        stored,
        tables=tuple(structs.replace(table, source=TermsSource.STORED) for table in stored.tables),
        collateral=tuple(structs.replace(terms, source=TermsSource.STORED) for terms in stored.collateral),
    )


def write_terms(path: Path, stored: StoredTerms) -> None:
    """Write a file whole. Raises OSError, and ValueError if it would be too large to be read."""
    content = msgspec.json.format(msgspec.json.encode(stored), indent=1)
    if len(content) > BYTES_MAX:
        raise ValueError(f"it would be larger than {BYTES_MAX} bytes")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(content)
    settle(partial, path)


def _check_table(table: TierTable, venue: str) -> None:
    tiers = table.tiers
    if venue_of(table.market) != venue:
        raise ValueError(f"{table.market} is a market of another venue")
    if not tiers or tiers[0].floor != 0.0:
        raise ValueError(f"the tiers of {table.market} do not begin at 0")
    numbers = ((tier.floor, tier.maintenance_ratio, tier.deduction) for tier in tiers)
    if not all(isfinite(number) for row in numbers for number in row):
        raise ValueError(f"a tier of {table.market} holds what is no number")
    if not all(0.0 < tier.maintenance_ratio < 1.0 and tier.leverage_max > 0.0 for tier in tiers):
        raise ValueError(f"a tier of {table.market} asks for what cannot be")
    if not all(low.floor < high.floor for low, high in pairwise(tiers)):
        raise ValueError(f"the tiers of {table.market} do not ascend")


def _check_collateral(terms: CollateralTerms) -> None:
    tiers = terms.tiers
    if tiers and tiers[0].floor_usd != 0.0:
        raise ValueError(f"the haircuts of {terms.asset} do not begin at 0")
    if not all(0.0 <= tier.haircut <= 1.0 and isfinite(tier.floor_usd) for tier in tiers):
        raise ValueError(f"a haircut of {terms.asset} is not within 0..1")
    if not all(low.floor_usd < high.floor_usd for low, high in pairwise(tiers)):
        raise ValueError(f"the haircuts of {terms.asset} do not ascend")
    if terms.unit_usd is not None and not (isfinite(terms.unit_usd) and terms.unit_usd > 0.0):
        raise ValueError(f"the price of {terms.asset} is no price")
