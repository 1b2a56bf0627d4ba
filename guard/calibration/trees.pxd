cimport cython
from libc cimport math

ctypedef long long i64

cdef double _LOGIT_MAX

cdef class Trees:
    cdef readonly double bias
    cdef readonly i64 depth, count, width
    cdef i64 _nodes
    cdef i64[::1] _columns
    cdef double[::1] _cuts
    cdef i64[::1] _unknown_right
    cdef double[::1] _leaves

    cpdef double score(self, const double[::1] row) except? -1.0
    @cython.locals(nodes=i64, found=double, tree=i64, base=i64, node=i64, _=i64, at=i64, value=double, is_right=i64)
    cpdef double walk(self, const double[::1] row) except? -1.0

cdef class Beside:
    cdef readonly Trees trees
    cdef double _share
    cdef i64[::1] _places
    cdef i64 _values, _count, _graded_row, _first, _end, _asked
    cdef double[::1] _row

    @cython.locals(at=i64, cell=i64, chance=double, more=double, logit=double)
    cpdef i64 move(self, const double[::1] values, const double[:, ::1] graded, double[:, ::1] out, i64 model) except -1
