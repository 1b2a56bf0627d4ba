"""The arithmetic of a cascade on one grid of distances: what stands, what is forced, and how far a shock gets.

Distances x are logarithms of a price ratio, positive in the direction that the grid is for. With B what rests, w what
withdrawal leaves of it, and L what is liquidated up to x::

    Be(x) = integral of b(v) w(v) (1 + refilled(v)) dv        f(x) = Be(x) - phi L(x)
    Qc(x) = max of f up to x                                  reach(Q) = least x with f(x) >= Q

f is piecewise linear between nodes, so that both are exact at the resolution of the grid. A kernel is a work space:
``clear`` begins a new market, and nothing of the one before is left. Compiled where there is a compiler (kernel.pxd),
and the same results as it is. Numbers given to it are finite: ``cascade`` sees to that.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

WITHDRAWALS = 3
"""How many strengths of withdrawal are worked out side by side; 1 is the usual one."""

RUNGS_MAX = 32
"""Points that a book's curve may have."""

USD_MIN, USD_MAX = 1.0, 1e15
"""Amounts that are none are counted as these."""

# Gauss-Hermite for a normal deviate: of the strength of withdrawal, and of the map's scale.
STRENGTHS = (1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0)
STRENGTH_STEP = 1.7320508075689
DEVIATES = (-2.8569700138728, -1.3556261799743, 0.0, 1.3556261799743, 2.8569700138728)
WEIGHTS = (0.0112574113277, 0.2220759220056, 0.5333333333333, 0.2220759220056, 0.0112574113277)
SCALES = len(DEVIATES)

# A crash's shocks in units of its size, ascending, and how they are weighed.
SHOCKS = (0.5, 1.0, 2.0, 4.0)
SHOCK_WEIGHTS = (0.4, 0.3, 0.2, 0.1)
SHOCK_COUNT = len(SHOCKS)

POWER_CELLS, POWER_TERMS = 64, 6
"""Powers are worked out by a table of so many cells and a binomial series of so many terms: to 4e-16 of themselves."""

INF = float("inf")
_CLIP = 5.0
_MOVE_MIN = 1e-100
_LEAST, _MOST = 1.0, 1e15


def clipped(ratio: float) -> float:
    """Logarithm within -5..5; what is 0 or less is at the lower end."""
    if ratio < 1e-9:
        return -_CLIP
    return min(max(math.log(ratio), -_CLIP), _CLIP)


