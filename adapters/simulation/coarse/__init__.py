"""Episodes in steps of 5 s with depth curves instead of orders, for statistics over thousands of them."""

from adapters.simulation.coarse.run import coarse_events, coarse_series

__all__ = ["coarse_events", "coarse_series"]
