cimport cython
from libc cimport math
from adapters.simulation.laboratory.draws cimport Draws
from adapters.simulation.laboratory.exchange cimport Exchange, funding_micros
from adapters.simulation.laboratory.liquidation_engine cimport LiquidationEngine
from adapters.simulation.laboratory.positions cimport Positions

ctypedef long long i64

cdef i64 _CROWD
cdef double _REPRICED_RATIO
cdef i64 _CHOSEN_BPS
cdef double _STOP_LOG_SD
cdef double _TARGET_RATIO

cdef class Crowd(Positions):
    cdef readonly object parameters
    cdef readonly Draws draws
    cdef readonly LiquidationEngine engine
    cdef readonly double fund_ratio, collateral_ratio, collateral_share
    cdef public double mean_lots
    cdef public i64 protection_bps
    cdef public i64 at_once_lots, reference_tick
    cdef readonly i64 stopped_lots
    cdef double size_log_sd, hedged_longs, hedged_shorts, cross_share, spare_ratio, stop_share, stop_bps, target_share
    cdef double[::1] mix_longs
    cdef double[::1] mix_shorts
    cdef double[::1] upto_longs
    cdef double[::1] upto_shorts

    @cython.locals(filled=i64, notional=i64, margin=i64, pledged=i64, slot=i64, entry=double, stop=i64)
    cpdef i64 enter(self, i64 now_ms, i64 side, i64 lots, double leverage, bint is_cross, double spare_ratio, double stop_bps, double target_bps) except -2
    @cython.locals(spread=double, leverage=double, is_cross=bint, spare=double, stop=double)
    cpdef i64 enter_drawn(self, i64 now_ms, i64 side, i64 lots=*) except -2
    @cython.locals(lots=i64, side=i64, filled=i64, cash=i64)
    cpdef i64 leave(self, i64 now_ms, i64 position, i64 worst_tick=*, i64 lots_max=*) except -1
    @cython.locals(at=i64)
    cpdef i64 pick(self, double u) noexcept
    @cython.locals(closed=i64, count=i64, i=i64, slot=i64)
    cpdef i64 run_stops(self, i64 now_ms, i64 last_tick) except -1
    cpdef i64 liquidate(self, i64 now_ms, i64 mark_tick, i64 lots_max) except -1
    cpdef list take_liquidations(self)
    @cython.locals(received=i64, i=i64, slot=i64, paid=i64)
    cpdef i64 fund(self, i64 mark_tick, i64 rate_ppb) except? -1
    @cython.locals(moved=double, backed=i64, i=i64, slot=i64, change=i64)
    cpdef i64 reprice_collateral(self, double ratio) except -1
    @cython.locals(drawn=double, upto=double[::1], mix=double[::1], at=i64)
    cpdef double draw_leverage(self, i64 side) except? -1.0
    cpdef double draw_stop_bps(self, double leverage) except? -1.0
    cpdef double draw_target_bps(self, double leverage) except? -1.0
    @cython.locals(price=double)
    cpdef i64 tick_at(self, double entry, double bps) noexcept
    @cython.locals(best=i64, limit=i64)
    cdef i64 _trade(self, i64 side, i64 lots, i64 worst_tick) except -1
    cpdef i64 chosen_worst(self, i64 side) noexcept
