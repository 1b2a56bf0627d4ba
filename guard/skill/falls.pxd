cimport cython

ctypedef long long i64

cdef i64 _NEVER

cdef class FallDetector:
    cdef readonly double move
    cdef double _sign
    cdef i64 _window_ns, _refractory_ns, _found_at, _last_at, _room, _first, _end
    cdef i64[::1] _times
    cdef double[::1] _prices

    @cython.locals(turned=double, since=i64, origin=double)
    cpdef bint update(self, i64 at, double price) except -1
    @cython.locals(count=i64, place=i64, times=i64[::1], prices=double[::1])
    cdef object _make_room(self)
