cimport cython

ctypedef long long i64

cdef i64 SECOND_MS
cdef i64 BASIS_POINTS_N
cdef double OWN_SHARE
cdef double OWN_AWAY_MAX
cdef double PPB

@cython.locals(away=double)
cpdef double index_of(double world_price, double own_mid, double arbitrage) noexcept
cpdef double median(double one, double two, double three) noexcept

cdef class Mark:
    cdef readonly double index
    cdef readonly double mark
    cdef readonly double premium
    cdef readonly double rate
    cdef readonly i64 next_funding_ms
    cdef double _interest
    cdef double _clamp
    cdef double _cap
    cdef i64 _interval_ms
    cdef i64 _count
    cdef double _weights
    cdef double _sum
    cdef double[::1] _basis
    cdef double _basis_sum
    cdef i64 _basis_at
    cdef i64 _second_ms
    cdef double _due
    cdef bint _is_due

    @cython.locals(left=double, one=double, two=double)
    cpdef double step(self, i64 now_ms, double index, double bid, double ask, double last) except? -1.0
    @cython.locals(ppb=double)
    cpdef i64 take_due_ppb(self) except? -1
    cdef void _settle(self, i64 now_ms) noexcept
    @cython.locals(at=i64, basis=double)
    cdef void _measure(self, double index, double bid, double ask) noexcept
    @cython.locals(premium=double, rate=double)
    cdef double _rate_now(self) noexcept
