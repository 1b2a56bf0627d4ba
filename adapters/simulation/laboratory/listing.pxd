cimport cython
from adapters.simulation.laboratory.book cimport OrderBook
from adapters.simulation.laboratory.drive cimport DriveState
from adapters.simulation.laboratory.mark cimport Mark, index_of
from adapters.simulation.laboratory.market cimport Market
from adapters.simulation.laboratory.outside cimport Outside
from adapters.simulation.laboratory.value cimport Values

ctypedef long long i64

cdef class Listing:
    # What trades, and so its exchange and crowd, may be another mode's.
    cdef readonly object venue, symbol, market, trading, exchange, crowd, grid
    cdef readonly i64 at
    cdef public i64 mark_tick
    cdef readonly Mark mark
    cdef readonly Outside outside
    cdef public object closed
    cdef public bint is_out
    cdef public double z
    cdef object _start_at
    cdef double _step_s
    cdef i64 _end_ms

    @cython.locals(outside=Outside, trading=Market, world=double)
    cpdef object step(self, i64 now_ms, Values values, DriveState drive, object collateral)
    cpdef object take_closed(self, i64 now_ms)
    @cython.locals(book=OrderBook, bid=i64, ask=i64, is_whole=bint, index=double, mark=double, rate_ppb=i64, tick=double)
    cdef void _mark(self, i64 now_ms, double world, double arbitrage) except *
