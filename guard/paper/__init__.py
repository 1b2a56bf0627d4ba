"""Accounts and bots on paper, in the process: what orders cost in the book of now, and what a venue would make of it.

Pure, like all that decides: the same events and prices give the same money.

- ``account``   a margin account: isolated and cross, tiers, fees, funding, liquidation
- ``fills``     what an order of some size would be filled at
"""
