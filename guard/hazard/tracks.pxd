cimport cython
from libc cimport math

ctypedef long long i64

cdef double _SLOW_S
cdef double _ONSET_LOG
cdef double _GAP_S
cdef double _UNKNOWN
cdef i64 _ONE_PERCENT
cdef i64 _WINDOWS

cdef class Faded:
    cdef public double tau_s, total, weight

    @cython.locals(kept=double, share=double)
    cpdef object add(self, double value, double elapsed_s)
    cpdef double known(self) noexcept

cdef class FlowTrack:
    cdef public object at, onset_down_at, onset_up_at
    cdef readonly double[::1] bought
    cdef readonly double[::1] sold
    cdef readonly double[::1] longs
    cdef readonly double[::1] shorts
    cdef double[::1] _taus
    cdef readonly Faded volume_slow, depth_slow, bid_log, ask_log, spread_slow
    cdef readonly Faded interest_5m, interest_1h, premium_slow, variance_slow

    @cython.locals(elapsed=double, lasted=double, bought=double, sold=double, longs=double, shorts=double, kept=double, interest=double, premium=double, window=i64)
    cpdef object update(self, object reading, object price)
    @cython.locals(bids=double, asks=double)
    cpdef double depth(self, object book) except? -1.0
    @cython.locals(bids=double, asks=double, spread=double)
    cpdef object _take_book(self, object book, double elapsed)
    @cython.locals(volatility=double)
    cpdef object _take_price(self, object at, object price, double elapsed)

@cython.locals(mark=double, index=double, value=double)
cpdef double premium_of(object reading) except? -1.0
cpdef double number(object value) except? -1.0
