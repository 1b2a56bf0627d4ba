cimport cython

ctypedef long long i64

@cython.locals(place=i64)
cpdef i64 lowest_bit(i64 word) noexcept
@cython.locals(place=i64)
cpdef i64 highest_bit(i64 word) noexcept
