cimport cython
from libc cimport math
from guard.signals.context cimport Context, UsualVolatility
from guard.signals.price_track cimport PriceTrack

ctypedef long long i64

cdef i64 FRESH_NS
cdef double BASIS_LOG_MAX

cdef class MarketSignals:
    cdef readonly object market, funding, cost
    cdef readonly PriceTrack track
    cdef readonly UsualVolatility volatility
    cdef readonly Context context
    cdef readonly tuple observables
    cdef object _flow, _basis
    cdef double _basis_log

    @cython.locals(at=i64, priced_at=i64, elapsed=double)
    cpdef Context update(self, object reading)
    @cython.locals(mark=double, mid=double, apart=double, has_mark=bint)
    cdef object _price(self, object reading)
