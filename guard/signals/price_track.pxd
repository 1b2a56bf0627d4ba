cimport cython
from libc cimport math

ctypedef long long i64

cdef i64 SLOTS
cdef i64 STEP_NS_MIN
cdef i64 BACK_NS
cdef i64 _WINDOWS
cdef double GAP_S
cdef double INF
cdef double BIPOWER
cdef double MOVE_LOG_MAX

cdef class PriceTrack:
    cdef i64[::1] at
    cdef double[::1] logs
    cdef double[::1] variance_upto
    cdef double[::1] seconds_upto
    cdef double[::1] bipower_upto
    cdef double[::1] paired_upto
    cdef i64[::1] highs
    cdef i64[::1] lows
    cdef i64[::1] starts
    cdef i64[::1] windows_ns
    cdef readonly i64 first, count
    cdef i64 high_first, high_end, low_first, low_end
    cdef double last_return, last_dt
    cdef object _measured

    @cython.locals(window=i64)
    cpdef i64 clear(self) except *
    @cython.locals(before=i64, since=i64, moved=double)
    cpdef i64 take(self, i64 at, double value) except *
    @cython.locals(slot=i64, before=i64, variance=double, seconds=double, bipower=double, paired=double, dt=double, change=double, size=double)
    cpdef i64 append(self, i64 at, double value) except *
    @cython.locals(newest=i64, window=i64, start=i64, edge=i64, kept=i64)
    cpdef i64 slide(self, i64 at, double value) except *
    @cython.locals(newest=i64, has_half=bint, has_five=bint)
    cpdef object measures(self)
    cpdef bint covers(self, i64 window, double seconds) noexcept
    @cython.locals(start=i64)
    cpdef double seconds_in(self, i64 window) noexcept
    cpdef double move(self, i64 window) noexcept
    @cython.locals(low=i64, high=i64, middle=i64)
    cpdef double since(self, i64 edge, double seconds) noexcept
    @cython.locals(newest=i64, allowed=double)
    cpdef double change_from(self, i64 start, i64 edge, double seconds) noexcept
    @cython.locals(start=i64, newest=i64, seconds=double)
    cpdef double volatility(self, i64 window, double seconds_min) noexcept
    @cython.locals(start=i64, newest=i64, variance=double, bipower=double)
    cpdef double jump_share(self, i64 window, double seconds_min) noexcept
    @cython.locals(place=i64)
    cpdef double below(self, i64 window) noexcept
    @cython.locals(place=i64)
    cpdef double above(self, i64 window) noexcept
    @cython.locals(middle=i64)
    cpdef i64 after(self, i64[::1] queue, i64 begin, i64 end, i64 point) noexcept
    @cython.locals(begin=i64, place=i64, extreme=double, way=double)
    cpdef double retraced(self, i64 sign) noexcept
