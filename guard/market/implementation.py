"""Which implementation of books and features runs: the compiled one where it was built, else the reference. No I/O.

The compiled part is built at install (setup.py), never at run time. ``PERPGUARD_NO_COMPILED=1`` in the
environment has the references run, to compare with or to rule it out when in doubt.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

COMPILED, REFERENCE = "compiled", "numpy"

TO_COMPILE = (
    "install a C compiler (Debian: apt-get install gcc libc6-dev) and install perpguard again; "
    "PERPGUARD_NO_COMPILED must not be set"
)
"""What an operator does about the slow one."""


@cache
def _found() -> tuple[Any, str]:
    try:
        return import_module("guard.market._compiled"), ""
    except ImportError as error:
        return None, str(error)


def compiled() -> Any:
    """The compiled module, or ``None`` where it was not built or was switched off."""
    # When it is first needed, not when this module is imported: it is built on the references.
    return _found()[0]


def implementation() -> str:
    """``compiled``, or ``numpy`` for the slow one."""
    return REFERENCE if compiled() is None else COMPILED


def why_slow() -> str:
    """Why the compiled part does not run, as the import put it; empty if it runs."""
    return _found()[1]
