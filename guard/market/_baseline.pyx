"""Quantiles under forgetting, in C: the fast twin of ``DecayedQuantile``, with the same results bit for bit.

It keeps bins only where something was observed, so that it takes hundreds of bytes where the reference takes
twelve kilobytes. Held equal by tests/guard/market/test_quantile.py. Off when ``guard.market._compiled`` is.
"""

from libc.math cimport pow, rint
from libc.stdlib cimport calloc, free, malloc

import math

import guard.market._compiled  # raises ImportError where compiled parts are switched off

cdef double RESCALE = 1e100
cdef Py_ssize_t SLACK = 16


cdef class CompiledQuantile:
    cdef double _low, _width, _half_life, _scale
    cdef public double weight
    cdef Py_ssize_t _count, _first, _size
    cdef double *_bins

    def __cinit__(self, *args, **kwargs):
        self._bins = NULL

    def __init__(self, *, double low, double high, double width, double half_life):
        self._low, self._width, self._half_life = low, width, half_life
        self._count = int(math.ceil((high - low) / width)) + 1
        self._first = self._size = 0
        self._scale = 1.0
        self.weight = 0.0

    def __dealloc__(self):
        free(self._bins)

    def __repr__(self):
        return f"CompiledQuantile{self.__reduce__()[1]}"

    def __reduce__(self):
        bins = [self._bins[i] for i in range(self._size)]
        return _restored, (
            self._low, self._width, self._half_life, self._scale, self.weight, self._count, self._first, bins
        )

    def observe(self, double value, double weight):
        """Count ``value``, which must be finite, with ``weight`` >= 0."""
        cdef double place
        cdef Py_ssize_t at, i
        if weight <= 0.0:
            return
        if not value - value == 0.0:
            raise ValueError(f"only a finite value can be counted, not {value}")
        self.weight += weight
        self._scale *= pow(2.0, weight / self._half_life)
        if self._scale > RESCALE:
            for i in range(self._size):
                self._bins[i] /= self._scale
            self._scale = 1.0
        place = (value - self._low) / self._width
        if place <= 0.0:
            at = 0
        elif place >= <double>self._count:
            at = self._count - 1
        else:
            at = <Py_ssize_t>place
        if at < self._first or at >= self._first + self._size:
            self._hold(at)
        self._bins[at - self._first] += weight * self._scale

    def quantile(self, double q):
        """Value below which the share ``q`` of the weight lies; the bottom of the range before any."""
        cdef double cumulated = 0.0, wanted = q * self._total(), inside = 0.0, share = 0.0
        cdef Py_ssize_t at = 0, i
        if self._size:
            if wanted <= 0.0:
                at = 0
                inside = self._bins[0] if self._first == 0 else 0.0
                cumulated = inside
            else:
                at = self._count - 1
                for i in range(self._size):
                    cumulated += self._bins[i]
                    if cumulated >= wanted:
                        at = self._first + i
                        inside = self._bins[i]
                        break
                else:
                    inside = self._bins[self._size - 1] if self._first + self._size == self._count else 0.0
        if inside > 0.0:
            share = (wanted - (cumulated - inside)) / inside
        share = 0.0 if share < 0.0 else 1.0 if share > 1.0 else share
        return self._low + (<double>at + share) * self._width

    def mad(self):
        """Median absolute deviation from the median, by widening an interval around its bin."""
        cdef double half = self._total() / 2.0, cumulated = 0.0, upper, lower
        cdef double *sums
        cdef Py_ssize_t i, middle = -1, reach = 0, above, below
        if half <= 0.0:
            return 0.0
        sums = <double *>malloc(self._size * sizeof(double))
        if sums == NULL:
            raise MemoryError
        for i in range(self._size):
            cumulated += self._bins[i]
            sums[i] = cumulated
            if middle < 0 and cumulated >= half:
                middle = i
        while True:
            above, below = middle + reach, middle - 1 - reach
            upper = sums[above] if above < self._size else cumulated
            lower = sums[below] if below >= 0 else 0.0
            if upper - lower >= half:
                break
            reach += 1
        free(sums)
        return <double>reach * self._width

    def shift(self, double by):
        """Move everything observed by ``by``, to whole bins: the zero of the values has changed."""
        cdef Py_ssize_t bins = <Py_ssize_t>rint(by / self._width), i, at, first, size = self._size
        cdef double *former = self._bins
        if not size:
            return
        first = self._first
        self._bins, self._size = NULL, 0
        try:
            self._hold(self._clipped(first + bins))
            self._hold(self._clipped(first + size - 1 + bins))
            for i in range(size):
                at = self._clipped(first + i + bins)
                self._bins[at - self._first] += former[i]
        finally:
            free(former)

    def forget_by(self, double half_life):
        """Forget faster or slower from now on."""
        self._half_life = half_life

    def reset(self):
        """Forget everything."""
        free(self._bins)
        self._bins, self._first, self._size = NULL, 0, 0
        self._scale = 1.0
        self.weight = 0.0

    cdef Py_ssize_t _clipped(self, Py_ssize_t at):
        return 0 if at < 0 else self._count - 1 if at >= self._count else at

    cdef double _total(self):
        cdef double total = 0.0
        cdef Py_ssize_t i
        for i in range(self._size):
            total += self._bins[i]
        return total

    cdef int _hold(self, Py_ssize_t at) except -1:
        """Have a bin for ``at``, and a few around it."""
        cdef Py_ssize_t first = at - SLACK, last = at + SLACK, i
        cdef double *bins
        if self._size:
            first = min(first, self._first) if at < self._first else self._first
            last = max(last, self._first + self._size - 1) if at >= self._first + self._size else self._first + self._size - 1
        first, last = self._clipped(first), self._clipped(last)
        bins = <double *>calloc(last - first + 1, sizeof(double))
        if bins == NULL:
            raise MemoryError
        for i in range(self._size):
            bins[self._first - first + i] = self._bins[i]
        free(self._bins)
        self._bins, self._first, self._size = bins, first, last - first + 1
        return 0


def _restored(low, width, half_life, scale, weight, Py_ssize_t count, Py_ssize_t first, list bins):
    cdef CompiledQuantile made = CompiledQuantile(low=low, high=low, width=width, half_life=half_life)
    cdef Py_ssize_t i
    made._scale, made.weight, made._count = scale, weight, count
    if bins:
        made._bins = <double *>calloc(len(bins), sizeof(double))
        if made._bins == NULL:
            raise MemoryError
        made._first, made._size = first, len(bins)
        for i in range(made._size):
            made._bins[i] = bins[i]
    return made
