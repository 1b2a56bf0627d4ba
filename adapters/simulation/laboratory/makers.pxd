cimport cython
from libc cimport math
from adapters.simulation.laboratory.behaviour cimport balance_ratio, half_spread_bps, keep_ratio, willingness_next, willingness_target
from adapters.simulation.laboratory.book cimport OrderBook
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.outside cimport Outside

ctypedef long long i64

cdef i64 LEVELS_MAX
cdef double _SKEW_FROM

cdef class Makers:
    cdef readonly Exchange exchange
    cdef readonly OrderBook book
    cdef readonly double willingness, equity_ratio, depth_lots
    cdef public double world_lots
    cdef i64 _micros, _count
    cdef double _step_s, _half_spread_bps, _payout, _mid_left, _quoted_season
    cdef double[::1] _share, _spread_ratio, _spread_exponent, _reach, _withdraw_z, _withdraw_power, _signal_ratio
    cdef double[::1] _floor, _fall_keep, _refill_keep, _requote, _limit, _skew, _capital, _capital_floor, _collateral
    cdef double[::1] _permanence, _world_half_life, _restore_half_life, _hedge_half_life, _offset, _weight
    cdef double[::1] _a, _fair, _quoted_fair, _quoted_a, _quoted_used, _quoted_spent, _spent, _hedged, _hedge_cash, _paid_in
    cdef i64[::1] _levels, _quoted_lots, _orders, _left, _tick, _wanted_tick, _wanted_lots, _is_due

    @cython.locals(jump=double, z_elsewhere=double, mean=double, equity=double, capital=double, is_due=bint, kind=i64)
    cpdef void step(self, double mid, double z, double season, double world_tick, double mark, Outside outside) except *
    cpdef void leave_mid(self, double mid) noexcept
    cpdef double fair_of(self, i64 kind) noexcept
    cpdef double held_of(self, i64 kind) noexcept
    @cython.locals(owner=i64, lots=i64, a=double, fair=double, half_life=double, moved=double, capital=double, won=double, equity=double, balance=double, target=double, keep=double, before=double, spread=double, moved_bps=double)
    cdef double _think(self, i64 kind, double z, double z_elsewhere, double jump, double world_tick, double mark, Outside outside) noexcept
    @cython.locals(lots=i64, used=double, fair=double, tolerance=double, change=double, spent=double, is_due=bint)
    cdef i64 _look(self, i64 kind, double season) noexcept
    @cython.locals(book_side=i64, at=i64, level=i64, left=i64)
    cdef void _note_fills(self, i64 kind) noexcept
    @cython.locals(a=double, sign=double, clipped=double, centre=double, spread=double, full=double, room=double, scale=double, spent=double, rested=i64, at=i64, ladder=i64, level=i64, beyond=double, below=i64, tick=i64, up_to=i64)
    cdef void _want(self, i64 kind, i64 book_side, double used, double season) noexcept
    @cython.locals(fair=double, book_side=i64, at=i64, level=i64, order=i64, near=double, away=i64, wanted=i64, left=i64)
    cdef void _withdraw(self, i64 kind) except *
    @cython.locals(owner=i64, book_side=i64, at=i64, level=i64, wanted=i64, tick=i64, order=i64)
    cdef void _put(self, i64 kind) except *
