cimport cython

from adapters.simulation.laboratory.book cimport OrderBook

ctypedef long long i64

@cython.locals(total=i64, tick=i64)
cpdef i64 touch_lots(OrderBook book, i64 side, i64 levels) noexcept
