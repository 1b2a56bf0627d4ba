"""How far a fall or a rise feeds on liquidations, given book and map. No I/O, no clock."""
