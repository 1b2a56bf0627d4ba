cimport cython

from guard.calibration.kernel cimport Reaching

ctypedef long long i64

cdef class Blend:
    cdef readonly i64 high, wide, width, horizon, reach_width
    cdef i64 _stride
    cdef tuple _given
    cdef Reaching _reaching
    cdef i64[::1] _moves
    cdef i64[::1] _cells
    cdef double[::1] _said
    cdef double[::1] _told

    @cython.locals(count=i64, at=i64, wide=i64, row=i64, column=i64, place=i64)
    cpdef tuple hazards(self, const double[:, ::1] told, const i64[::1] rows, i64 settled, const double[::1] usual, const double[::1] factors, const double[::1] shares)
    @cython.locals(levels=i64, moves=i64, at=i64, row=i64, share=double, out=double[::1])
    cpdef tuple reach(self, const double[:, ::1] told, const i64[::1] rows, const double[::1] usual, const double[::1] shares)
    @cython.locals(at=i64)
    cdef i64 _begin(self, const double[::1] usual, const double[::1] shares, i64 stride) except -1
    @cython.locals(at=i64)
    cdef i64 _take(self, const double[:, ::1] told, i64 row) except -1
    @cython.locals(place=i64)
    cdef i64 _settle(self, const double[::1] factors) except -1
    @cython.locals(wide=i64, row=i64, column=i64, place=i64, share=double)
    cdef i64 _add(self, const double[::1] shares, i64 at) except -1

@cython.locals(row=i64, column=i64, place=i64, least=double, each=double)
cpdef i64 settled(double[::1] said, const double[::1] factors, i64 high, i64 wide) except -1
cpdef double times_odds(double probability, double factor) noexcept
