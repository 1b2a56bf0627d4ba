"""Cases of liquidation as files hold them: what was quoted, from where, and the pool that it makes.

A file ``fixtures/<venue>.json`` holds a list of ``Case``. Numbers are decimals in quotes, as their source prints them.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from math import inf
from pathlib import Path

import msgspec
from msgspec import Struct

from guard.account.venue_rules import rules_of
from guard.account.venue_rules.fees import with_fee_taken
from guard.events import MarginMode
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.margin_terms import ContractKind, MarginTier, TierUnit
from guard.units import MarketId

FIXTURES = Path(__file__).parent / "fixtures"


class Label(StrEnum):
    """How far the expected price is from our own hand; the last does not count."""

    DOCUMENTED = "documented"
    """The venue's page gives inputs and result."""
    INDEPENDENT = "independent"
    """Worked out by what knows nothing of the guard: ``independent.py``, or somebody else's program."""
    DERIVED = "derived"


class Tier(Struct, frozen=True, forbid_unknown_fields=True):
    """``floor`` in the unit of the leg, ``ratio`` of the whole value, ``deduction`` in what the contract pays."""

    floor: Decimal
    ratio: Decimal
    deduction: Decimal = Decimal(0)


class CaseLeg(Struct, frozen=True, forbid_unknown_fields=True):
    """A position, signed: base units (linear) or USD (inverse)."""

    market: str
    size: Decimal
    entry: Decimal
    tiers: tuple[Tier, ...]
    mark: Decimal | None = None
    """``None``: as at entry, where the source names none."""
    kind: ContractKind = ContractKind.LINEAR
    unit: TierUnit = TierUnit.NOTIONAL


class CaseHolding(Struct, frozen=True, forbid_unknown_fields=True):
    """Collateral; ``market`` whose mark its price follows (then ``price_usd`` is that mark and may be left out)."""

    asset: str
    quantity: Decimal
    price_usd: Decimal | None = None
    haircut: Decimal = Decimal(0)
    market: str | None = None


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the venue liquidates when only this market moves: ``None`` where no price does."""

    market: str
    price: Decimal | None


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """What a page says other than the venue's rules of today, as that page was at its date, and why."""

    why: str
    closing_fee: Decimal | None = None
    maintenance_at_entry: bool | None = None


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where it stands. ``dated`` is the page's own date, ``read`` when the copy used here was read."""

    what: str
    address: str = ""
    dated: str = ""
    read: str = ""


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """One account, and where it is liquidated.

    ``rounding`` is half of the last digit that the source prints, in price; more where it rounds on its way, with
    ``note`` saying so. ``in_coin`` is that of ``MarginPool``.
    """

    id: str
    label: Label
    mode: MarginMode
    source: Source
    legs: tuple[CaseLeg, ...]
    holdings: tuple[CaseHolding, ...]
    expected: tuple[Expected, ...]
    rounding: Decimal = Decimal(0)
    other_maintenance_usd: Decimal = Decimal(0)
    hedge: bool = False
    in_coin: bool = False
    rules: Rules | None = None
    note: str = ""


def load() -> dict[str, tuple[Case, ...]]:
    """Every case of every file, by venue."""
    files = sorted(FIXTURES.glob("*.json"))
    return {file.stem: msgspec.json.decode(file.read_bytes(), type=tuple[Case, ...]) for file in files}


def closing_fee(venue: str, case: Case) -> Decimal:
    """The fee within the venue's rule: as the case's page says, else as we take the venue's rule to be."""
    if case.rules is not None and case.rules.closing_fee is not None:
        return case.rules.closing_fee
    return Decimal(str(rules_of(venue).closing_fee))


def maintenance_at_entry(venue: str, case: Case) -> bool:
    """Whether maintenance is valued at entry: as the case's page says, else as we take the venue's rule to be."""
    if case.rules is not None and case.rules.maintenance_at_entry is not None:
        return case.rules.maintenance_at_entry
    return case.mode in rules_of(venue).maintenance_at_entry


def mark_of(case: Case, market: str) -> Decimal:
    """The mark of a market; where the source names none, the entry."""
    return next(leg.mark or leg.entry for leg in case.legs if leg.market == market)


def pool_of(venue: str, case: Case) -> MarginPool:
    """The pool as the guard has it."""
    fee, at_entry = float(closing_fee(venue, case)), maintenance_at_entry(venue, case)
    legs = tuple(
        Leg(
            market=MarketId(leg.market),
            size=float(leg.size),
            entry_price=float(leg.entry),
            mark_price=float(leg.mark or leg.entry),
            tiers=tuple(
                MarginTier(
                    floor=float(tier.floor),
                    maintenance_ratio=float(tier.ratio),
                    deduction=float(tier.deduction),
                    leverage_max=inf,
                )
                for tier in leg.tiers
            ),
            kind=leg.kind,
            unit=leg.unit,
            closing_fee=fee,
            maintenance_at_entry=at_entry,
        )
        for leg in case.legs
    )
    holdings = tuple(
        Holding(
            asset=held.asset,
            quantity=float(held.quantity),
            price_usd=float(price_of(case, held)),
            haircut=float(held.haircut),
            market=None if held.market is None else MarketId(held.market),
        )
        for held in case.holdings
    )
    pool = MarginPool(
        legs=legs,
        holdings=holdings,
        other_maintenance_usd=float(case.other_maintenance_usd),
        in_coin=case.in_coin,
    )
    return with_fee_taken(pool, rules_of(venue)) if case.mode is MarginMode.ISOLATED else pool


def price_of(case: Case, held: CaseHolding) -> Decimal:
    """USD a unit of a collateral: as told, else the mark of its market, else 1."""
    if held.price_usd is not None:
        return held.price_usd
    return Decimal(1) if held.market is None else mark_of(case, held.market)
