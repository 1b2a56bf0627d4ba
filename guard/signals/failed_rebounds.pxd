cimport cython
from libc cimport math
from guard.signals.context cimport Context
from guard.signals.usual cimport clip

ctypedef long long i64

cdef double FALL_SIGMAS, FALL_LOG_MIN, RETRACED_MIN, RETRACED_MAX, _FALL_ROOT_S
cdef i64 REBOUND_NS, WINDOW_NS

cdef class FailedRebounds:
    cdef tuple _sides
    cdef bint _is_known

    @cython.locals(usual=double, price=double, at=i64, enough=double, value=double, falls=_Side, rises=_Side)
    cpdef object update(self, Context context)
    @cython.locals(side=_Side)
    cpdef tuple values(self)

cdef class _Side:
    cdef public str name
    cdef public object failed
    cdef bint is_fall
    cdef double start, extreme, best
    cdef i64 extreme_at

    @cython.locals(gone=double, way=double, since=i64, is_won=bint)
    cpdef object update(self, i64 at, double value, object moved, double enough)
