cimport cython
from libc cimport math

ctypedef long long i64

cdef double _PLACE_LOG_SD
cdef double NORMAL_80

@cython.locals(wider=double, either_way=double)
cdef object _band(tuple begin, tuple end, double mark, double spread, double usd, double ratio, double unit_usd)
