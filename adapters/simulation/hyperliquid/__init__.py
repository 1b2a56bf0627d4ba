"""The loopback venue as Hyperliquid: whole books, contexts and account states, told to whoever asks by address."""

from adapters.simulation.hyperliquid.accounts import address_of
from adapters.simulation.hyperliquid.dialect import HyperliquidDialect

__all__ = ["HyperliquidDialect", "address_of"]
