"""Whose an order or a position in the laboratory is: small whole numbers, the same at every book."""

from __future__ import annotations

CROWD = 0
"""Everyone else with a position: the positions one by one are ``crowd``'s to know."""

ENGINE = 1
"""The venue's liquidation engine with its insurance fund."""

ARBITRAGE = 2
NOISE = 3
MOMENTUM = 4
VALUE = 5
PATIENT = 6
SELLER = 7
"""Who sells or buys because the scenario says so."""

MAKERS = 8
"""The first kind of market maker; the others follow."""

MAKERS_MAX = 16

ACCOUNTS = MAKERS + MAKERS_MAX
"""The first account of a bot on the loopback venue; the others follow."""
