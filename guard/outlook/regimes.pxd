cimport cython

from guard.hazard.regime cimport RegimeMachine
from guard.hazard.tracks cimport FlowTrack
from guard.signals.usual cimport Usual

ctypedef long long i64

cdef i64 _HORIZON, _MOVE, _ONE_PERCENT
cdef double _USUAL_MOVES, _REFILL_HALF_LIFE_S, _REFILL_WARM_S

cdef class Regimes:
    cdef readonly object settings
    cdef dict _machines
    cdef dict _refills

    cdef tuple _by_cost(self, object book, object structures, object hazards)
    @cython.locals(usual=Usual, log_s=double)
    cdef object _refill(self, object reading, object regime)
    @cython.locals(machine=RegimeMachine)
    cdef RegimeMachine _of(self, object market)

cdef object _inputs(object book, object structures, object hazards, object signals, object measures, object sigma, FlowTrack flow, tuple entries, object refill)
cdef object _worst(object hazards)
cdef object _least(object one, object other)
cdef object _ratio(tuple curve, object normal_usd, object bps)
@cython.locals(near=double, worst=double, is_known=bint)
cdef bint _is_seen(object book, object bids, object asks) except -1
cdef object _reproduction(object structures, object sigma)
@cython.locals(bids=double, asks=double, share=double)
cdef object _liquidated(object book, FlowTrack flow)
