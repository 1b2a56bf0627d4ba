"""Loads modules from their Python source where compiled ones lie beside it, so that both can be held equal."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


class _SourceFinder(MetaPathFinder):
    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        file = ROOT.joinpath(*fullname.split(".")).with_suffix(".py")
        return spec_from_file_location(fullname, file, loader=SourceFileLoader(fullname, str(file)))


@contextmanager
def _apart(names: Sequence[str]) -> Iterator[None]:
    """While this lasts the names are not imported; afterwards everything is as it was."""
    before = {name: sys.modules.pop(name, None) for name in dict.fromkeys(names)}
    for name in before:
        # "from package import module" would find the compiled one there.
        package, _, last = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(last, None)
    finder = _SourceFinder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in before.items():
            package, _, last = name.rpartition(".")
            sys.modules.pop(name, None)
            parent = sys.modules.get(package)
            if module is not None:
                sys.modules[name] = module
                setattr(parent, last, module)
            elif parent is not None and hasattr(parent, last):
                delattr(parent, last)


def uncompiled(*names: str) -> tuple[ModuleType, ...]:
    """Return the modules as their Python source makes them; those named see one another as source too.

    Name every module that passes compiled objects on, also those that are not compiled themselves, but none whose
    classes must stay the same, such as parameters. What is imported elsewhere in the process stays compiled.
    """
    with _apart(names):
        modules = tuple(importlib.import_module(name) for name in names)
    for name, module in zip(names, modules, strict=True):
        assert str(module.__file__).endswith(".py"), name
    return modules


def pairs(package: str) -> tuple[str, ...]:
    """Return the modules of a package that are Python with declarations for C beside it, such as ``a.b.book``."""
    folder = ROOT.joinpath(*package.split("."))
    return tuple(
        f"{package}.{file.stem}" for file in sorted(folder.glob("*.pxd")) if file.with_suffix(".py").exists()
    )


def is_compiled(module: ModuleType) -> bool:
    """Whether a module runs compiled."""
    return not str(module.__file__).endswith(".py")
