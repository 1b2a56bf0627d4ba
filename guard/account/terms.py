"""What a venue demands, as far as it is known, and what of that has changed. Pure: no I/O, no clock.

The venue's word is believed before what was stored of it, and that before our formula; a market of which nobody has
told anything is taken by the formula too, so that there is always a table, which says whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from msgspec import Struct

from guard.events import MarginTermsSeen
from guard.leverage.terms_formula import formula_table
from guard.margin_terms import (
    CollateralTerms,
    ContractKind,
    HaircutTier,
    MarginTier,
    TermsSource,
    TierTable,
    TierUnit,
)
from guard.units import NS_PER_S, MarketId, Nanoseconds

MERGED_NS = 3_600 * NS_PER_S
"""Changes of one subject that follow each other within this are told as one, from before the first of them."""

COMPARED_USD = (*(digit * 10.0**power for power in range(3, 8) for digit in (1.0, 2.0, 5.0)), 1e8)
"""Notionals and values at which tables are compared, besides wherever one of them bends."""
SAME = 1e-6
"""Figures that differ by less than this share are the same."""

_BELIEVED = {TermsSource.VENUE: 0, TermsSource.STORED: 1, TermsSource.FORMULA: 2}


class TermsChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A venue said something else of a market's tiers, or of an asset as collateral, than before.

    Both sides are the venue's own words. ``at`` is when we learned of it; ``since`` when the old words were told, so
    that it happened between the two. ``is_dearer`` says that more is asked for (or less counted) somewhere,
    ``is_cheaper`` that less is somewhere; both can be.
    """

    at: Nanoseconds
    since: Nanoseconds | None = None
    market: MarketId | None = None
    asset: str | None = None
    old_table: TierTable | None = None
    new_table: TierTable | None = None
    old_collateral: CollateralTerms | None = None
    new_collateral: CollateralTerms | None = None
    is_dearer: bool = False
    is_cheaper: bool = False


@dataclass(slots=True)
class VenueTerms:
    """One venue's demands as last known. ``apply`` is the one mutation."""

    venue: str
    changes: dict[str, TermsChange] = field(default_factory=dict)
    """The last change of each market (by its id) and asset (by its name): at most one each."""
    _tables: dict[MarketId, TierTable] = field(default_factory=dict)
    _collateral: dict[str, CollateralTerms] = field(default_factory=dict)

    def apply(self, event: MarginTermsSeen) -> None:
        """Take over what is believed at least as much as what was known; of another venue's event nothing."""
        if event.venue != self.venue:
            return
        for table in event.tiers:
            known = self._tables.get(table.market)
            if not table.tiers or (known is not None and _BELIEVED[known.source] < _BELIEVED[table.source]):
                continue
            self._tables[table.market] = table
            if known is not None and _is_venues(known.source) and table.source is TermsSource.VENUE:
                self._note(table.market, change_of_table(known, table, event.received_at))
        for terms in event.collateral:
            before = self._collateral.get(terms.asset)
            if before is not None and _BELIEVED[before.source] < _BELIEVED[terms.source]:
                continue
            self._collateral[terms.asset] = terms
            if before is not None and _is_venues(before.source) and terms.source is TermsSource.VENUE:
                self._note(terms.asset, change_of_collateral(before, terms, event.received_at))

    def table(
        self,
        market: MarketId,
        leverage_max: float | None = None,
        granted: tuple[float, float] | None = None,
        kind: ContractKind | None = None,
    ) -> TierTable:
        """The tiers of a market: the venue's, stored, or our formula's; ``source`` says which.

        Args:
            market: of this venue.
            leverage_max: its maximum leverage, if known, for the formula.
            granted: ``(notional_usd, leverage)`` of an open position there, for the formula: what the venue let its
                owner do tells that its maintenance is less than the initial margin.
            kind: how it pays, for the formula, where that is known; else it is told by the symbol.
        """
        known = self._tables.get(market)
        if known is not None and (known.source is not TermsSource.FORMULA or granted is None):
            return known
        if known is None:
            return formula_table(market, leverage_max, kind, granted=granted)
        return formula_table(market, known.tiers[0].leverage_max, known.kind, granted=granted)

    def collateral(self, asset: str) -> CollateralTerms | None:
        """How the venue counts an asset as collateral; ``None`` where nobody told."""
        return self._collateral.get(asset)

    def _note(self, subject: str, change: TermsChange | None) -> None:
        if change is None:
            return
        before = self.changes.get(subject)
        if before is not None and change.at - before.at < MERGED_NS:
            change = _merged(before, change)
        self.changes.pop(subject, None)
        if change.is_dearer or change.is_cheaper:
            self.changes[subject] = change


def change_of_table(old: TierTable, new: TierTable, at: Nanoseconds) -> TermsChange | None:
    """Compare two words on one market, ``None`` where they ask for the same or cannot be compared.

    Maintenance is compared at the floors of both tables and at round notionals from 1,000 to 100 million USD (where
    floors are coins or sizes, at the floors alone); so is the maximum leverage.
    """
    if (old.kind, old.unit) != (new.kind, new.unit) or not (old.tiers and new.tiers):
        return None
    dearer = cheaper = False
    for value in _compared_at(old, new):
        before, after = _tier_at(old.tiers, value), _tier_at(new.tiers, value)
        for was, now in zip(_asked(before, old.unit, value), _asked(after, new.unit, value), strict=True):
            dearer |= now > was + SAME * abs(was)
            cheaper |= now < was - SAME * abs(was)
    if not dearer and not cheaper:
        return None
    return TermsChange(
        at=at,
        since=old.as_of,
        market=new.market,
        old_table=old,
        new_table=new,
        is_dearer=dearer,
        is_cheaper=cheaper,
    )


