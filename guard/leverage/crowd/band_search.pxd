cimport cython

ctypedef long long i64

cdef class BandSearch:
    cdef readonly i64 reach, width
    cdef readonly double edge_ratio
    cdef i64 _taps
    cdef double[::1] _kernel
    cdef double[::1] _left
    cdef double[::1] _padded

    @cython.locals(at=i64, mean=double, total=double, top=i64, edge=double, nearest=i64, farthest=i64, first=i64, last=i64)
    cpdef tuple find(self, double[::1] usd, i64 count)
    @cython.locals(half=i64, at=i64, tap=i64, mean=double, total=double)
    cdef double _blur(self, double[::1] usd) except? -1.0
    @cython.locals(at=i64, top=i64)
    cdef i64 _densest(self) noexcept
