cimport cython
from libc cimport math

ctypedef long long i64

cdef double LOG_2
cdef double LIMIT

cpdef double clip(double value, double low=*, double high=*) noexcept

cpdef bint is_number(object value) except *

cdef class Usual:
    cdef public double half_life_s, clip_sd, warm_s, mean, variance, weight, seconds

    @cython.locals(kept=double, share=double, apart=double, bound=double)
    cpdef object update(self, double value, double elapsed_s)
    cpdef double z(self, double value, double floor=*) noexcept

cdef class WindowSum:
    cdef readonly i64 window_ns, slots
    cdef readonly double total
    cdef i64 _first, _length
    cdef i64[::1] _times
    cdef double[::1] _values

    @cython.locals(slots=i64, edge=i64, place=i64)
    cpdef object add(self, i64 at, double value)
