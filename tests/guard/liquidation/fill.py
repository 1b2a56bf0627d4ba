"""Write the second opinion's prices into a file of cases: ``python -m tests.guard.liquidation.fill bybit``.

Only into cases whose source is ``bisection``; documented prices are typed in from their page.
"""

from __future__ import annotations

import sys
from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec

from tests.guard.liquidation import independent
from tests.guard.liquidation.books import WORKED_OUT, account_of
from tests.guard.liquidation.cases import FIXTURES, Case, mark_of


def fill(venue: str) -> int:
    """Fill ``fixtures/<venue>.json`` in place; how many cases were worked out."""
    path = FIXTURES / f"{venue}.json"
    raw = msgspec.json.decode(path.read_bytes())
    worked_out = 0
    for entry in raw:
        case = msgspec.convert(entry, Case, strict=False)
        if case.source.what != WORKED_OUT:
            continue
        account = account_of(venue, case)
        for expected in entry["expected"]:
            mark = Fraction(mark_of(case, expected["market"]))
            prices = [
                price for price in independent.first_failure(account, expected["market"]) if price is not None
            ]
            nearest = min(prices, key=lambda price: abs(price - mark), default=None)
            expected["price"] = None if nearest is None else decimal(nearest)
        worked_out += 1
    path.write_bytes(msgspec.json.format(msgspec.json.encode(raw), indent=1) + b"\n")
    return worked_out


def decimal(price: Fraction) -> str:
    """Fourteen digits, as text."""
    with localcontext() as context:
        context.prec = 14
        return f"{Decimal(price.numerator) / Decimal(price.denominator):f}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}: {fill(name)} cases worked out\n")
