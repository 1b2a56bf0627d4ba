cimport cython

ctypedef long long i64

cdef class Trees:
    cdef readonly double bias
    cdef readonly i64 depth, count, width
    cdef i64[::1] _columns
    cdef double[::1] _cuts
    cdef i64[::1] _left
    cdef double[::1] _leaves

    @cython.locals(nodes=i64, found=double, tree=i64, base=i64, node=i64, _=i64, at=i64, value=double)
    cpdef double score(self, const double[::1] row) except? -1.0
