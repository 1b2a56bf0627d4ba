"""Bybit v5: linear perpetuals and unified trading accounts."""
