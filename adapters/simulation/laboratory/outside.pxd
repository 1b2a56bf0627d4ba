ctypedef long long i64

cdef class Outside:
    cdef public double world_price
    cdef public double value_price
    cdef public i64 mark_tick
    cdef public double factor_z
    cdef public double other_z
    cdef public double sell_depths_per_s
    cdef public double withdraw
    cdef public double arbitrage_share
    cdef public double entries_per_s
    cdef public i64 outage
    cdef public double collateral_ratio
