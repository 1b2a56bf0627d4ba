cimport cython
from libc cimport math

from guard.signals.usual cimport Usual

ctypedef long long i64

cdef double ELAPSED_S_MAX, LOAD_MAX, NOT_CALM, UNREST, HAZARD_MIN, HAZARD_USUAL_MAX, CALM_SPEED, CALM_SHARE
cdef double UNSEEN_SHARE, REPRODUCTION_S, REPRODUCTION_RISE, _UNKNOWN
cdef i64 _WATCH_HAZARD, _HAZARD, _DEPTH, _ROUND_TRIP, _REPRODUCTION, _LIQUIDATIONS, _COLLAPSE, _CRITERIA, _NANOSECONDS

cdef class RegimeMachine:
    cdef public object settings
    cdef readonly object regime, reasons, unseen
    cdef readonly i64 since_at
    cdef readonly bint is_held_unknown
    cdef i64 _at, _stage, _collapsed_at, _dear_at, _forced_at, _severity
    cdef double _calm_s, _dwell_s, _usual_reproduction
    cdef bint _had_cascade
    cdef dict _entered_at
    cdef i64[::1] _level
    cdef double[::1] _load
    cdef i64[::1] _known_at
    cdef Usual _hazard

    @cython.locals(elapsed_s=double, entered=i64, held=i64)
    cpdef object update(self, i64 at, object inputs)
    @cython.locals(watch=double, stressed=double, hazard=double, speed=double, usual=double, flow=double, fast=double, forced=double, depth=double, dear=double, gone=double, least=double)
    cdef object _weigh(self, i64 at, double elapsed_s, object inputs)
    @cython.locals(usual=double)
    cdef double _usual_hazard(self, double hazard, double speed, double elapsed_s) except? -1.0
    @cython.locals(usual=double, load=double)
    cdef double _reproduction(self, i64 at, double value, double elapsed_s) except? -1.0
    cdef double _lasting(self, i64 at, i64 since, double load, double least_s) noexcept
    cdef void _note(self, i64 at, i64 place, double load) noexcept
    @cython.locals(entered=i64, place=i64)
    cdef i64 _entered(self, i64 at) noexcept
    @cython.locals(held=i64, place=i64, least=double, forget_at=i64)
    cdef i64 _held(self, i64 at) except -1
    @cython.locals(since=i64)
    cdef i64 _forget_at(self, i64 at) except -1
    @cython.locals(least=double, forget_at=i64, has_entered=bint, place=i64, load=double, found=list)
    cdef tuple _why(self, i64 at, object inputs)
    cdef double _has_been_calm(self, bint is_calm, double elapsed_s) noexcept
    cdef double _has_been_calmer(self, i64 entered, i64 held, double elapsed_s) noexcept
    cdef object _enter(self, object regime, i64 at)
    cdef object _step_down(self, i64 at, object inputs, i64 held)
    @cython.locals(is_recovered=bint)
    cdef object _recover(self, i64 at, double elapsed_s, object inputs, i64 held)
    cdef bint _is_recovered(self, object inputs) except -1

cdef double _over(double value, double entry) noexcept
@cython.locals(load=double)
cdef double _collapsed(double ratio, double entry) noexcept
cdef i64 _since(i64 since, i64 at, double load) noexcept
cdef tuple _told_of(bint is_thin, bint is_gone)
cdef double _number(object value) except? -1.0
