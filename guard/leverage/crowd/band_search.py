"""Where the bands of a map are: blurred, the densest first. No I/O, no clock.

Compiled where there is a compiler (band_search.pxd), and the same results as it is.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray


class BandSearch:
    """A work space for maps of at least ``reach + taps // 2`` bins; ``kernel`` (odd, symmetric) is the blur.

    >>> search = BandSearch(array("d", [0.25, 0.5, 0.25]), 6, 1, 0.7)
    >>> mean, found = search.find(np.array([0.0, 1.0, 0.0, 0.0, 8.0, 0.0, 0.0]), 1)
    >>> round(mean, 4), found
    (1.5, [(4, 5, 8.0)])
    """

    def __init__(self, kernel: array[float], reach: int, width: int, edge_ratio: float) -> None:
        self.reach = reach
        self.width = width
        self.edge_ratio = edge_ratio
        self._taps = len(kernel)
        self._kernel = array("d", kernel)
        self._left = array("d", [0.0] * reach)
        self._padded = array("d", [0.0] * (reach + 2 * len(kernel)))

    def find(self, usd: NDArray[np.float64], count: int) -> tuple[float, list[tuple[int, int, float]]]:
        """Return the mean of the blurred bins, and of each band its first bin, the one after it, and what it holds.

        A band is what holds ``edge_ratio`` of the density of its top, up to ``width`` bins to each side; what is as
        near to a band is no other.
        """
        mean = self._blur(usd)
        found: list[tuple[int, int, float]] = []
        while mean > 0.0 and len(found) < count:
            top = self._densest()
            if self._left[top] <= 0.0:
                break
            edge = self.edge_ratio * self._left[top]
            nearest = max(top - self.width, 0)
            farthest = min(top + self.width, self.reach - 1)
            first = top
            last = top
            while first > nearest and self._left[first - 1] >= edge:
                first -= 1
            while last < farthest and self._left[last + 1] >= edge:
                last += 1
            total = 0.0
            for at in range(first, last + 1):
                total += usd[at]
            found.append((first, last + 1, float(total)))
            for at in range(max(first - self.width, 0), min(last + self.width + 1, self.reach)):
                self._left[at] = 0.0
        return mean, found

    def _blur(self, usd: NDArray[np.float64]) -> float:
        """Fill ``_left``; return its mean. What would be blurred beyond the mark is mirrored back."""
        half = self._taps // 2
        for at in range(half):
            self._padded[at] = usd[half - 1 - at]
        for at in range(self.reach + half):
            self._padded[half + at] = usd[at]
        mean = 0.0
        for at in range(self.reach):
            total = 0.0
            for tap in range(self._taps):
                total += self._kernel[tap] * self._padded[at + tap]
            self._left[at] = total
            mean += total
        return mean / self.reach

    def _densest(self) -> int:
        top = 0
        for at in range(1, self.reach):
            if self._left[at] > self._left[top]:
                top = at
        return top
