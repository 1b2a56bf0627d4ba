cimport cython
from libc cimport math

ctypedef long long i64

cdef double _LEAST

@cython.locals(at=i64, knot=i64, before=double, after=double, ratio=double)
cpdef i64 draw(double[::1] mixed, i64 first, double part, i64[::1] knots, double[::1] ratios, double[::1] usd) except -1
@cython.locals(row=i64, knot=i64, at=i64, total=double, begun=double)
cpdef i64 held_within(double[:, ::1] mass, i64 first, double part, double scale, i64[::1] knots, double[:, ::1] held) except -1
@cython.locals(count=i64, classes=i64, knot=i64, row=i64, by=i64, middle=double, squared=double, weighed=double, mass=double, told=double, apart=double)
cpdef i64 agree(double[:, ::1] held, double[:, ::1] candidates, double[::1] weights, double[::1] medians, double[::1] spreads) except -1
@cython.locals(at=i64, place=i64, whole=i64, last=i64, total=double, more=double)
cpdef tuple upto(double[::1] usd, double[::1] places)
@cython.locals(count=i64, other=i64, at=i64, most=double, told=double, total=double)
cpdef i64 believe(double[::1] logs, double[:, ::1] own, double[:, ::1] alike, double[:, ::1] everybody, i64 side, double[::1] counts) except -1
