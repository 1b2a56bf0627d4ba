"""How likely a fall or a rise is, and what state a market is in. No I/O, no clock."""
