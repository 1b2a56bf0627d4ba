cimport cython
from libc cimport math
from adapters.simulation.laboratory.behaviour cimport decay_per_s, activity, momentum_depths_per_s, noise_trades_per_s, noise_usd_median, room_ratio, value_depths_per_s
from adapters.simulation.laboratory.draws cimport Draws
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.moves cimport Moves
from adapters.simulation.laboratory.outside cimport Outside

ctypedef long long i64

cdef double TRADE_DEPTHS_MAX
cdef double SELLER_DEPTHS_MAX

cdef class Flow:
    cdef readonly Exchange exchange
    cdef readonly Draws draws
    cdef readonly double depth_lots
    cdef double _step_s, _noise_per_s, _noise_lots, _noise_log_sd, _noise_lots_max, _noise_lean, _herding, _limit_bps
    cdef double _participation, _momentum_depths, _value_depths, _value_bps, _value_lots_max, _back_per_s
    cdef i64 _sign
    cdef double _momentum_carry, _value_carry, _seller_carry

    @cython.locals(most=double)
    cpdef void step(self, double mid, double season, double value_tick, double willingness, Moves moves, Outside outside) except *
    @cython.locals(held=i64, trade=i64, count=i64, lean=double, size=double, lots=i64)
    cdef void _noise(self, double mid, double busy) except *
    @cython.locals(held=i64, side=i64, rate=double)
    cdef void _follow(self, double mid, double z, double most) except *
    @cython.locals(held=i64, gap=double, rate=double, side=i64, margin=double, limit=i64)
    cdef void _know(self, double mid, double value_tick, double most) except *
    @cython.locals(most=double, lots=i64, side=i64, got=i64)
    cdef void _sell(self, double depths_per_s) except *
    @cython.locals(limit=double)
    cdef void _take(self, i64 owner, i64 side, i64 lots, double mid) except *
