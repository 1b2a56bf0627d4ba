"""Builds the compiled parts: every ``*.pyx`` below the packages, where there is Cython and a C compiler.

Everything else about the package is in pyproject.toml. Without a compiler or without Cython the package installs
as well, and the references in numpy and Python run instead, which say that they are the slow ones.
In place, after editing: ``python setup.py build_ext --inplace``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup

FOLDERS = ("guard", "adapters", "policies")
GENERATED = "build/cython"
"""Where generated C goes: not beside the sources."""

# No -march=native: a wheel is made on one machine and runs on another. No -ffast-math, and no fusing of
# multiplication and addition: results must be those of the reference.
FLAGS = {"unix": ["-O2", "-g0", "-ffp-contract=off"], "msvc": ["/O2"]}
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "freethreading_compatible": False,
}


def extensions() -> list[Extension]:
    """All of them, translated to C; none where Cython is missing."""
    sources = sorted(path for folder in FOLDERS for path in Path(folder).rglob("*.pyx"))
    try:
        from Cython.Build import cythonize
    except ImportError:
        sys.stderr.write("perpguard: no Cython, so nothing is compiled; the slow references will run\n")
        return []
    flags = FLAGS["msvc" if sys.platform == "win32" else "unix"]
    wanted = [
        Extension(
            ".".join(path.with_suffix("").parts), [path.as_posix()], extra_compile_args=flags, optional=True
        )
        for path in sources
    ]
    made: list[Extension] = cythonize(
        wanted, build_dir=GENERATED, compiler_directives=DIRECTIVES, language_level=3, quiet=True
    )
    return made


setup(ext_modules=extensions())
