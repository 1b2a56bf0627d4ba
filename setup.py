"""Builds the compiled parts, where there is Cython and a C compiler.

These are every ``*.pyx`` below the packages, and every ``*.py`` that has a ``*.pxd`` of the same name beside it, which
runs as it is where it was not compiled. What Cython would write into each of them is compiled once, as ``SHARED``.
Everything else about the package is in pyproject.toml. Without a compiler or without Cython the package installs
as well, and the references in numpy and Python run instead, which say that they are the slow ones.
In place, after editing: ``python setup.py build_ext --inplace``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

FOLDERS = ("guard", "adapters", "policies")
SHARED = "guard._cyutility"

# No -march=native: a wheel is made on one machine and runs on another. No -ffast-math, and no fusing of
# multiplication and addition: results must be those of the reference.
FLAGS = ["/O2"] if sys.platform == "win32" else ["-O2", "-g0", "-ffp-contract=off"]
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # what annotations say of Python's types is no declaration of C's
    "auto_pickle": False,  # what is pickled says how, or asks for it in its first line; for all a tenth of the build
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}


class Part(Extension):
    """One module to compile; Cython keeps those that it rejects in a set, and setuptools' own has no hash."""

    __hash__ = object.__hash__


class BuildOnAllCores(build_ext):
    """Writes all C in processes, then compiles it in threads; what Cython rejects does not stop the rest."""

    def run(self) -> None:
        """Build, and say last what Cython rejected: an older library of it may be in the tree."""
        self.rejected: list[str] = []
        super().run()
        if self.inplace and self.rejected:
            raise CompileError(f"Cython rejected {', '.join(self.rejected)}: see above")

    def build_extensions(self) -> None:
        """Build all; nothing stays if what all of them import could not be compiled."""
        self.parallel = self.parallel or os.cpu_count()
        if self.extensions:
            self.write_c()
        super().build_extensions()
        libraries = [Path(self.get_ext_fullpath(made.name)) for made in self.extensions]
        if libraries and not Path(self.get_ext_fullpath(SHARED)).exists():
            for library in libraries:
                library.unlink(missing_ok=True)

    def write_c(self) -> None:
        """Have Cython write the C of all extensions into build/, out of the sources."""
        from Cython.Build import cythonize  # there may be none

        written = cythonize(
            list(self.extensions),
            nthreads=self.parallel,
            force=self.force,
            quiet=not self.verbose,
            build_dir=self.build_temp,
            compiler_directives=DIRECTIVES,
            shared_utility_qualified_name=SHARED,
            exclude_failures=True,
        )
        sources = {made.name: made.sources for made in written}
        self.rejected = [made.name for made in self.extensions if made.name not in sources]
        self.extensions = [made for made in self.extensions if made.name in sources]
        for made in self.extensions:
            made.sources = sources[made.name]
        # The longest first, or one core compiles it while the other has nothing left to do.
        self.extensions.sort(key=lambda made: Path(made.sources[0]).stat().st_size, reverse=True)


def extensions() -> list[Part]:
    """All of them; none where Cython is missing."""
    if importlib.util.find_spec("Cython") is None:
        sys.stderr.write("perpguard: without Cython nothing is compiled; the slow references will run\n")
        return []
    paths = [path for folder in FOLDERS for path in sorted(Path(folder).rglob("*.p*")) if is_compiled(path)]
    return [extension(SHARED), *(extension(".".join(path.with_suffix("").parts), path) for path in paths)]


def is_compiled(path: Path) -> bool:
    """Whether a file is Cython, or Python with declarations for it."""
    return path.suffix == ".pyx" or (path.suffix == ".py" and path.with_suffix(".pxd").exists())


def extension(name: str, *paths: Path) -> Part:
    """What a file, or what all share, is made into; ``optional`` lets the rest install without it."""
    return Part(name, [path.as_posix() for path in paths], extra_compile_args=FLAGS, optional=True)


if __name__ == "__main__":  # what Cython starts must not build again
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOnAllCores})
