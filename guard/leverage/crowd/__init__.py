"""Where everybody else is liquidated: the map, learned from what a venue publishes. No I/O, no clock."""
