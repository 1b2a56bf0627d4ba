cimport cython

ctypedef long long i64

cdef class Past:
    cdef readonly double[::1] path, lowest, highest, upto
    cdef readonly i64 spacing_ms, count

    @cython.locals(low=i64, high=i64, middle=i64)
    cpdef i64 drawn(self, double drawn) noexcept
    cpdef double price(self, i64 at, double between) noexcept

@cython.locals(tries=i64, last=i64, at=i64)
cpdef object one(object crowd, Past past, i64 side, i64 size, double leverage)
cpdef bint survives(i64 side, i64 liquidated, i64 stop, i64 target, double lowest, double highest) noexcept
