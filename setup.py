"""Builds the compiled parts, where there is Cython and a C compiler.

These are every ``*.pyx`` below the packages, and every ``*.py`` that has a ``*.pxd`` of the same name beside it, which
runs as it is where it was not compiled.
Everything else about the package is in pyproject.toml. Without a compiler or without Cython the package installs
as well, and the references in numpy and Python run instead, which say that they are the slow ones.
In place, after editing: ``python setup.py build_ext --inplace``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from setuptools import Extension, setup

FOLDERS = ("guard", "adapters", "policies")

# No -march=native: a wheel is made on one machine and runs on another. No -ffast-math, and no fusing of
# multiplication and addition: results must be those of the reference.
FLAGS = ["/O2"] if sys.platform == "win32" else ["-O2", "-g0", "-ffp-contract=off"]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}


def extensions() -> list[Extension]:
    """All of them; none where Cython is missing."""
    if importlib.util.find_spec("Cython") is None:
        sys.stderr.write("perpguard: without Cython nothing is compiled; the slow references will run\n")
        return []
    return [
        extension(path)
        for folder in FOLDERS
        for path in sorted(Path(folder).rglob("*.p*"))
        if is_compiled(path)
    ]


def is_compiled(path: Path) -> bool:
    """Whether a file is Cython, or Python with declarations for it."""
    return path.suffix == ".pyx" or (path.suffix == ".py" and path.with_suffix(".pxd").exists())


def extension(path: Path) -> Extension:
    """What one file is made into; ``optional`` lets the rest install without it."""
    name = ".".join(path.with_suffix("").parts)
    made = Extension(name, [path.as_posix()], extra_compile_args=FLAGS, optional=True)
    # Cython reads these, through setuptools. What annotations say of Python's types is no declaration of C's.
    made.cython_directives = DIRECTIVES | ({"annotation_typing": False} if path.suffix == ".py" else {})
    made.cython_c_in_temp = True  # generated C stays in build/, out of the sources
    return made


setup(ext_modules=extensions())
