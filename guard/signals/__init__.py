"""Observables of a market that are neither book depth nor liquidation map, each an estimator. No I/O, no clock.

``Signals`` composes them: every file but ``signals``, ``context``, ``usual`` and ``price_measures`` is one observable,
with its formula, source, cost, assumptions and failure modes. ``PriceTrack`` is the memory of prices they share.
"""