def change_of_collateral(old: CollateralTerms, new: CollateralTerms, at: Nanoseconds) -> TermsChange | None:
    """Compare two words on one asset by what they count of holdings worth 1,000 to 100 million USD."""
    before, after = old.tiers, haircuts_at(new, old.unit_usd)
    bends = {tier.floor_usd for tier in (*before, *after) if 0.0 < tier.floor_usd <= COMPARED_USD[-1]}
    dearer = cheaper = False
    for value in (*COMPARED_USD, *bends):
        was, now = counted_usd(before, value), counted_usd(after, value)
        dearer |= now < was - SAME * value
        cheaper |= now > was + SAME * value
    if not dearer and not cheaper:
        return None
    return TermsChange(
        at=at,
        since=old.as_of,
        asset=new.asset,
        old_collateral=old,
        new_collateral=new,
        is_dearer=dearer,
        is_cheaper=cheaper,
    )


def haircuts_at(terms: CollateralTerms, price_usd: float | None) -> tuple[HaircutTier, ...]:
    """The tiers of an asset with their floors at this price of a unit, where the venue counts them in units."""
    if terms.unit_usd is None or price_usd is None or not (terms.unit_usd > 0.0 and price_usd > 0.0):
        return terms.tiers
    share = price_usd / terms.unit_usd
    return tuple(HaircutTier(floor_usd=tier.floor_usd * share, haircut=tier.haircut) for tier in terms.tiers)


def counted_usd(tiers: Sequence[HaircutTier], value_usd: float) -> float:
    """What a venue counts of a holding worth ``value_usd`` (>= 0), each part after its own haircut.

    >>> tiers = (HaircutTier(floor_usd=0.0, haircut=0.1), HaircutTier(floor_usd=100.0, haircut=0.5))
    >>> counted_usd(tiers, 300.0), counted_usd((), 300.0)
    (190.0, 0.0)
    """
    counted = 0.0
    ends = [*(tier.floor_usd for tier in tiers[1:]), float("inf")]
    for tier, end in zip(tiers, ends, strict=False):
        part = min(value_usd, end) - tier.floor_usd
        if part <= 0.0:
            break
        counted += part * (1.0 - tier.haircut)
    return counted


def maintenance_ratio_of(table: TierTable, notional_usd: float, price: float) -> float:
    """Maintenance over value of a whole position, >= 0.

    Args:
        table: of its market.
        notional_usd: its value at ``price``, quote currency taken for USD, >= 0.
        price: quote per base, > 0.
    """
    value, size = value_and_size(table, notional_usd, price)
    tier = _tier_at(table.tiers, size if table.unit is TierUnit.SIZE else value)
    if value <= 0.0:
        return tier.maintenance_ratio
    return max(tier.maintenance_ratio - tier.deduction / value, 0.0)


def leverage_max_of(table: TierTable, notional_usd: float, price: float) -> float:
    """The most leverage that a position of this value may have; infinite where nobody told."""
    value, size = value_and_size(table, notional_usd, price)
    return _tier_at(table.tiers, size if table.unit is TierUnit.SIZE else value).leverage_max


def value_and_size(table: TierTable, notional_usd: float, price: float) -> tuple[float, float]:
    """Value and size of a position as the table counts them: quote and base if linear, base and quote if inverse."""
    in_coins = notional_usd / price if price > 0.0 else 0.0
    return (in_coins, notional_usd) if table.kind == "inverse" else (notional_usd, in_coins)


def _is_venues(source: TermsSource) -> bool:
    return source is not TermsSource.FORMULA


def _merged(before: TermsChange, change: TermsChange) -> TermsChange:
    """One change from before the first to after the last; one that is neither dearer nor cheaper if it was undone."""
    whole: TermsChange | None = None
    if before.old_table is not None and change.new_table is not None:
        whole = change_of_table(before.old_table, change.new_table, change.at)
    elif before.old_collateral is not None and change.new_collateral is not None:
        whole = change_of_collateral(before.old_collateral, change.new_collateral, change.at)
    if whole is None:
        return TermsChange(at=change.at)
    return whole


def _tier_at(tiers: Sequence[MarginTier], amount: float) -> MarginTier:
    """The tier that holds ``amount``, counted as the floors are; tables always begin at 0."""
    chosen = tiers[0]
    for tier in tiers:
        if amount < tier.floor:
            break
        chosen = tier
    return chosen


def _asked(tier: MarginTier, unit: TierUnit, value: float) -> tuple[float, ...]:
    """What a tier asks for at a value, each the more the dearer; without a price a size has no value."""
    initial = 1.0 / tier.leverage_max if tier.leverage_max > 0.0 else 1.0
    if unit is TierUnit.SIZE:
        return (tier.maintenance_ratio, -tier.deduction, initial)
    return (tier.maintenance_ratio - tier.deduction / value, initial)


def _compared_at(old: TierTable, new: TierTable) -> Iterable[float]:
    """Amounts in the tables' unit: at floors, between them and, where that is about USD, at round ones."""
    floors = sorted({tier.floor for table in (old, new) for tier in table.tiers})
    between = [(low + high) / 2.0 for low, high in pairwise(floors)]
    amounts = [*floors, *between, 2.0 * floors[-1] or 1.0]
    if old.unit is TierUnit.NOTIONAL and old.kind == "linear":
        amounts = [amount for amount in amounts if COMPARED_USD[0] <= amount <= COMPARED_USD[-1]]
        amounts += COMPARED_USD
    return [amount for amount in amounts if amount > 0.0]