class Kernel:
    """Curves of one direction on ``grid`` (ascending from 0), for one market at a time.

    ``sampled`` are places of the grid at which the distribution of the reach is kept, ``shares`` their distances as
    fractions of the price.
    """

    def __init__(self, grid: list[float], sampled: list[int], shares: list[float]) -> None:
        self.nodes = len(grid)
        self.samples = len(sampled)
        self.reproduction_at = 0.0
        self._x = array("d", grid)
        self._log = array("d", [math.log(max(x, 1e-12)) for x in grid])
        self._sampled = array("q", sampled)
        self._whole = array("d", [0.0] * self.nodes)
        self._book = array("d", [0.0] * self.nodes)
        self._forced = array("d", [0.0] * self.nodes)
        self._left = array("d", [0.0] * (WITHDRAWALS * self.nodes))
        self._shares = array("d", shares)
        self._deviates = array("d", DEVIATES)
        self._weights = array("d", WEIGHTS)
        self._strengths = array("d", STRENGTHS)
        self._shocks = array("d", SHOCKS)
        self._shock_weights = array("d", SHOCK_WEIGHTS)
        self._chance = array("d", [0.0] * self.samples)
        self._scales = 1
        self._forces = array("d", [0.0] * SCALES)
        self._most = array("d", [0.0] * (WITHDRAWALS * SCALES * self.samples))
        self._power = 0.0
        self._inverses = array("d", [0.0] * POWER_CELLS)
        self._powers = array("d", [0.0] * POWER_CELLS)
        self._terms = array("d", [0.0] * POWER_TERMS)
        self._knots = array("d", [0.0] * RUNGS_MAX)
        self._rungs = array("d", [0.0] * RUNGS_MAX)

    def clear(self) -> int:
        """Begin a new market."""
        for at in range(self.nodes):
            self._whole[at] = 0.0
            self._forced[at] = 0.0
        for at in range(WITHDRAWALS * self.nodes):
            self._left[at] = 0.0
        return 0

    def lay_out(
        self,
        knots: tuple[float, ...],
        rungs: tuple[float, ...],
        shares: tuple[float, ...],
        stays: float,
        kappa: float,
    ) -> int:
        """Lay a curve (USD ``rungs`` within distances ``knots``, ascending) over the grid, a power law behind it.

        Never less than ``stays`` times each of ``shares`` counts, nor what is no amount.
        """
        count = min(len(knots), RUNGS_MAX)
        most = 0.0
        for at in range(count):
            self._knots[at] = knots[at]
            most = max(most, stays * shares[at], _LEAST)  # a curve never falls
            usd = rungs[at]
            if usd > most:
                most = min(usd, _MOST)
            self._rungs[at] = most
        last = count - 1
        edge = self._knots[last]
        edge_log = math.log(edge)
        low = 0.0
        low_usd = 0.0
        at = 0
        for node in range(self.nodes):
            x = self._x[node]
            if x > edge:
                self._book[node] = most * math.exp(kappa * (self._log[node] - edge_log))
                continue
            while at < last and self._knots[at] < x:
                low = self._knots[at]
                low_usd = self._rungs[at]
                at += 1
            high = self._knots[at]
            self._book[node] = low_usd + (self._rungs[at] - low_usd) * (x - low) / (high - low)
        return count

    def stand(
        self,
        weight: float,
        gone: float,
        per_scale: float,
        spread: float,
        power: float,
        floor: float,
        refill: float,
        refilled_max: float,
    ) -> int:
        """Add the curve that was laid out to what stands, ``weight`` of it.

        ``gone`` is how far makers have withdrawn already, as a move in scales of the withdrawal; ``per_scale`` how many
        scales a distance of 1 is; ``spread`` the factor between two strengths of withdrawal. What has gone already is
        not taken away again: w is relative to it, and never less than ``floor``. ``refill`` is what comes back for
        each unit of distance, as a share of what is left, at most ``refilled_max``.
        """
        if power != self._power:
            self._learn(power)
        here = 1.0 + math.pow(gone, power)
        doubled = math.pow(2.0, power)
        for strength in range(WITHDRAWALS):
            factor = per_scale * math.pow(spread, strength - 1.0)
            first = strength * self.nodes
            total = 0.0
            left = 1.0
            before = self._book[0]
            # The move is base * part, with a part from 1 to 2: its power is that of both.
            base = math.floor(math.log2(max(gone + factor * 0.5 * self._x[1], _MOVE_MIN)))
            inverse = math.pow(2.0, -base)
            base_power = math.pow(doubled, base)
            for node in range(1, self.nodes):
                x = 0.5 * (self._x[node - 1] + self._x[node])
                if left > floor:  # and once it is there it stays, as it falls with x
                    part = max(gone + factor * x, _MOVE_MIN) * inverse
                    while part >= 2.0:
                        part *= 0.5
                        inverse *= 0.5
                        base_power *= doubled
                    left = max(here / (1.0 + base_power * self._power_of(part)), floor)
                back = min(refill * x, refilled_max) * left
                book = self._book[node]
                total += (book - before) * left * (1.0 + back)
                self._left[first + node] += weight * total
                before = book
        for node in range(self.nodes):
            self._whole[node] += weight * self._book[node]
        return 0

    def _learn(self, power: float) -> int:
        """Make the table of a power."""
        self._power = power
        for at in range(POWER_CELLS):
            middle = 1.0 + (at + 0.5) / POWER_CELLS
            self._inverses[at] = 1.0 / middle
            self._powers[at] = math.pow(middle, power)
        term = 1.0
        for at in range(POWER_TERMS):
            term *= (power - at) / (at + 1.0)
            self._terms[at] = term
        return 0

    def _power_of(self, part: float) -> float:
        """Give the power of a number from 1 to 2."""
        at = int((part - 1.0) * POWER_CELLS)
        rest = part * self._inverses[at] - 1.0
        series = self._terms[4] + rest * self._terms[5]
        series = self._terms[2] + rest * (self._terms[3] + rest * series)
        series = self._terms[0] + rest * (self._terms[1] + rest * series)
        return self._powers[at] * (1.0 + rest * series)

    def total(self, usd: NDArray[np.float64]) -> float:
        """Sum amounts; no number where one of them is none."""
        count = len(usd)
        even = 0.0
        odd = 0.0
        for at in range(1, count, 2):
            even += usd[at - 1]
            odd += usd[at]
        if count % 2:
            even += usd[count - 1]
        return even + odd

    def force(self, usd: NDArray[np.float64], bin_log: float, shift: float, weight: float) -> int:
        """Add what is liquidated to what is forced: USD by bins of ``bin_log`` beyond a mark that is ``shift`` ahead.

        A positive ``shift`` says that the mark lags: mid has gone that far further, and what lies between is due now.
        """
        count = len(usd)
        done = 0
        total = 0.0
        for node in range(self.nodes):
            place = (self._x[node] + shift) / bin_log
            if place <= 0.0:
                continue
            whole = int(min(place, float(count)))
            while done < whole:
                total += usd[done]
                done += 1
            part = place - whole
            here = total
            if done < count:
                here += part * usd[done]
            self._forced[node] += weight * here
        return 0

    def whole_at(self, x: float) -> float:
        """What rests up to x now, USD."""
        return self._at(self._whole, 0, x)

    def forced_at(self, x: float) -> float:
        """What is liquidated up to x, USD."""
        return self._at(self._forced, 0, x)

    def left_at(self, strength: int, x: float) -> float:
        """What stands up to x when price comes there, USD."""
        return self._at(self._left, strength * self.nodes, x)

    def barrier(self, strength: int, phi: float, x: float) -> float:
        """Qc(x), at least 0: what others than the liquidated must sell until price is at x."""
        first = strength * self.nodes
        most = -phi * self._forced[0]
        before = most
        for node in range(1, self.nodes):
            f = self._left[first + node] - phi * self._forced[node]
            if self._x[node] >= x:
                here = before + (f - before) * (x - self._x[node - 1]) / (self._x[node] - self._x[node - 1])
                most = max(most, here)
                break
            most = max(most, f)
            before = f
        return max(most, 0.0)

    def reproduction(self, strength: int, phi: float, window: float, farthest: float) -> float:
        """Return the greatest phi dL/dBe over stretches of at least ``window`` up to ``farthest``; 0 where none is.

        Where it is, ``reproduction_at`` tells: the middle of the stretch.
        """
        first = strength * self.nodes
        most = 0.0
        self.reproduction_at = 0.0
        low = 0
        for node in range(1, self.nodes):
            if self._x[node] > farthest * (1.0 + 1e-9):
                break
            if self._x[node] - self._x[low] < window * (1.0 - 1e-9):
                continue
            while low + 1 < node and self._x[node] - self._x[low + 1] >= window * (1.0 - 1e-9):
                low += 1
            forced = phi * (self._forced[node] - self._forced[low])
            left = self._left[first + node] - self._left[first + low]
            ratio = forced / max(left, 1e-9)
            if ratio > most:
                most = ratio
                self.reproduction_at = 0.5 * (self._x[low] + self._x[node])
        return most

    def jumps(self, strength: int, phi: float, least: float, farthest: float) -> list[tuple[float, float]]:
        """List the stretches over which f stays below what it was: entered, price goes on to their end by itself.

        Those shorter than ``least`` are left out; the last one may end with the grid.
        """
        first = strength * self.nodes
        found: list[tuple[float, float]] = []
        most = -phi * self._forced[0]
        before = most
        start = -1.0
        if most < 0.0:  # what is due now goes before the first USD that anybody sells
            most = 0.0
            start = 0.0
        for node in range(1, self.nodes):
            f = self._left[first + node] - phi * self._forced[node]
            if start >= 0.0:
                if f >= most:
                    step = self._x[node] - self._x[node - 1]
                    end = self._x[node - 1] + (most - before) / max(f - before, 1e-300) * step
                    if end - start >= least:
                        found.append((start, end))
                    start = -1.0
                    most = f
            elif f < most:
                start = self._x[node - 1]
                if start > farthest:
                    start = -1.0
                    break
            else:
                most = f
            before = f
        if start >= 0.0:
            found.append((start, self._x[self.nodes - 1]))
        return found

    def survive(self, phi: float, log_sd: float, pull: float, median: float, power: float) -> int:
        """Work out P(reach >= x) at each sample, over strengths of withdrawal and, where forced, scales of the map.

        The shock is ``pull`` and a log-logistic amount of this ``median`` and ``power``.
        """
        self._scales = 1 if phi <= 0.0 else SCALES
        for at in range(self.samples):
            self._chance[at] = 0.0
        for scale in range(self._scales):
            self._forces[scale] = 0.0 if phi <= 0.0 else phi * math.exp(log_sd * self._deviates[scale])
        for strength in range(WITHDRAWALS):
            if self._scales > 1:
                self._barriers(strength)
            else:
                self._barriers_unforced(strength)
            for scale in range(self._scales):
                weight = self._strengths[strength]
                if self._scales > 1:
                    weight *= self._weights[scale]
                self._chances(strength * SCALES + scale, weight, pull, median, power)
        for at in range(self.samples):
            self._chance[at] = min(self._chance[at], 1.0)
        return 0

    def chances(self) -> tuple[float, ...]:
        """P(reach >= x) at each of the samples, as ``survive`` left it."""
        return tuple([self._chance[at] for at in range(self.samples)])

    def chance(self, at: int) -> float:
        """One of them."""
        return self._chance[at]

    def mean(self) -> float:
        """Integrate P(reach >= x), as ``survive`` left it, over the distances of the samples."""
        total = 0.0
        last = 0.0
        before = 1.0
        for at in range(self.samples):
            total += 0.5 * (before + self._chance[at]) * (self._shares[at] - last)
            last = self._shares[at]
            before = self._chance[at]
        return total

    def quantile(self, level: float) -> float:
        """Invert it: the distance that is reached with probability 1 - level; the last one where that is beyond."""
        wanted = 1.0 - level
        last = 0.0
        before = 1.0
        for at in range(self.samples):
            here = self._chance[at]
            if here <= wanted:
                return last + (before - wanted) / (before - here) * (self._shares[at] - last)
            last = self._shares[at]
            before = here
        return last

    def crash(self, usd: float, flow: float) -> float:
        """Average the reach of ``flow`` and each shock times ``usd``, over what ``survive`` was last given."""
        total = 0.0
        for strength in range(WITHDRAWALS):
            for scale in range(self._scales):
                weight = self._strengths[strength]
                if self._scales > 1:
                    weight *= self._weights[scale]
                total += weight * self._crash(strength, scale, usd, flow)
        return total

    def _crash(self, strength: int, scale: int, usd: float, flow: float) -> float:
        first = strength * self.nodes
        row = (strength * SCALES + scale) * self.samples
        phi = self._forces[scale]
        total = 0.0
        at = 0
        for shock in range(SHOCK_COUNT):
            wanted = self._shocks[shock] * usd + flow
            before = -phi * self._forced[0]
            if before >= wanted:
                continue
            while at < self.samples and self._most[row + at] < wanted:
                at += 1
            x = self._x[self.nodes - 1]
            node = 1
            if at > 0:  # nothing up to the sample before is as much
                node = self._sampled[at - 1]
                before = self._left[first + node] - phi * self._forced[node]
                node += 1
            while node < self.nodes:
                f = self._left[first + node] - phi * self._forced[node]
                if f >= wanted:
                    step = self._x[node] - self._x[node - 1]
                    x = self._x[node - 1] + (wanted - before) / (f - before) * step
                    break
                before = f
                node += 1
            total += self._shock_weights[shock] * x
        return total

    def _barriers(self, strength: int) -> int:
        """Keep the greatest f up to each of the samples, for all scales of the map side by side."""
        first = strength * self.nodes
        row = strength * SCALES * self.samples
        force_0, force_1, force_2 = self._forces[0], self._forces[1], self._forces[2]
        force_3, force_4 = self._forces[3], self._forces[4]
        most_0 = most_1 = most_2 = most_3 = most_4 = -INF
        node = 0
        for at in range(self.samples):
            last = self._sampled[at]
            while node <= last:
                left, forced = self._left[first + node], self._forced[node]
                most_0 = max(most_0, left - force_0 * forced)
                most_1 = max(most_1, left - force_1 * forced)
                most_2 = max(most_2, left - force_2 * forced)
                most_3 = max(most_3, left - force_3 * forced)
                most_4 = max(most_4, left - force_4 * forced)
                node += 1
            self._most[row + at] = most_0
            self._most[row + self.samples + at] = most_1
            self._most[row + 2 * self.samples + at] = most_2
            self._most[row + 3 * self.samples + at] = most_3
            self._most[row + 4 * self.samples + at] = most_4
        return 0

    def _barriers_unforced(self, strength: int) -> int:
        """The same where nothing is forced: what stands never falls."""
        first = strength * self.nodes
        row = strength * SCALES * self.samples
        most = 0.0
        for at in range(self.samples):
            most = max(most, self._left[first + self._sampled[at]])
            self._most[row + at] = most
        return 0

    def _chances(self, row: int, weight: float, pull: float, median: float, power: float) -> int:
        first = row * self.samples
        for at in range(self.samples):
            need = (self._most[first + at] - pull) / median
            if need <= 0.0:
                self._chance[at] += weight
            elif power == 1.0:
                self._chance[at] += weight / (1.0 + need)
            else:
                self._chance[at] += weight / (1.0 + math.pow(need, power))
        return 0

    def _at(self, curve: array[float], first: int, x: float) -> float:
        if x <= 0.0:
            return curve[first]
        low = 0
        high = self.nodes - 1
        if x >= self._x[high]:
            return curve[first + high]
        while high - low > 1:
            middle = (low + high) // 2
            if self._x[middle] <= x:
                low = middle
            else:
                high = middle
        share = (x - self._x[low]) / (self._x[high] - self._x[low])
        return curve[first + low] + share * (curve[first + high] - curve[first + low])
