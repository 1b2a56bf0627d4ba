"""How much of a position to give up, whether now, and in which slices. Pure: no I/O, no clock, no state.

- ``verdict``     whether cutting now costs less than waiting: from what it costs now, later and in the crash
- ``room``        how far from liquidation a position should be, and how far out a cut goes
- ``sizes``       the largest size that keeps a distance in its pool and in this book, what closing costs included
- ``trajectory``  Almgren-Chriss with a hazard: how much should be left when
- ``refill``      what a book gives without being run over
- ``pacing``      both of them to the next slice, its interval and the worst price to be taken
- ``remedies``    what a human could do where closing costs more
- ``evidence``    what a cut is told with
"""
