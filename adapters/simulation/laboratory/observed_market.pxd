cimport cython
from adapters.simulation.laboratory.book cimport OrderBook
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.touch cimport touch_lots

ctypedef long long i64

cdef i64 _REFRESH_MS
cdef i64 _BUY
cdef i64 _SELL
cdef i64 _TURN_LEVELS
cdef double _TURN_BPS
cdef double _BPS_PER_UNIT
cdef double _TURN_RATIO

cdef class Heard:
    cdef public i64 updates
    cdef public i64 last_at
    cdef public i64 gap_ns_max

    cpdef object hear(self, i64 at)

cdef class ObservedMarket:
    cdef readonly object market, scale
    cdef readonly dict heard
    cdef Exchange _exchange
    cdef OrderBook _order_book
    cdef object _book, _book_at, _exchange_at
    cdef Heard _book_heard
    cdef Heard _trades_heard
    cdef i64 _sample_ms, _changes, _changed_ms, _traded_lots, _updates, _said_ms
    cdef i64 _twice_mid, _bid_lots, _ask_lots
    cdef bint _was_ok, _is_changed, _had_touch

    @cython.locals(book=OrderBook)
    cpdef object step(self, i64 now_ms, object exchange_at, object received_at)
    @cython.locals(book=OrderBook)
    cpdef object sample(self, i64 now_ms, object received_at)
    @cython.locals(heard=Heard)
    cpdef list activities(self, object received_at)
    @cython.locals(book=OrderBook, is_whole=bint, moved=i64)
    cdef bint _has_turned(self) noexcept
