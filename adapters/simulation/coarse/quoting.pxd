cimport cython
from libc cimport math
from adapters.simulation.coarse.curve_book cimport CurveBook
from adapters.simulation.laboratory.behaviour cimport half_spread_bps, keep_ratio
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.makers cimport Makers
from adapters.simulation.laboratory.outside cimport Outside
from adapters.simulation.laboratory.patient cimport Patient

ctypedef long long i64

cdef double LOG2
cdef double JUMP_RATIO_MAX
cdef double _SHOWN_RATIO
cdef double _STEP_S

cdef class CoarsePatient(Patient):
    cdef double _half_life_s, _round_keep
    cdef i64 _prices
    cdef double[::1] _lacking

    cpdef i64 set_round(self, double round_s) noexcept
    cpdef void begin(self, double tick) except *
    cpdef void step(self, i64 now_ms, double mid) except *
    @cython.locals(side=i64)
    cpdef i64 note_taken(self, CurveBook curves, i64 part) except -1
    @cython.locals(price=i64, place=i64, lots=double)
    cpdef i64 put_side(self, CurveBook curves, i64 part, i64 side) except -1
    @cython.locals(price=i64, place=i64, got=double)
    cdef i64 _take_off(self, i64 side, double lots) noexcept

cdef class CoarseMakers(Makers):
    cdef readonly CurveBook curves
    cdef readonly CoarsePatient patient
    cdef i64 _patient_part, _stride
    cdef double[::1] _coarse_reaction_s, _coarse_refill_s, _coarse_phi

    @cython.locals(kind=i64)
    cpdef i64 set_round(self, double round_s) noexcept
    @cython.locals(jump=double, z_elsewhere=double, mean=double, equity=double, capital=double, before=double, kind=i64, side=i64, curves=CurveBook)
    cpdef void step(self, double mid, double z, double season, double world_tick, double mark, Outside outside) except *
    @cython.locals(pull=double, ratio=double)
    cdef double _jump_ratio(self, i64 kind, double arbitrage_share) noexcept
    @cython.locals(moved_bps=double, more=double, spread=double, keep=double)
    cdef i64 _put_back(self, i64 kind, double before) noexcept
    @cython.locals(curves=CurveBook, restored=double, phi=double, held=double, side=i64, at=i64, level=i64)
    cdef i64 _put_curves(self, i64 kind, double season) noexcept
    @cython.locals(curves=CurveBook, lots=i64, owner=i64, traded=bint)
    cdef i64 _uncross(self) except -1
