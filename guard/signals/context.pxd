cimport cython
from libc cimport math
from guard.signals.usual cimport Usual

cdef class Context:
    cdef readonly object reading, measures, sigma

    @cython.locals(change=double, sigma=double)
    cpdef object sigmas(self, object move, double seconds)

cdef class UsualVolatility:
    cdef readonly Usual usual

    @cython.locals(volatility=double)
    cpdef object update(self, object measures, double elapsed_s)
