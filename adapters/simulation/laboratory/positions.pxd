cimport cython
from adapters.simulation.laboratory.book cimport OrderBook
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.ladder cimport Ladder
from adapters.simulation.laboratory.margin_brackets cimport Brackets

ctypedef long long i64

cdef i64 _CROWD

cdef class Positions:
    cdef readonly Exchange exchange
    cdef readonly OrderBook book
    cdef readonly Brackets brackets
    cdef readonly i64 micros, ticks
    cdef readonly Ladder falls, rises, below, above
    cdef readonly i64 capacity
    cdef readonly i64[::1] lots
    cdef readonly i64[::1] cost
    cdef readonly i64[::1] margin
    cdef readonly i64[::1] pledged
    cdef readonly double[::1] leverage
    cdef readonly i64[::1] is_cross
    cdef readonly i64[::1] opened_ms
    cdef readonly i64[::1] number
    cdef readonly i64[::1] live
    cdef i64[::1] where
    cdef i64[::1] free
    cdef i64 free_count
    cdef readonly i64 slots, count, numbered
    cdef readonly i64 long_lots, short_lots
    cdef readonly i64 costs, margins
    cdef public i64 opening_costs, fund_micros, fund_opening
    cdef readonly i64 deposited, paid_out, repriced

    @cython.locals(slot=i64)
    cpdef i64 add(self, i64 now_ms, i64 lots, i64 cost, i64 margin, i64 pledged, double leverage, bint is_cross) except -1
    cpdef i64 watch(self, i64 slot, i64 stop_tick, i64 target_tick) except -1
    @cython.locals(lots=i64, size=i64, cost=i64, margin=i64, pledged=i64, ratio=double, due=i64)
    cpdef i64 settle(self, i64 slot, i64 closed, i64 cash, bint keeps_margin) except? -1
    cpdef i64 pay(self, i64 due) noexcept
    cpdef i64 charge(self, i64 slot, i64 micros) noexcept
    @cython.locals(tick=i64)
    cpdef i64 relocate(self, i64 slot) except -1
    cpdef i64 equity(self, i64 slot, i64 mark_tick) noexcept
    cpdef i64 liquidation_tick(self, i64 slot) noexcept
    cpdef i64 stop_tick(self, i64 slot) noexcept
    cpdef i64 target_tick(self, i64 slot) noexcept
    @cython.locals(inside=i64, put_in=i64)
    cpdef i64 imbalance(self) noexcept
    @cython.locals(last=i64)
    cdef i64 _remove(self, i64 slot) except -1
    cdef i64 _grow(self) except -1
