cimport cython
from libc cimport math

ctypedef long long i64

cdef class Draws:
    cdef readonly str name
    cdef readonly double tail_degrees
    cdef list _generators
    cdef double[::1] _uniforms
    cdef double[::1] _normals
    cdef double[::1] _exponentials
    cdef double[::1] _students
    cdef i64 _uniform_at
    cdef i64 _normal_at
    cdef i64 _exponential_at
    cdef i64 _student_at

    cpdef double uniform(self) except? -1.0
    cpdef double normal(self) except? -1.0
    cpdef double exponential(self) except? -1.0
    @cython.locals(scale=double)
    cpdef double student(self) except? -1.0
    cpdef i64 below(self, i64 count) except? -1
    @cython.locals(drawn=double, left=double, term=double, count=i64)
    cpdef i64 poisson(self, double mean) except? -1
