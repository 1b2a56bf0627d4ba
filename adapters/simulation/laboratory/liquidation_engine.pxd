cimport cython
from adapters.simulation.laboratory.book cimport OrderBook
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.margin_brackets cimport Brackets
from adapters.simulation.laboratory.positions cimport Positions

ctypedef long long i64

cdef i64 _CROWD
cdef i64 _ENGINE
cdef double _RESERVE
cdef i64 _UNWIND_DIVISOR
cdef i64 _UNWIND_BPS
cdef i64 _RANKED_FIRST
cdef i64 _TOLD_MS
cdef i64 _SELLING_MAX

cdef class LiquidationEngine:
    cdef readonly Positions positions
    cdef readonly Exchange exchange
    cdef readonly OrderBook book
    cdef readonly i64 micros
    cdef double fee_ratio, fund_use_ratio, takeover_ratio, taker_ratio
    cdef bint is_partial
    cdef readonly i64 now_ms, mark_tick, budget
    cdef readonly i64 book_lots, fund_lots, deleveraged_lots, liquidations
    cdef list logged
    cdef readonly i64 log_lost
    cdef dict selling
    cdef i64[::1] rank
    cdef object rank_among, rank_scores
    cdef i64 rank_count, rank_at, rank_side

    @cython.locals(positions=Positions, closed=i64, count=i64, i=i64)
    cpdef i64 liquidate(self, i64 now_ms, i64 mark_tick, i64 lots_max) except -1
    cpdef i64 tell(self, i64 now_ms, bint everything) except -1
    cpdef i64 fund_equity(self, i64 mark_tick) noexcept
    @cython.locals(opening=double, engine=i64, held=i64, reserved=double)
    cpdef double fund_room(self) noexcept
    cpdef list take_liquidations(self)
    @cython.locals(positions=Positions, lots=i64, side=i64, size=i64, equity=i64, bankruptcy=double, limit=i64, closed=i64, due=i64, most=i64)
    cdef i64 _close(self, i64 slot) except -1
    cdef bint _is_offered(self, i64 side, i64 limit) noexcept
    @cython.locals(tick=i64)
    cdef i64 _limit_tick(self, i64 side, double price) noexcept
    cdef i64 _lots_beyond(self, double bankruptcy) noexcept
    @cython.locals(room=double, lots=double)
    cdef i64 _lots_for(self, double loss_ticks) noexcept
    @cython.locals(brackets=Brackets, lot_micros=double, bracket=i64, floor=double, kept=i64)
    cdef i64 _due(self, i64 size) noexcept
    @cython.locals(positions=Positions, filled=i64, micros=i64, number=i64, leverage=double, fee=i64, due=i64)
    cdef i64 _into_book(self, i64 slot, i64 side, i64 lots, i64 limit, bint keeps_margin, double bankruptcy) except -1
    @cython.locals(positions=Positions, number=i64, leverage=double, size=i64, to_fund=i64, rest=i64, deleveraged=i64, loss=double)
    cdef i64 _take_over(self, i64 slot, i64 side, double bankruptcy) except -1
    @cython.locals(whole=i64)
    cdef i64 _price_of(self, i64 slot, i64 size, i64 lots) noexcept
    @cython.locals(positions=Positions, cash=i64)
    cdef i64 _to_fund(self, i64 slot, i64 side, i64 lots) except -1
    @cython.locals(positions=Positions, left=i64, other=i64, other_size=i64, part=i64, cash=i64, all_cash=double)
    cdef i64 _deleverage(self, i64 slot, i64 side, i64 lots) except -1
    @cython.locals(positions=Positions, slots=i64)
    cdef i64 _rank(self, i64 side) except -1
    cdef bint _is_anyone_left(self) except -1
    cdef i64 _sort(self, i64 count) except -1
    @cython.locals(engine=i64, side=i64, lots=i64, limit=i64)
    cdef i64 _unwind(self, i64 lots_max) except -1
    @cython.locals(since_ms=i64, before=i64, paid=i64, weighed=double)
    cdef i64 _sold(self, i64 number, i64 lots, i64 micros, double bankruptcy, double leverage) except -1
    @cython.locals(lots=i64, micros=i64, weighed=double, leverage=double, size=i64, price=double)
    cdef i64 _tell(self, i64 number) except -1
    cdef i64 _log(self, i64 number, i64 lots, double tick, double bankruptcy, double leverage, object closed_by) except -1
