"""Observables of a market that are neither book depth nor liquidation map, each an estimator. No I/O, no clock."""
