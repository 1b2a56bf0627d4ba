"""The fee of closing where a venue reckons it at the bankruptcy price and within the margin that it tells. No I/O."""

from __future__ import annotations

from dataclasses import replace

from guard.account.venue_rules.rules import VenueRules
from guard.events import MarginMode
from guard.leverage.margin_pool import Leg, MarginPool
from guard.margin_terms import ContractKind


def with_fee_taken(pool: MarginPool, rules: VenueRules) -> MarginPool:
    """An isolated pool as its venue reckons it: the fee of closing out of the margin, and none at the price reached.

    The fee is a share of value at the price where margin, profit and fee come to nothing, and stays what it is
    wherever the price goes. Only pools of one position and one holding are changed, and only where the rules say that
    the venue does so; all others are as they were.
    """
    if MarginMode.ISOLATED not in rules.fee_at_bankruptcy or len(pool.legs) != 1 or len(pool.holdings) != 1:
        return pool
    (leg,), (held,) = pool.legs, pool.holdings
    fee = fee_at_bankruptcy(leg, held.quantity)
    return replace(
        pool,
        legs=(replace(leg, closing_fee=0.0),),
        holdings=(replace(held, quantity=held.quantity - fee),),
    )


def fee_at_bankruptcy(leg: Leg, margin: float) -> float:
    """The fee of closing at the price at which ``margin`` is lost and the fee paid; both in what the contract pays.

    A linear long is bankrupt at ``(q e - M) / (q (1 - f))``, a short at ``(q e + M) / (q (1 + f))``; of inverse ones
    the value in coins then is ``(V + M) / (1 + f)`` and ``(V - M) / (1 - f)`` with ``V = N / e``. 0 of a position that
    no price makes bankrupt. Source: the example of Bybit's page on the liquidation process (2026-08-07), in which
    21.56 of 821.56 USDT and 247.5 of 50,247.5 uBTC of initial margin are this fee.
    """
    fee, is_long, size = leg.closing_fee, leg.size > 0.0, abs(leg.size)
    if not 0.0 < fee < 1.0 or not leg.entry_price > 0.0:
        return 0.0
    if leg.kind is ContractKind.INVERSE:
        value = size / leg.entry_price
        bankrupt = (value + margin) / (1.0 + fee) if is_long else (value - margin) / (1.0 - fee)
    else:
        value = size * leg.entry_price
        bankrupt = (value - margin) / (1.0 - fee) if is_long else (value + margin) / (1.0 + fee)
    return fee * max(0.0, bankrupt)
