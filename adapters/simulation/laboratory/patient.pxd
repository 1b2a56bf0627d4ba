cimport cython
from adapters.simulation.laboratory.behaviour cimport keep_ratio, patient_depths
from adapters.simulation.laboratory.book cimport OrderBook
from adapters.simulation.laboratory.exchange cimport Exchange

ctypedef long long i64

cdef i64 PRICES
cdef i64 EVERY_MS
cdef double _TOLERANCE

cdef class Patient:
    cdef readonly Exchange exchange
    cdef readonly OrderBook book
    cdef readonly double reference
    cdef double _depth_lots, _keep, _reference_keep
    cdef double[::1] _distance, _lots
    cdef i64[::1] _order, _tick
    cdef i64 _turn, _due_ms

    @cython.locals(place=i64)
    cpdef void begin(self, double tick) except *
    @cython.locals(place=i64, order=i64, left=i64, full=double, wanted=double, tick=i64, away=i64, is_far=bint)
    cpdef void step(self, i64 now_ms, double mid) except *
    @cython.locals(tick=i64, whole=i64)
    cdef void _place(self, i64 place, double lots) except *
    @cython.locals(sign=double, tick=i64)
    cdef i64 _wanted_tick(self, i64 place) noexcept
