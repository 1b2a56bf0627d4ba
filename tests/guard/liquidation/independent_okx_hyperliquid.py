"""A third opinion, in the words of OKX's and Hyperliquid's own pages; it imports nothing of the guard, nor of the rest.

It reads cases as their files hold them and works in exact fractions. OKX is asked for its margin ratio, at one price
after another, in contracts and in the currency that settles; where that passes 100 % is halved until it is narrow.
For Hyperliquid nothing is searched: its published formula is solved with the rate of each tier in turn, and the price
whose own value lies in that tier is the one, as the page demands.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Case = dict[str, Any]

OKX_TAKER = Fraction(5, 10_000)
NARROW = Fraction(1, 10**14)
STEP = Fraction(1, 40)
STEPS = 200


def okx_ratio(case: Case, market: str, price: Fraction) -> Fraction:
    """The account's margin ratio with ``market`` at ``price``: 1 is the 100 % at which OKX liquidates.

    Adjusted equity over maintenance margin and the fees of closing. An inverse contract's profit, maintenance and fee
    are coins first, and USD at the price of that coin unless the account is one of that coin alone. A cross position's
    tier is that of both sides of its contract.
    """
    fee = Fraction(case.get("rules", {}).get("closing_fee", OKX_TAKER))
    equity, demanded = Fraction(0), Fraction(case.get("other_maintenance_usd", "0"))
    for held in case["holdings"]:
        follows = held.get("market")
        unit = Fraction(held["price_usd"]) if "price_usd" in held else Fraction(1)
        if follows is not None and not case.get("in_coin"):
            unit = price if follows == market else _mark(case, follows)
        discount = 1 - Fraction(held.get("haircut", "0"))
        quantity = Fraction(held["quantity"])
        equity += quantity * unit * (discount if quantity > 0 else 1)
    for leg in case["legs"]:
        at = price if leg["market"] == market else _mark(case, leg["market"])
        contracts, side = abs(Fraction(leg["size"])), 1 if Fraction(leg["size"]) > 0 else -1
        entry, rate = Fraction(leg["entry"]), _rate_of_size(leg, _counted(case, leg))
        if leg.get("kind") == "inverse":
            profit, value, coin = side * contracts * (1 / entry - 1 / at), contracts / at, at
            coin = Fraction(1) if case.get("in_coin") else coin
        else:
            profit, value, coin = side * contracts * (at - entry), contracts * at, Fraction(1)
        equity += profit * coin
        demanded += value * (rate + fee) * coin
    return equity / demanded


def okx_price(case: Case, market: str) -> Fraction | None:
    """The price of ``market`` nearest to its mark, by ratio, at which the margin ratio passes 100 %."""
    mark = _mark(case, market)
    found = []
    for factor in (1 - STEP, 1 + STEP):
        holds = mark
        for _ in range(STEPS):
            further = Fraction(float(holds * factor))
            if okx_ratio(case, market, further) <= 1:
                found.append(_between(case, market, holds, further))
                break
            holds = further
    return min(found, key=lambda price: max(price / mark, mark / price), default=None)


def hyperliquid_price(case: Case, market: str) -> Fraction | None:
    """``price - side * margin_available / position_size / (1 - l * side)``, with l of the tier it ends in."""
    account_value = sum((Fraction(held["quantity"]) for held in case["holdings"]), Fraction(0))
    others = Fraction(0)
    for leg in case["legs"]:
        mark = _mark(case, leg["market"])
        account_value += Fraction(leg["size"]) * (mark - Fraction(leg["entry"]))
        if leg["market"] != market:
            others += _hyperliquid_maintenance(leg, mark)
    (own,) = (leg for leg in case["legs"] if leg["market"] == market)
    price, size = _mark(case, market), abs(Fraction(own["size"]))
    side = 1 if Fraction(own["size"]) > 0 else -1
    for low, high, rate, deduction in _hyperliquid_tiers(own):
        margin_available = account_value - others - (size * price * rate - deduction)
        liq_price = price - side * margin_available / size / (1 - rate * side)
        if liq_price > 0 and low <= liq_price * size and (high is None or liq_price * size <= high):
            return liq_price
    return None


def _hyperliquid_tiers(leg: Case) -> list[tuple[Fraction, Fraction | None, Fraction, Fraction]]:
    """From, to, rate, deduction; the last by the page's recurrence and not as the file has it."""
    floors = [Fraction(tier["floor"]) for tier in leg["tiers"]]
    rates = [Fraction(tier["ratio"]) for tier in leg["tiers"]]
    deductions = [Fraction(0)]
    for tier in range(1, len(rates)):
        deductions.append(deductions[-1] + floors[tier] * (rates[tier] - rates[tier - 1]))
    return list(zip(floors, [*floors[1:], None], rates, deductions, strict=True))


def _hyperliquid_maintenance(leg: Case, mark: Fraction) -> Fraction:
    value = abs(Fraction(leg["size"])) * mark
    return max(rate * value - deduction for _, _, rate, deduction in _hyperliquid_tiers(leg))


def _counted(case: Case, leg: Case) -> Fraction:
    same = [other for other in case["legs"] if case["mode"] == "cross" and other["market"] == leg["market"]]
    return sum((abs(Fraction(other["size"])) for other in same or [leg]), Fraction(0))


def _rate_of_size(leg: Case, contracts: Fraction) -> Fraction:
    return next(Fraction(t["ratio"]) for t in reversed(leg["tiers"]) if Fraction(t["floor"]) <= contracts)


def _mark(case: Case, market: str) -> Fraction:
    leg = next(leg for leg in case["legs"] if leg["market"] == market)
    return Fraction(leg.get("mark", leg["entry"]))


def _between(case: Case, market: str, holds: Fraction, fails: Fraction) -> Fraction:
    while abs(holds - fails) > NARROW * holds:
        middle = Fraction(float((holds + fails) / 2))
        if middle in (holds, fails):
            break
        holds, fails = (holds, middle) if okx_ratio(case, market, middle) <= 1 else (middle, fails)
    return fails
