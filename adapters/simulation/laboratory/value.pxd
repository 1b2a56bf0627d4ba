cimport cython
from libc cimport math

from adapters.simulation.laboratory.draws cimport Draws

ctypedef long long i64

cdef i64 MINUTE_MS
cdef double DAY_MS
cdef double FACTOR_MEMORY_S
cdef double DISPLACED_MAX
cdef double JUMP_VARIANCE_MAX

cdef class Diffusion:
    cdef Draws _draws
    cdef readonly double level
    cdef double _spread_ms
    cdef double _log_sd
    cdef double _kept
    cdef double _fresh_sd
    cdef double _log_volatility
    cdef double _half_degrees
    cdef double _tail_scale
    cdef i64 _minute_left_ms
    cdef double _spread
    cdef double _jump_every_ms
    cdef double _jump_sd
    cdef double _jump_left_ms

    cpdef double step(self, i64 duration_ms) except? -1.0
    @cython.locals(scale=double)
    cdef void _begin_minute(self) except *
    @cython.locals(shape=double, narrow=double, drawn=double, cube=double, uniform=double)
    cdef double _chi_square(self) except? -1.0

cdef class Values:
    cdef readonly i64 now_ms
    cdef readonly i64 count
    cdef readonly double factor
    cdef readonly double factor_z
    cdef double _average
    cdef double _usual
    cdef Diffusion _common
    cdef double _common_start
    cdef list _own
    cdef double[::1] _own_start
    cdef double _pull_s
    cdef double[::1] _start
    cdef double[::1] _beta
    cdef double[::1] _per_usd
    cdef double[::1] _pushed
    cdef double[::1] _displaced
    cdef double[::1] _value
    cdef double[::1] _world
    cdef i64 _impulses_left
    cdef double _factor_pushed
    cdef i64[::1] _from_ms
    cdef i64[::1] _until_ms
    cdef double[::1] _size
    cdef i64[::1] _whose

    @cython.locals(duration_ms=i64, kept=double, moved=double, value=double, at=i64, own=Diffusion)
    cpdef void step(self, i64 now_ms) except *
    cpdef double value_price(self, i64 at) noexcept
    cpdef double world_price(self, i64 at) noexcept
    cpdef double displaced(self, i64 at) noexcept
    cpdef void trade(self, i64 at, double bought_usd) noexcept
    @cython.locals(displaced=double)
    cpdef void shift(self, i64 at, double moved) noexcept
    @cython.locals(away=double)
    cdef void _watch(self, double level, i64 duration_ms) noexcept
    @cython.locals(at=i64, each=i64, left=i64, done=double)
    cdef void _push(self, i64 now_ms) except *
    @cython.locals(at=i64, own=Diffusion)
    cdef void _live_through(self, i64 minutes) except *
