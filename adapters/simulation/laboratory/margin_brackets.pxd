cimport cython

ctypedef long long i64

cdef class Brackets:
    cdef readonly i64 count
    cdef readonly i64 micros
    cdef double[::1] floor
    cdef double[::1] ratio
    cdef double[::1] deduction
    cdef double[::1] leverage

    @cython.locals(bracket=i64)
    cpdef i64 bracket_at(self, double notional) noexcept
    cpdef double floor_of(self, i64 bracket) noexcept
    cpdef double leverage_max(self, double notional) noexcept
    @cython.locals(bracket=i64)
    cpdef double maintenance(self, double notional) noexcept
    @cython.locals(size=i64, signed=double, whole=double, worth=double, bracket=i64, price=double, i=i64)
    cpdef double liquidation_price(self, i64 lots, i64 cost, i64 margin) noexcept
    @cython.locals(price=double, tick=i64)
    cpdef i64 liquidation_tick(self, i64 lots, i64 cost, i64 margin) noexcept
