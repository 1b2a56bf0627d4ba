cimport cython
from adapters.simulation.coarse.curve_book cimport CurveBook
from adapters.simulation.coarse.market cimport CoarseMarket
from adapters.simulation.laboratory.drive cimport DriveState
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.mark cimport Mark, index_of
from adapters.simulation.laboratory.outside cimport Outside
from adapters.simulation.laboratory.value cimport Values

ctypedef long long i64

cdef i64 _SECOND_MS
cdef i64 _MID, _MARK, _INDEX, _WORLD, _VALUE, _SPREAD, _RATE, _INTEREST, _BOUGHT, _SOLD, _FUND, _WILLINGNESS, _EQUITY
cdef i64 _ARBITRAGE, _Z, _BIDS, _ASKS, _SELLING, _BUYING

cdef class Round:
    cdef readonly CoarseMarket market
    cdef readonly Mark mark
    cdef readonly Outside outside
    cdef i64 _at, _round_ms, _bought_micros, _sold_micros
    cdef double _tick, _lot

    cpdef i64 set_round(self, i64 round_ms) except -1
    @cython.locals(outside=Outside, market=CoarseMarket, round_s=double, rate_ppb=i64)
    cpdef i64 step(self, i64 now_ms, Values values, DriveState drive, double collateral_ratio) except -1
    @cython.locals(market=CoarseMarket, exchange=Exchange, curves=CurveBook, cost=i64)
    cpdef i64 write(self, double[::1] out, Values values) except -1
    @cython.locals(curves=CurveBook, bid=double, ask=double, index=double, last=double, second_ms=i64, price=double)
    cdef i64 _measure_mark(self, i64 now_ms, double world, double arbitrage) except -1
