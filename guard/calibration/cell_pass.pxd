cimport cython
from libc cimport math

ctypedef long long i64

cdef double _LOGIT_MAX

cdef class Standard:
    cdef readonly i64 count, hinges, width
    cdef i64[::1] _places
    cdef double[::1] _centre
    cdef double[::1] _scale
    cdef double[::1] _clip
    cdef i64[::1] _hinged
    cdef double[::1] _knots

    @cython.locals(at=i64, value=double, bound=double)
    cpdef i64 take(self, const double[:, ::1] given, i64 row, double[::1] out, i64 begin) except -1

cdef class CellPass:
    cdef readonly i64 cells, width, models
    cdef Standard _features
    cdef Standard _graded
    cdef double[::1] _intercept
    cdef i64[::1] _runs
    cdef double[::1] _weights
    cdef i64[::1] _graded_runs
    cdef double[::1] _graded_weights
    cdef i64[::1] _rows
    cdef double[::1] _shares
    cdef i64[::1] _blocks
    cdef double[::1] _values
    cdef double[::1] _spread
    cdef double[::1] _sums
    cdef double[::1] _graded_sums
    cdef double[::1] _least

    @cython.locals(first=i64, block=i64, high=i64, wide=i64)
    cpdef i64 order(self, double[:, ::1] out, i64 model) except -1
    @cython.locals(cell=i64, model=i64, place=i64, logit=double)
    cpdef i64 tell(self, const double[:, ::1] values, const double[:, ::1] near, const double[:, ::1] far, double shift, double[:, ::1] out) except -1
    @cython.locals(cell=i64, weight=i64, run=i64, value=double)
    cpdef i64 _add(self, const double[:, ::1] values) except -1
    @cython.locals(cell=i64, width=i64, first=i64, count=i64, row=i64, weight=i64, run=i64, column=i64, value=double)
    cpdef i64 _add_graded(self, const double[:, ::1] near, const double[:, ::1] far) except -1

cdef class KindPool:
    cdef readonly i64 width
    cdef double[::1] _flat
    cdef double[::1] _quiet
    cdef double[::1] _under_way
    cdef double[::1] _shares
    cdef i64[::1] _blocks
    cdef i64[::1] _forced
    cdef double[::1] _life
    cdef double[::1] _fit
    cdef double[::1] _least

    @cython.locals(cell=i64, model=i64, first=i64, block=i64, high=i64, wide=i64, pair=i64, other=i64, moved=double, odds=double, made=double, life=double)
    cpdef i64 tell(self, const double[:, ::1] fitted, double weight, double share, double fit_shift, double life_shift, double[:, ::1] out) except -1

@cython.locals(column=i64, step=i64, begin=i64, least=double, most=double)
cdef i64 _put_in_order(double[:, ::1] out, i64 model, i64 first, i64 high, i64 wide, double[::1] scratch) except -1

cdef double _held(double logit) noexcept
