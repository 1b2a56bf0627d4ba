cimport cython
from adapters.simulation.laboratory.book cimport OrderBook

ctypedef long long i64

cdef i64 _PPM
cdef i64 _PPB
cdef i64 _CROWD
cdef i64 _ACCOUNTS
cdef i64 _TRADES

cdef class Exchange:
    cdef readonly object grid
    cdef readonly OrderBook book
    cdef readonly i64 micros, maker_fee_ppm, taker_fee_ppm
    cdef public i64 now_ms
    cdef readonly i64 fees_micros, funding_micros
    cdef readonly i64 filled_lots, filled_micros, filled_fee_micros
    cdef readonly i64 bought_lots, sold_lots, bought_micros, sold_micros
    cdef readonly i64 volume_lots, trades_lost, owners_count
    cdef i64[::1] _lots
    cdef i64[::1] _cash
    cdef i64[::1] _trade_ms
    cdef i64[::1] _trade_side
    cdef i64[::1] _trade_tick
    cdef i64[::1] _trade_lots
    cdef i64 _trade_count, _trade_asked
    cdef list _account_fills

    @cython.locals(order=i64)
    cpdef i64 place(self, i64 owner, i64 side, i64 tick, i64 lots, bint post_only=*) except -2
    cpdef i64 take(self, i64 owner, i64 side, i64 lots, i64 limit_tick=*) except -1
    cpdef i64 cancel(self, i64 order) except -1
    cpdef i64 shrink(self, i64 order, i64 lots) except -1
    cpdef i64 cancel_all(self, i64 owner) except -1

    cpdef object hand_over(self, i64 seller, i64 buyer, i64 lots, i64 micros)
    cpdef object transfer(self, i64 giver, i64 taker, i64 micros)
    @cython.locals(owner=i64, received=i64, paid=i64)
    cpdef i64 fund(self, i64 mark_tick, i64 rate_ppb) noexcept
    cpdef object pay_funding(self, i64 owner, i64 micros)

    cpdef i64 lots_of(self, i64 owner) noexcept
    cpdef i64 cash_of(self, i64 owner) noexcept
    cpdef i64 equity_of(self, i64 owner, i64 mark_tick) noexcept
    @cython.locals(owner=i64, lots=i64)
    cpdef i64 longs_of_others(self) noexcept
    @cython.locals(owner=i64, lots=i64)
    cpdef i64 shorts_of_others(self) noexcept
    cpdef i64 open_lots(self, i64 crowd_long_lots=*) noexcept
    cpdef tuple take_volume(self)
    @cython.locals(first=i64, number=i64, at=i64)
    cpdef list take_trades(self)
    cpdef list take_account_fills(self)

    cdef i64 _know(self, i64 owner) except -1
    @cython.locals(book=OrderBook, fill=i64, maker=i64, tick=i64, lots=i64, micros=i64, maker_fee=i64, taker_fee=i64, at=i64)
    cdef i64 _clear(self, i64 taker, i64 side) except -1
    @cython.locals(tick=i64, lots=i64, maker=i64, order=i64)
    cdef i64 _tell_accounts(self, i64 fill, i64 taker, i64 side, i64 maker_fee, i64 taker_fee) except -1

@cython.locals(size=i64, fee=i64)
cpdef i64 fee_micros(i64 micros, i64 ppm) noexcept

@cython.locals(size=i64, rate=i64, notional=i64, paid=i64)
cpdef i64 funding_micros(i64 lots, i64 lot_micros, i64 rate_ppb) noexcept
