cimport cython
from libc cimport math

from guard.calibration.kernel cimport lay_along, log_odds
from guard.hazard.tracks cimport FlowTrack, number, premium_of

ctypedef long long i64

cdef double _UNKNOWN
cdef double _VOLATILITY_MIN
cdef double _CHANCE_MIN
cdef i64 _ONE_PERCENT, _NEAR, _FAR

@cython.locals(is_down=bint, onset=double, place=i64, sign=double, slow=double, minute=double, quarter=double, hour=double, unit=double, one=double, five=double, down=double, up=double)
cpdef i64 of_price(double[::1] out, i64 at, object direction, object price, FlowTrack flow) except -1
@cython.locals(is_down=bint, sign=double, unit=double, volume=double, usual_volume=double, lag=double, mark=double, place=i64, along=double[::1], against=double[::1], premium=double, share=double)
cpdef i64 of_flow(double[::1] out, i64 at, object direction, object reading, FlowTrack flow) except -1
@cython.locals(met=double, other=double, near=double, far=double, spread=double)
cpdef i64 of_book(double[::1] out, i64 at, bint is_down, object book, FlowTrack flow, double unit) except -1
@cython.locals(place=i64, move=double, most=double, gap=double)
cpdef i64 of_peers(double[::1] out, i64 at, object peers) except -1
@cython.locals(interest=double, price=double, place=i64, usd=double, both=double, bids=double, asks=double)
cpdef i64 of_interest(double[::1] out, i64 at, object reading, FlowTrack flow) except -1
@cython.locals(place=i64)
cpdef i64 of_structure(double[::1] out, i64 at, object cascade, i64 count) except -1

cdef class Graded:
    cdef double[::1] _walk
    cdef double[::1] _logs
    cdef double[::1] _moves
    cdef double[::1] _told
    cdef double[::1] _places
    cdef object _distances

    @cython.locals(minute=double, quarter=double, hour=double, row=i64)
    cpdef i64 lay(self, double[:, ::1] out, object price, object cascade, double[::1] odds) except -1
    @cython.locals(spread=double, row=i64)
    cdef i64 _lay_walk(self, double[:, ::1] out, i64 column, double volatility) except -1

cpdef object odds_of(object cascade)
cpdef double ratio(double value, double unit) noexcept
cdef double _or(double value, double instead) noexcept
