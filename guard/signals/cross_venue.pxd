cimport cython
from libc cimport math
from guard.signals.usual cimport Usual, clip

ctypedef long long i64

cdef double HALF_LIFE_S, SPREAD_BPS_MIN, DIVERGENCE_FULL, GAP_FULL, APART_LOG_MAX, LIMIT, VOLATILITY_MIN, BPS_PER_UNIT
cdef double _MINUTE_ROOT_S

cdef class CrossVenue:
    cdef dict _usual, _gaps

    @cython.locals(middle=double, spread=double, own=double, elapsed=double, apart=double, centre=double, others=double, sigma=double, value=double, usual=Usual, at=i64, place=i64)
    cdef object _compare(self, list group, object sigmas)
    cpdef tuple values(self, object market)

@cython.locals(half=i64, count=i64)
cdef double _median(list values) except *
@cython.locals(at=i64)
cdef dict _groups(object readings, i64 now)
@cython.locals(bid=double, ask=double)
cdef double _price(object reading) except *
@cython.locals(bid=double, ask=double)
cdef double _spread_bps(object reading) except *
