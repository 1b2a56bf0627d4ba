"""Binance USD-M futures: payloads, the tapped ccxt client, and the connections that the feeds use."""
