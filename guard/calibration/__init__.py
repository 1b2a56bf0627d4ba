"""Probabilities made honest: models as plain numbers, from what was seen to how likely it is. No I/O, no clock."""
