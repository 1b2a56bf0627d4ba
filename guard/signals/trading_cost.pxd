cimport cython
from libc cimport math
from guard.signals.context cimport Context
from guard.signals.usual cimport Usual, clip, is_number

cdef double COST_FULL_BPS, COST_MIN_BPS, _LOG_FULL, BPS_PER_UNIT

cdef class TradingCost:
    cdef Usual _spread, _round_trip
    cdef public object own_usd
    cdef readonly object spread_ratio, round_trip_ratio, round_trip_bps, own_bps

    @cython.locals(elapsed=double, spread=double, usual=double, cost=double)
    cpdef object update(self, Context context)
    cpdef tuple values(self)

@cython.locals(bid=double, ask=double)
cdef double _spread_bps(object book) except *
@cython.locals(told=double)
cdef object _ratio(Usual usual, double value, double elapsed_s)
@cython.locals(told=double)
cdef object _alarm(object ratio)
