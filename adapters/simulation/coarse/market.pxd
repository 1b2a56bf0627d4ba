cimport cython
from adapters.simulation.coarse.curve_book cimport CurveBook
from adapters.simulation.coarse.quoting cimport CoarseMakers, CoarsePatient
from adapters.simulation.laboratory.market cimport Market

ctypedef long long i64

cdef double STEP_S

cdef class CoarseMarket(Market):
    cdef readonly CurveBook curves
    cdef readonly CoarsePatient coarse_patient
    cdef readonly CoarseMakers coarse_makers
    cdef readonly double round_s
    cdef double _slice_depths_of_step
    cdef i64 _at_once_lots

    @cython.locals(steps=double)
    cpdef i64 set_round(self, double round_s) except -1
    cdef void _stand_in(self) except *
