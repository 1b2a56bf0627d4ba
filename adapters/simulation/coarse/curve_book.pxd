cimport cython
from adapters.simulation.laboratory.book cimport OrderBook

ctypedef long long i64

cdef i64 _STEPS
cdef i64 _CURVE
cdef i64 _COSTS
cdef double _NOTHING

cdef class CurveBook(OrderBook):
    cdef readonly double usd
    cdef readonly i64 parts
    cdef i64 _room
    cdef i64[::1] _part_owner, _put_tick, _put_lots, _put_count, _step_tick, _step_left, _step_part, _count, _at, _taken, _turn
    cdef double[::1] _scale, _curve_bps, _notionals

    @cython.locals(at=i64)
    cpdef i64 begin(self) noexcept
    cpdef i64 set_scale(self, i64 part, double scale) noexcept
    @cython.locals(at=i64, count=i64)
    cpdef i64 put(self, i64 side, i64 part, i64 tick, i64 lots) noexcept
    cpdef i64 build(self) noexcept
    cpdef bint is_crossed(self) noexcept
    cpdef i64 best_owner(self, i64 side) noexcept
    cpdef i64 best_lots(self, i64 side) noexcept
    @cython.locals(step=i64)
    cpdef i64 drop(self, i64 side, i64 lots, bint is_taken) noexcept
    cpdef double taken(self, i64 side, i64 part) noexcept
    @cython.locals(curve=i64, wanted=i64, step=i64, tick=i64, part=i64, got=i64)
    cpdef i64 take(self, i64 owner, i64 side, i64 lots, i64 limit_tick=*) except -1
    @cython.locals(curve=i64, at=i64, is_behind=bint, step=i64)
    cpdef i64 place(self, i64 owner, i64 side, i64 tick, i64 lots, bint post_only=*) except -2
    @cython.locals(curve=i64, lots=i64)
    cpdef i64 cancel(self, i64 order) except -1
    @cython.locals(curve=i64)
    cpdef i64 lots_left(self, i64 order) noexcept
    cpdef i64 lots_at(self, i64 side, i64 tick) noexcept
    cpdef i64 lots_within(self, i64 side, i64 tick) noexcept
    cpdef i64 next_bid(self, i64 tick) noexcept
    cpdef i64 next_ask(self, i64 tick) noexcept
    @cython.locals(curve=i64, first=i64, last=i64, step=i64, tick=i64, shown=i64)
    cpdef tuple gather(self, i64 side, i64 levels_max, i64 farthest_tick=*)
    @cython.locals(mid=double, step=i64, last=i64, point=i64, cost=i64, worth=double, base=double, tick=double, away=double, lots=double, price=double, got=double, vwap=double)
    cpdef i64 measure(self, i64 side, double[::1] out, i64 curve_at, i64 costs_at) except -1

    @cython.locals(part=i64, base=i64, count=i64, best=i64, best_tick=i64, at=i64, tick=i64)
    cdef i64 _merge(self, i64 side) noexcept
    @cython.locals(at=i64)
    cdef bint _is_guest(self, i64 curve) noexcept
    @cython.locals(step=i64)
    cdef i64 _look(self, i64 side) noexcept
    @cython.locals(lots=i64, step=i64, last=i64)
    cdef i64 _shown(self, i64 curve, i64 tick, i64 only) noexcept
    @cython.locals(step=i64, last=i64)
    cdef i64 _after(self, i64 curve, i64 tick) noexcept
