cimport cython
from libc cimport math
from adapters.simulation.laboratory.behaviour cimport decay_per_s, entries_per_s, entry_long_ratio, flight_ratio, withdrawal
from adapters.simulation.laboratory.book cimport OrderBook
from adapters.simulation.laboratory.crowd cimport Crowd
from adapters.simulation.laboratory.draws cimport Draws
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.moves cimport Moves
from adapters.simulation.laboratory.outside cimport Outside

ctypedef long long i64

cdef double DETERRED_Z
cdef i64 LEAVING_MAX
cdef i64 MEETINGS_MAX

cdef class Entering:
    cdef readonly Crowd crowd
    cdef readonly Draws draws
    cdef readonly Exchange exchange
    cdef readonly OrderBook book
    cdef double _step_s, _open_lots, _half_life_s, _leave_per_s, _flight, _momentum, _log_sd, _mean_lots, _lots_max, _cut_mean_lots
    cdef i64[::1] _leaving
    cdef i64[::1] _leaving_number
    cdef i64 _leaving_count, _part_lots
    cdef double _fleeing_lots

    @cython.locals(crowd=Crowd, longs=double, calm=double, side=i64, flight=double)
    cpdef void step(self, i64 now_ms, double mid, double season, Moves moves, Outside outside) except *
    cdef void _leave(self, i64 now_ms, i64 position) except *
    @cython.locals(left=i64, place=i64, position=i64, number=i64)
    cdef void _go_on(self, i64 now_ms) except *
    @cython.locals(tick=i64, bull=i64, bear=i64, lots=i64, order=i64, got=i64, usual=i64)
    cdef i64 _meet(self, i64 now_ms, double mid) except -1
    @cython.locals(due=double)
    cdef void _flee(self, i64 now_ms, double mid, double flight) except *
    @cython.locals(position=i64)
    cdef i64 _pick(self, i64 side) except -2
    @cython.locals(side=i64)
    cdef i64 _part(self, i64 now_ms, i64 position) except -1
    @cython.locals(size=double)
    cdef void _enter(self, i64 now_ms, i64 side, double lots_per_s) except *

@cython.locals(upper=double, above=double)
cdef double _mean_below(double mean, double log_sd, double most) noexcept
