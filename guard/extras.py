"""Libraries that only some commands need: imported when they are used, and a clear word where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from guard.errors import ExtraMissingError


def need(module: str, *, extra: str) -> Any:
    """Import a library that the extra installs.

    Raises:
        ExtraMissingError: it is not installed; says how it is.

    >>> need("json", extra="lab").dumps(1)
    '1'
    >>> need("no_such_library", extra="lab")
    Traceback (most recent call last):
    guard.errors.ExtraMissingError: no_such_library is not installed: pip install 'perpguard[lab]'
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ExtraMissingError(module.partition(".")[0], extra) from error
