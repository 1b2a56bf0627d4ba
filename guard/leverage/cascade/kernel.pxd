cimport cython
from libc cimport math

ctypedef long long i64

cdef i64 WITHDRAWALS
cdef i64 RUNGS_MAX
cdef double INF, _LEAST, _MOST, _CLIP, _MOVE_MIN
cdef i64 SCALES, POWER_CELLS
cdef i64 SHOCK_COUNT

cpdef double clipped(double ratio)

@cython.final
cdef class Kernel:
    cdef readonly i64 nodes, samples
    cdef readonly double reproduction_at
    cdef double[::1] _x
    cdef double[::1] _log
    cdef i64[::1] _sampled
    cdef double[::1] _whole
    cdef double[::1] _book
    cdef double[::1] _forced
    cdef double[::1] _left
    cdef double[::1] _shares
    cdef double[::1] _deviates
    cdef double[::1] _weights
    cdef double[::1] _strengths
    cdef double[::1] _shocks
    cdef double[::1] _shock_weights
    cdef double[::1] _chance
    cdef double[::1] _knots
    cdef double[::1] _rungs
    cdef i64 _scales
    cdef double _power
    cdef double[::1] _forces
    cdef double[::1] _most
    cdef double[::1] _inverses
    cdef double[::1] _powers
    cdef double[::1] _terms

    @cython.locals(at=i64)
    cpdef i64 clear(self) noexcept
    @cython.locals(count=i64, at=i64, last=i64, node=i64, most=double, usd=double, edge=double, edge_log=double, low=double, low_usd=double, high=double, x=double)
    cpdef i64 lay_out(self, tuple knots, tuple rungs, tuple shares, double stays, double kappa) except *
    @cython.locals(strength=i64, first=i64, node=i64, here=double, factor=double, scale=double, total=double, x=double, left=double, back=double, before=double, book=double, doubled=double, base=double, inverse=double, base_power=double, part=double)
    cpdef i64 stand(self, double weight, double gone, double per_scale, double spread, double power, double floor, double refill, double refilled_max) except *
    @cython.locals(count=i64, done=i64, node=i64, whole=i64, total=double, place=double, part=double, here=double)
    cpdef i64 force(self, double[::1] usd, double bin_log, double shift, double weight) except *
    @cython.locals(at=i64, middle=double, term=double)
    cdef i64 _learn(self, double power) noexcept
    @cython.locals(at=i64, rest=double, series=double)
    cdef double _power_of(self, double part) noexcept
    @cython.locals(count=i64, at=i64, even=double, odd=double)
    cpdef double total(self, double[::1] usd) except *
    cpdef double whole_at(self, double x)
    cpdef double forced_at(self, double x)
    cpdef double left_at(self, i64 strength, double x)
    @cython.locals(first=i64, node=i64, most=double, before=double, f=double, here=double)
    cpdef double barrier(self, i64 strength, double phi, double x)
    @cython.locals(first=i64, node=i64, low=i64, most=double, forced=double, left=double, ratio=double)
    cpdef double reproduction(self, i64 strength, double phi, double window, double farthest)
    @cython.locals(first=i64, node=i64, most=double, before=double, start=double, f=double, step=double, end=double)
    cpdef list jumps(self, i64 strength, double phi, double least, double farthest)
    @cython.locals(at=i64, strength=i64, scale=i64, weight=double)
    cpdef i64 survive(self, double phi, double log_sd, double pull, double median, double power) except *
    @cython.locals(at=i64)
    cpdef tuple chances(self)
    cpdef double chance(self, i64 at) noexcept
    @cython.locals(at=i64, total=double, last=double, before=double)
    cpdef double mean(self)
    @cython.locals(at=i64, wanted=double, last=double, before=double, here=double)
    cpdef double quantile(self, double level)
    @cython.locals(strength=i64, scale=i64, weight=double, total=double)
    cpdef double crash(self, double usd, double flow)
    @cython.locals(first=i64, row=i64, at=i64, node=i64, shock=i64, phi=double, before=double, total=double, f=double, wanted=double, x=double, step=double)
    cdef double _crash(self, i64 strength, i64 scale, double usd, double flow)
    @cython.locals(first=i64, row=i64, at=i64, node=i64, last=i64, left=double, forced=double, force_0=double, force_1=double, force_2=double, force_3=double, force_4=double, most_0=double, most_1=double, most_2=double, most_3=double, most_4=double)
    cdef i64 _barriers(self, i64 strength) noexcept
    @cython.locals(first=i64, row=i64, at=i64, most=double)
    cdef i64 _barriers_unforced(self, i64 strength) noexcept
    @cython.locals(first=i64, at=i64, need=double)
    cdef i64 _chances(self, i64 row, double weight, double pull, double median, double power) noexcept
    @cython.locals(low=i64, high=i64, middle=i64, share=double)
    cdef double _at(self, double[::1] curve, i64 first, double x)
