"""The same engine over a file of events: what it would have said, second by second, as fast as the machine goes.

- ``run``       events in, with the Ticks between them; series, summary and hash of all decisions out
- ``stand_in``  a bot that holds nothing and does what it is told, so that there is somebody to tell
- ``rows``      the state as rows of a series
- ``report``    what came of it, for people and for programs
"""
