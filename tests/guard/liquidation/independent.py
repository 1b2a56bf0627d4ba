"""A second opinion on where an account is liquidated, which imports nothing of the guard.

It knows no formula for the price. It keeps the account's books as a venue would, each contract in what it pays
(coins of an inverse one), in exact fractions; asks at one price after another, outwards from mark, whether the
account still holds; and halves the step in which it stops holding until that is narrower than 1e-15 of the price.
What an account has left is concave in one price as long as rates rise with value, so that it fails once on each side
and no step can be too long to see it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

STEP = Fraction(1, 64)
NARROW = Fraction(1, 10**15)
LOWEST, HIGHEST = Fraction(1, 1000), Fraction(100)
"""How far from mark is looked, as a share of it."""


@dataclass(frozen=True, slots=True)
class Contract:
    """A position; ``brackets`` are ``(from, rate, amount)``, ``by_size`` says that ``from`` counts size, not value."""

    market: str
    size: Fraction
    entry: Fraction
    mark: Fraction
    brackets: tuple[tuple[Fraction, Fraction, Fraction], ...]
    inverse: bool = False
    by_size: bool = False
    fee: Fraction = Fraction(0)
    at_entry: bool = False
    fee_set_aside: Fraction = Fraction(0)
    """A fee that no price changes, in what the contract pays."""


@dataclass(frozen=True, slots=True)
class Coins:
    """So much of an asset, what a unit is worth, what part of that counts; ``follows`` is a market or nothing."""

    quantity: Fraction
    price: Fraction
    counts: Fraction = Fraction(1)
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    contracts: tuple[Contract, ...]
    coins: tuple[Coins, ...]
    owed_besides: Fraction = Fraction(0)
    in_coin: bool = False
    """All contracts pay one coin and all collateral is it: the books are kept in coins."""


def left_over(account: Account, market: str, price: Fraction) -> Fraction:
    """What is left after everything the venue demands, with ``market`` at ``price`` and all else as it is.

    In USD; in coins of an account that is kept in one coin.
    """
    if account.in_coin:
        held = sum((coins.quantity for coins in account.coins), Fraction(0))
        return held + sum(
            (_coins(each, price if each.market == market else each.mark) for each in account.contracts),
            Fraction(0),
        )
    left = -account.owed_besides
    for coins in account.coins:
        worth = coins.quantity * (price if coins.follows == market else coins.price)
        left += worth * coins.counts if worth > 0 else worth
    for contract in account.contracts:
        left += _book(contract, price if contract.market == market else contract.mark)
    return left


def first_failure(account: Account, market: str) -> tuple[Fraction | None, Fraction | None]:
    """The nearest prices at which the account fails, below and above where the market is."""
    start = next(contract.mark for contract in account.contracts if contract.market == market)
    if left_over(account, market, start) <= 0:
        raise ValueError("the account fails where it stands")
    return _look(account, market, start, up=False), _look(account, market, start, up=True)


def with_fee_set_aside(contract: Contract, margin: Fraction) -> Contract:
    """The same contract with its fee as that of closing where the margin is gone: found on a straight line.

    What is left of margin, profit and fee is a straight line in price (in 1/price for an inverse contract).
    """

    def left(at: Fraction) -> Fraction:
        if contract.inverse:
            return (
                margin
                + contract.size / contract.entry
                - contract.size * at
                - abs(contract.size) * at * contract.fee
            )
        return margin + contract.size * (at - contract.entry) - abs(contract.size) * at * contract.fee

    bankrupt = -left(Fraction(0)) / (left(Fraction(1)) - left(Fraction(0)))
    fee = abs(contract.size) * max(Fraction(0), bankrupt) * contract.fee
    return replace(contract, fee=Fraction(0), fee_set_aside=fee)


def _look(account: Account, market: str, start: Fraction, *, up: bool) -> Fraction | None:
    holds = start
    while LOWEST * start < holds < HIGHEST * start:
        further = _short(holds * (1 + STEP) if up else holds * (1 - STEP))
        if left_over(account, market, further) <= 0:
            return _halve(account, market, holds, further)
        holds = further
    return None


def _halve(account: Account, market: str, holds: Fraction, fails: Fraction) -> Fraction:
    while abs(holds - fails) > NARROW * holds:
        middle = _short((holds + fails) / 2)
        if left_over(account, market, middle) <= 0:
            fails = middle
        else:
            holds = middle
    return fails


def _short(price: Fraction) -> Fraction:
    """A price of some twenty digits near this one, or exact fractions grow with every step."""
    digits = 22 - len(str(int(1 / price) if price < 1 else int(price))) * (-1 if price < 1 else 1)
    return Fraction(round(price * 10**digits), 10**digits)


def _book(contract: Contract, price: Fraction) -> Fraction:
    """Profit less maintenance less the fee, in USD."""
    return _coins(contract, price) * (price if contract.inverse else 1)


def _coins(contract: Contract, price: Fraction) -> Fraction:
    """Profit less maintenance less the fee, in what the contract pays."""
    units = abs(contract.size)
    if contract.inverse:
        profit = contract.size / contract.entry - contract.size / price
        value, at_entry = units / price, units / contract.entry
    else:
        profit = contract.size * price - contract.size * contract.entry
        value, at_entry = units * price, units * contract.entry
    charged = at_entry if contract.at_entry else value
    rate, amount = _bracket(contract, units if contract.by_size else charged)
    fees = value * contract.fee + contract.fee_set_aside
    return profit - (charged * rate - amount) - fees


def _bracket(contract: Contract, counted: Fraction) -> tuple[Fraction, Fraction]:
    _, rate, amount = max(bracket for bracket in contract.brackets if bracket[0] <= counted)
    return rate, amount
