cimport cython
from libc cimport math
from guard.signals.context cimport Context
from guard.signals.usual cimport Usual, clip, is_number

cdef double SD_MIN

cdef class FundingRegime:
    cdef Usual _usual
    cdef readonly object z

    @cython.locals(rate=double, elapsed=double)
    cpdef object update(self, Context context)
    cpdef tuple values(self)
