"""A case as the second opinion has it. Apart from ``independent.py``, which knows neither cases nor guard."""

from __future__ import annotations

from fractions import Fraction

from guard.account.venue_rules import rules_of
from guard.events import MarginMode
from guard.margin_terms import ContractKind, TierUnit
from tests.guard.liquidation import independent
from tests.guard.liquidation.cases import Case, closing_fee, maintenance_at_entry, price_of

WORKED_OUT = "bisection"
"""What the source of a case says whose price is that of ``independent.py``."""


def account_of(venue: str, case: Case) -> independent.Account:
    """The account as the second opinion has it: exact, each contract in what it pays."""
    fee, at_entry = Fraction(closing_fee(venue, case)), maintenance_at_entry(venue, case)
    contracts = tuple(
        independent.Contract(
            market=leg.market,
            size=Fraction(leg.size),
            entry=Fraction(leg.entry),
            mark=Fraction(leg.mark or leg.entry),
            brackets=tuple((Fraction(t.floor), Fraction(t.ratio), Fraction(t.deduction)) for t in leg.tiers),
            inverse=leg.kind is ContractKind.INVERSE,
            by_size=leg.unit is TierUnit.SIZE,
            fee=fee,
            at_entry=at_entry,
        )
        for leg in case.legs
    )
    coins = tuple(
        independent.Coins(
            quantity=Fraction(held.quantity),
            price=Fraction(price_of(case, held)),
            counts=1 - Fraction(held.haircut),
            follows=held.market,
        )
        for held in case.holdings
    )
    if case.mode is MarginMode.ISOLATED and MarginMode.ISOLATED in rules_of(venue).fee_at_bankruptcy:
        (contract,), (margin,) = contracts, coins
        contracts = (independent.with_fee_set_aside(contract, margin.quantity),)
    return independent.Account(
        contracts=contracts,
        coins=coins,
        owed_besides=Fraction(case.other_maintenance_usd),
        in_coin=case.in_coin,
    )
