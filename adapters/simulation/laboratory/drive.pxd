cdef class DriveState:
    cdef public double sell_depths
    cdef public double entries_ratio
    cdef public double withdraw
    cdef public double arbitrage
    cdef public bint is_out
