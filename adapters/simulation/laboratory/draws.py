"""Random numbers of one part of the laboratory: a stream of its own, made from its name, drawn in blocks.

Compiled where there is a compiler (draws.pxd), and the same numbers as it is.
"""

from __future__ import annotations

import math
from array import array
from hashlib import sha256

import numpy as np

BLOCK = 4096
POISSON_NORMAL = 64.0
"""From this mean on a Poisson number is drawn as a rounded normal one."""


class Draws:
    """One named stream.

    ``uniform()`` in [0, 1), ``normal()`` and ``exponential()`` of mean and scale 1, ``student()`` of variance 1 (its
    degrees of freedom are ``tail_degrees``, above 2), ``below(n)`` whole in 0 .. n - 1, ``poisson(mean)`` whole.
    Each kind is drawn from a generator of its own, so that how often one is asked for does not change the others.
    """

    def __init__(self, name: str, tail_degrees: float = 4.0) -> None:
        self.name = name
        self.tail_degrees = tail_degrees
        if tail_degrees <= 2.0:
            raise ValueError(f"{name}: {tail_degrees} degrees of freedom have no variance; take more than 2")
        seeds = np.random.SeedSequence(int.from_bytes(sha256(name.encode()).digest(), "big")).spawn(4)
        self._generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
        nothing = array("d")
        self._uniforms = nothing
        self._normals = nothing
        self._exponentials = nothing
        self._students = nothing
        self._uniform_at = BLOCK
        self._normal_at = BLOCK
        self._exponential_at = BLOCK
        self._student_at = BLOCK

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        if self._uniform_at == BLOCK:
            self._uniforms = array("d", self._generators[0].random(BLOCK).tobytes())
            self._uniform_at = 0
        self._uniform_at += 1
        return self._uniforms[self._uniform_at - 1]

    def normal(self) -> float:
        """Return a standard normal number."""
        if self._normal_at == BLOCK:
            self._normals = array("d", self._generators[1].standard_normal(BLOCK).tobytes())
            self._normal_at = 0
        self._normal_at += 1
        return self._normals[self._normal_at - 1]

    def exponential(self) -> float:
        """Return an exponential number of mean 1."""
        if self._exponential_at == BLOCK:
            self._exponentials = array("d", self._generators[2].standard_exponential(BLOCK).tobytes())
            self._exponential_at = 0
        self._exponential_at += 1
        return self._exponentials[self._exponential_at - 1]

    def student(self) -> float:
        """Return a number of Student's t, scaled to a variance of 1."""
        if self._student_at == BLOCK:
            scale = math.sqrt((self.tail_degrees - 2.0) / self.tail_degrees)
            block = self._generators[3].standard_t(self.tail_degrees, BLOCK) * scale
            self._students = array("d", block.tobytes())
            self._student_at = 0
        self._student_at += 1
        return self._students[self._student_at - 1]

    def below(self, count: int) -> int:
        """Return a whole number in 0 .. count - 1 (count >= 1), each as likely."""
        return int(self.uniform() * count)

    def poisson(self, mean: float) -> int:
        """Return a Poisson number: by inversion of one uniform, from a mean of 64 on a rounded normal."""
        if mean <= 0.0:
            return 0
        if mean >= POISSON_NORMAL:
            drawn = mean + math.sqrt(mean) * self.normal() + 0.5
            return int(drawn) if drawn > 0.0 else 0
        left = self.uniform()
        term = math.exp(-mean)
        count = 0
        while left >= term and count < 1_000:
            left -= term
            count += 1
            term *= mean / count
        return count
