cimport cython
from libc cimport math
from guard.signals.context cimport Context
from guard.signals.usual cimport clip

cdef double VOLATILITY_MIN, SHARE_USUAL, SHARE_FULL, _LOG_FULL

cdef class VolatilityJump:
    cdef object _ratio, _share, _usual_ratio

    @cython.locals(minute=double, hour=double, usual=double, now=double)
    cpdef object update(self, Context context)
    cpdef tuple values(self)
