cimport cython

ctypedef long long i64

cdef class Ladder:
    cdef readonly i64 ticks
    cdef readonly bint is_falling
    cdef readonly i64 edge
    cdef readonly i64 capacity
    cdef i64[::1] head
    cdef readonly i64[::1] tick
    cdef i64[::1] next
    cdef i64[::1] previous
    cdef readonly i64[::1] found

    cpdef i64 tick_of(self, i64 position) noexcept
    @cython.locals(first=i64)
    cpdef i64 put(self, i64 position, i64 tick) except -1
    @cython.locals(after=i64, before=i64)
    cpdef i64 drop(self, i64 position) noexcept
    cpdef bint is_reached(self, i64 price_tick) noexcept
    @cython.locals(count=i64, by=i64, last=i64, tick=i64, position=i64)
    cpdef i64 gather(self, i64 price_tick) except -1
    cdef i64 _grow(self, i64 position) except -1
