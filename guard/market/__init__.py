"""One market as seen from outside: its book, liquidity, baselines, flow and freshness. No I/O, no clock."""
