cimport cython
from libc cimport math
from guard.signals.context cimport Context
from guard.signals.usual cimport clip, is_number

ctypedef long long i64

cdef i64 WINDOW_NS, STALE_NS
cdef double CHANGE_FULL, RATIO_MAX

cdef class OpenInterestCollapse:
    cdef object _told
    cdef readonly object change

    @cython.locals(now=double, at=i64, read_at=i64, last_at=i64, last=double, first_at=i64, first=double, edge=i64)
    cpdef object update(self, Context context)
    cpdef tuple values(self)
