cimport cython
from libc cimport math
from guard.leverage.cascade.kernel cimport Kernel, clipped

ctypedef long long i64

cdef double INF, NAN
cdef double _BIN_LOG, BPS_PER_UNIT, USD_MIN, USD_MAX, STRENGTH_STEP
cdef double _LAG_MAX, _JUMP_MIN, _JUMPS_TO, _R_WINDOW, _R_TO, _CLIP, _GAP_MAX, _GAP_SCALE
cdef i64 _USUAL, _AT_1_PERCENT
cdef tuple _NO_CURVE, _MOVES_AT

cdef class Case:
    cdef readonly object direction
    cdef readonly Kernel kernel
    cdef tuple knots, shares, places, stands, forced, barrier, probability
    cdef object book, settings
    cdef double sign, per_scale, unit, index_price, mid, depth, now, net, map_log_sd
    cdef double gap, pull, median, expected, expected_book, ereach, ereach_book
    cdef bint has_map

    cpdef double log_of(self, double share)
    cpdef double share_of(self, double distance)
    @cython.locals(volatility=double, moves=double)
    cpdef i64 begin(self, object book, object inputs, object settings) except *
    @cython.locals(mid=double, alive=double, apart=double)
    cpdef i64 meet(self, object other) except *
    @cython.locals(down=bint, curve=tuple, kappa=double, normal=double, half_life=double, band=double, now=double, usual=double, stays=double, there=double, gone=double)
    cpdef i64 stand(self, object book, double weight) except *
    @cython.locals(total=double, mark=double, lag=double, confirmed=double)
    cpdef bint force(self, object side, double mid, double weight) except *
    @cython.locals(kernel=Kernel, reproduction=double, stands_5=double, thinness=double, liquidity=double, feedback=double, seen_bps=double, seen=double)
    cpdef object tell(self, double map_log_sd)
    @cython.locals(kernel=Kernel, power=double, again=double, crash=double, flow=double, told=double)
    cdef i64 _survive(self, double map_log_sd) except *
    @cython.locals(kernel=Kernel, phi=double, near=double, middle=double, far=double)
    cdef i64 _count(self) except *
    @cython.locals(kernel=Kernel, depth=double, gap=double, stands_2=double, stands_5=double, stands_10=double, forced_2=double, forced_5=double, forced_10=double, barrier_2=double, barrier_5=double, barrier_10=double, chance_2=double, chance_5=double, chance_10=double)
    cdef object _features(self, double reproduction, double feedback, double liquidity)
    cdef tuple _stretches(self, double phi)
    @cython.locals(bid=double, ask=double)
    cdef double _spread(self) except *

cdef double _or(object told, double otherwise) except *
cdef double _mid(object book) except *
cdef double _net(double usd) noexcept
@cython.locals(total=double)
cdef bint _is_curve(tuple curve) except *
