cimport cython
from libc cimport math
from guard.signals.context cimport Context
from guard.signals.usual cimport Usual, clip, is_number

cdef double FULL_BPS, LIMIT_LOG, BPS_PER_UNIT

cdef class Basis:
    cdef Usual _mark, _spot
    cdef readonly object mark_bps, spot_bps

    @cython.locals(elapsed=double)
    cpdef object update(self, Context context)
    cpdef tuple values(self)

cdef object _alarm(object value)
@cython.locals(one=double, other=double, gap=double, before=double)
cdef object _held(Usual usual, object price, object index, double elapsed_s)
