cimport cython
from libc cimport math

ctypedef long long i64

cdef double _STEP
cdef double _INFINITE

cdef class Reaching:
    cdef tuple _given
    cdef readonly i64 count, levels
    cdef double[::1] _places
    cdef double[::1] _logs
    cdef double[::1] _levels
    cdef double[::1] _under
    cdef double[::1] _reaching
    cdef readonly double[::1] found
    cdef readonly double expected

    @cython.locals(at=i64)
    cpdef tuple quantiles(self, list reaching)
    @cython.locals(at=i64)
    cpdef double mean(self, list reaching) except? -1.0
    @cython.locals(at=i64)
    cpdef i64 take(self, const double[:, ::1] told, i64 row) except -1
    @cython.locals(last=i64, at=i64, place=i64, level=double, below=double, slope=double)
    cdef i64 _invert(self) except -1
    @cython.locals(at=i64, total=double, before=double, here=double)
    cdef double _integral(self) noexcept

@cython.locals(count=i64, at=i64, row=i64, total=double, share=double)
cpdef tuple averaged(list shares, list rows)
@cython.locals(last=i64, low=i64, row=i64, x=double, before=double, slope=double)
cpdef i64 lay_along(double[:, ::1] out, i64 column, double[::1] at, double[::1] places, double[::1] values) except -1
@cython.locals(at=i64, chance=double)
cpdef object log_odds(tuple chances, double least)
@cython.locals(width=i64, found=i64, row=i64, column=i64, most=double, least=double)
cpdef i64 look(const double[:, ::1] rows, i64 count, i64 own, double since, double[::1] out) except -1
