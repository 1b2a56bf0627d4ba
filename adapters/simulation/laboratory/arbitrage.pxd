cimport cython
from libc cimport math
from adapters.simulation.laboratory.behaviour cimport decay_per_s, arbitrage_depths_per_s, room_ratio, withdrawal
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.outside cimport Outside

ctypedef long long i64

cdef double WITHDRAW_POWER

cdef class Arbitrage:
    cdef readonly Exchange exchange
    cdef readonly double ratio
    cdef public double world_lots
    cdef double _depth_lots, _step_s, _threshold_bps, _depths_per_s, _lots_max, _withdraw_z, _back_per_s, _carry, _lots_min

    @cython.locals(common=double, held=i64, gap=double, rate=double, side=i64, lots_per_s=double, margin=double, is_back=bint, limit=double, lots=double, got=i64)
    cpdef void step(self, double mid, double z, double world_tick, Outside outside) except *
