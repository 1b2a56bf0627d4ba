"""The fee of closing at the bankruptcy price, within the margin that a venue tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guard.account.venue_rules import VenueRules, rules_of
from guard.account.venue_rules.fees import fee_at_bankruptcy, with_fee_taken
from guard.leverage.margin_pool import Holding, Leg, MarginPool
from guard.margin_terms import ContractKind, MarginTier
from guard.units import MarketId

LONG = Leg(
    market=MarketId("BTC/USDT:USDT"),
    size=1.0,
    entry_price=40_000.0,
    mark_price=40_000.0,
    tiers=(MarginTier(floor=0.0, maintenance_ratio=0.005),),
    closing_fee=0.00055,
)
INVERSE_SHORT = replace(LONG, size=-30_000.0, entry_price=60_000.0, kind=ContractKind.INVERSE)


@pytest.mark.parametrize(
    ("leg", "margin", "fee"), [(LONG, 821.56, 21.56), (INVERSE_SHORT, 0.0502475, 0.0002475)]
)
def test_liquidation_fee_is_the_one_that_bybit_s_page_names(leg: Leg, margin: float, fee: float) -> None:
    """Of 40,000 x (1 - 1/50), and of 0.5 BTC x (1 - 1/10): 0.055 %."""
    assert fee_at_bankruptcy(leg, margin) == pytest.approx(fee, rel=1e-12)


@pytest.mark.parametrize("kind", list(ContractKind))
@pytest.mark.parametrize("size", [3.0, -3.0])
def test_nothing_is_left_at_bankruptcy_after_the_liquidation_fee(kind: ContractKind, size: float) -> None:
    """Margin, profit and fee come to nothing at one price, whose value the fee is a share of."""
    leg = replace(LONG, size=size, entry_price=100.0, closing_fee=0.01, kind=kind)
    margin = 0.002 if kind is ContractKind.INVERSE else 20.0
    fee = fee_at_bankruptcy(leg, margin)
    value = fee / leg.closing_fee
    if kind is ContractKind.INVERSE:
        profit = size / 100.0 - (value if size > 0.0 else -value)
    else:
        profit = (value if size > 0.0 else -value) - size * 100.0
    assert margin + profit - fee == pytest.approx(0.0, abs=1e-9)


def test_no_liquidation_fee_of_what_cannot_become_bankrupt() -> None:
    """A long with more margin than it is worth, an inverse short likewise; and a venue without a fee."""
    assert fee_at_bankruptcy(LONG, 50_000.0) == 0.0
    assert fee_at_bankruptcy(INVERSE_SHORT, 0.6) == 0.0
    assert fee_at_bankruptcy(replace(LONG, closing_fee=0.0), 800.0) == 0.0


def test_liquidation_fee_is_taken_only_where_the_rules_say_so() -> None:
    """Bybit's isolated margin becomes less by the fee and the position is charged none; others stay as they are."""
    pool = MarginPool(legs=(LONG,), holdings=(Holding(asset="USDT", quantity=821.56, price_usd=1.0),))
    taken = with_fee_taken(pool, rules_of("bybit"))
    assert taken.holdings[0].quantity == pytest.approx(800.0)
    assert taken.legs[0].closing_fee == 0.0
    assert with_fee_taken(pool, rules_of("okx")) is pool
    assert with_fee_taken(pool, VenueRules(venue="v")) is pool
    hedged = replace(pool, legs=(LONG, LONG))
    assert with_fee_taken(hedged, rules_of("bybit")) is hedged
