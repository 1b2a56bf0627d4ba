cimport cython
from libc cimport math
from guard.signals.context cimport Context
from guard.signals.usual cimport Usual, WindowSum, clip

cdef double WINDOW_S, QUIET, FULL, LIMIT

cdef class FlowDivergence:
    cdef WindowSum _net
    cdef Usual _usual, _moment, _power
    cdef double _seen_s
    cdef readonly object flow, vacuum, absorption

    @cython.locals(elapsed=double, bought=double, sold=double, mean=double, deviation=double, flow=double, move=double, slope=double, explained=double)
    cpdef object update(self, Context context)
    cpdef tuple values(self)

cdef object _alarm(object value)
cpdef double _beyond(double value, double other) noexcept
