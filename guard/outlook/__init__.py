"""Everything estimated of the markets, composed: readings in, an outlook of each market out. No I/O, no clock.

- ``gatherer``    events and the market's view to one reading at each refresh
- ``estimators``  all of them in the order in which they need each other; ``broken``: one that raises stops no other
- ``judging``     experts weighed by how they have done, and kept to be judged; ``regimes``: what state a market is in
- ``outlook``     when which market is looked at; ``recording``: what of that is written down; ``memory``: over restarts
"""
