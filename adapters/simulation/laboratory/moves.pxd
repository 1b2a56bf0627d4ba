cimport cython
from libc cimport math
from adapters.simulation.laboratory.behaviour cimport keep_ratio, usual_deviation

ctypedef long long i64

cdef i64 SHORT_S
cdef i64 LONG_S
cdef i64 HOUR_S
cdef double STRESSED_Z
cdef i64 _RING

cdef class Moves:
    cdef readonly double z, z_short, z_long, z_hour
    cdef double[::1] _ring
    cdef i64 _second
    cdef double _short_variance, _long_variance, _short_variance_min, _long_variance_min
    cdef double _short_deviation, _long_deviation, _learn

    @cython.locals(second=i64, hour=double)
    cpdef double update(self, i64 now_ms, double log_price) noexcept
    cpdef double deviation(self, double seconds) noexcept
    @cython.locals(move=double)
    cdef void _learn_from(self, double log_price) noexcept
