"""Everything estimated of the markets, composed: readings in, an outlook of each market out. No I/O, no clock.

- ``gatherer``  events and the market's view to one reading at each refresh
"""
