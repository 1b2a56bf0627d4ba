"""How much of a position should be left when: Almgren and Chriss, with a hazard that front-loads. Pure."""

from __future__ import annotations

from math import acosh, exp, expm1, inf, isfinite, sqrt
from typing import NamedTuple

_STRAIGHT = 1e-4
"""Of ``kappa x time``: below, sinh is as straight as a number can tell (the next term is 1e-9 of it)."""
_FAST = 1e9
"""Of ``kappa``, 1 / s: above, all is closed at once for all that a number can tell."""


class Course(NamedTuple):
    """A way down from ``size`` to 0 within ``horizon_s``; make one by ``course``.

    Attributes:
        size: to be closed, any unit, 0 or more.
        horizon_s: by when it is closed: the one wanted, or sooner where the hazard makes waiting too dear.
        kappa: Almgren and Chriss's, 1 / s.
        pull: ``h J / (2 eta)``, units / s^2: how strongly the hazard bends the way down.
    """

    size: float
    horizon_s: float
    kappa: float
    pull: float

    def left(self, after_s: float) -> float:
        """What is left after so many seconds: falls from ``size`` to 0, never below, never rises.

        >>> even = course(100.0, 60.0, impact=1.0, risk=0.0, hazard_loss=0.0)
        >>> even.left(0.0), even.left(15.0), even.left(60.0), even.left(99.0)
        (100.0, 75.0, 0.0, 0.0)
        """
        if not after_s > 0.0:
            return self.size
        if after_s >= self.horizon_s:
            return 0.0
        remaining = self.horizon_s - after_s
        k, width = self.kappa, self.kappa * self.horizon_s
        if width < _STRAIGHT:
            found = self.size * remaining / self.horizon_s - 0.5 * self.pull * after_s * remaining
        else:
            extra = self.pull / (k * k)
            forth, back = _sinh_ratio(k * remaining, width), _sinh_ratio(k * after_s, width)
            found = self.size * forth - extra * (1.0 - forth - back)
        return min(max(found, 0.0), self.size)


def course(size: float, horizon_s: float, *, impact: float, risk: float, hazard_loss: float = 0.0) -> Course:
    """Find the way down that costs least.

    Formula:
        Minimise the integral over ``0..T`` of ``eta v^2 + R x^2 + H x`` with ``v = -dx/dt``, ``x(0) = X``, ``x(T) = 0``
        and ``x >= 0``. Euler and Lagrange: ``x'' = k^2 x + g`` with ``k^2 = R / eta``, ``g = H / (2 eta)``, so that ::

            x(t) = X sinh(k (T - t)) / sinh(k T) - g / k^2 (1 - (sinh(k (T - t)) + sinh(k t)) / sinh(k T))

        which for g = 0 is Almgren and Chriss's, and for k -> 0 is ``X (1 - t / T) - g t (T - t) / 2``: even slices
        without a hazard. Where that would fall below 0 it ends sooner, at ``cosh(k T*) = 1 + X k^2 / g``
        (``T* = sqrt(2 X / g)``), where it comes in flat.

    Args:
        size: X, what is to be closed, 0 or more.
        horizon_s: T, by when, above 0.
        impact: eta, USD a unit^2 / s: cost of a rate of closing, ``eta v^2``; 1 over depth, above 0.
        risk: R = lambda sigma^2, USD / (unit^2 s): what carrying costs for the swings of price, 0 or more.
        hazard_loss: H = h J, USD / (unit s): chance of the crash a second times what it takes of a unit, 0 or more.

    Returns:
        The course. ValueError for what is no number, or no time.

    Source: Almgren and Chriss, Optimal execution of portfolio transactions (2000), for H = 0; H is linear because a
    crash takes the same of every unit that is left.

    Assumptions: temporary impact alone, linear in the rate; price does not drift meanwhile. Failure modes: a book that
    thins while it is sold into makes eta too small: ask again at each step with what depth is then.
    """
    numbers = (size, horizon_s, impact, risk, hazard_loss)
    if not all(isfinite(each) and each >= 0.0 for each in numbers) or not (horizon_s > 0.0 and impact > 0.0):
        raise ValueError(f"a course needs sizes, times and costs that are numbers, not {numbers!r}")
    kappa, pull = sqrt(risk / impact), hazard_loss / (2.0 * impact)
    if not (kappa < _FAST and isfinite(pull)):
        return Course(size, min(horizon_s, 1.0 / _FAST), 0.0, 0.0)
    return Course(size, min(horizon_s, _flat_end(size, kappa, pull)), kappa, pull)


def _flat_end(size: float, kappa: float, pull: float) -> float:
    """When a way down without any horizon would come in flat at 0."""
    if pull <= 0.0:
        return inf
    bend = size * kappa * kappa / pull
    if bend < _STRAIGHT * _STRAIGHT:
        return sqrt(2.0 * size / pull) or 1e-9
    return acosh(1.0 + bend) / kappa


def _sinh_ratio(part: float, whole: float) -> float:
    """``sinh(part) / sinh(whole)`` for 0 <= part <= whole, without running out of numbers."""
    return exp(part - whole) * expm1(-2.0 * part) / expm1(-2.0 * whole)
