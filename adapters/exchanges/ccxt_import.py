"""Imports of ccxt one venue instead of all of them, where its layout lets us; else as it is meant to be imported.

``import ccxt.pro`` runs the modules of a hundred venues, three times: a second of CPU and 100 MB. All that it does
in its packages' ``__init__`` is to import them. So their places in ``sys.modules`` are taken by modules that run no
``__init__``: they import a venue when it is asked for, and for anything else run ccxt's own ``__init__`` after all,
after which they are what ``import ccxt`` would have made. Nobody else in the process can tell.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import structlog

PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")
"""Those whose ``__init__`` imports every venue; a package stands behind the one that it is in."""

VENUE_PACKAGES = ("ccxt.pro", "ccxt.async_support")
"""Where a venue's class is looked for: streams first, else REST only."""

_lock = threading.Lock()

log = structlog.get_logger()


class VenueMissingError(Exception):
    """ccxt has no such venue."""


def venue_class(venue_id: str) -> type[Any]:
    """Return ccxt's class of a venue: that with streams, or that of its REST side where it has none.

    May take some tenths of a second; call it in a thread. Safe in several at once.

    Raises:
        VenueMissingError: ccxt has no such venue.
    """
    with (
        _lock
    ):  # whoever imports ccxt elsewhere does not take it, so the import system's own locks never meet it
        return _imported(venue_id)


def _imported(venue_id: str) -> type[Any]:
    if not any(name in sys.modules for name in PACKAGES):
        _stand_in()
    try:
        return _found(venue_id)
    except VenueMissingError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a ccxt of another layout makes of it
        log.warning(
            "ccxt is not laid out as expected: importing all of it, which takes a second and 100 MB",
            venue=venue_id,
            error=f"{type(error).__name__}: {error}",
        )
        _import_all_anew()
        return _found(venue_id)


def _found(venue_id: str) -> type[Any]:
    for name in VENUE_PACKAGES:
        package = importlib.import_module(name)
        if isinstance(package, _Package) and not package.names(venue_id):
            continue
        found = getattr(package, venue_id, None)
        if isinstance(found, type):
            return _checked(found, venue_id)
    raise VenueMissingError(venue_id)


def _checked(found: type[Any], venue_id: str) -> type[Any]:
    """Return it if it is what the whole ccxt would have given."""
    base = importlib.import_module("ccxt.async_support.base.exchange").Exchange
    if found.__name__ != venue_id or not issubclass(found, base):
        raise TypeError(f"{found} is no client of {venue_id}")
    return found


class _Package(ModuleType):
    """Stands for one of ``PACKAGES``."""

    def names(self, venue_id: str) -> bool:
        """Whether ccxt's own ``__init__`` has anything of that name; told from its text, without running it."""
        return (
            re.search(rf"\b{re.escape(venue_id)}\b", Path(str(self.__file__)).read_text("utf-8")) is not None
        )

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there yet."""
        if name.startswith("__") and name not in ("__all__", "__version__"):
            # Asked of every module by tools that look around; ccxt defines no others.
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        home = _home_of(name, self.__name__)
        if home is not None:
            return getattr(home, name)
        if not name.startswith("_"):
            try:
                module = importlib.import_module(f"{self.__name__}.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"{self.__name__}.{name}":
                    raise
            else:
                # Not from our own attributes: another thread may have imported it, and not have set it yet.
                return vars(module).get(name, module)
        _run_own(self)
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Take a submodule that the import system sets as ccxt's own ``__init__`` does: its class in its place."""
        if isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}":
            value = value.__dict__.get(name, value)
        super().__setattr__(name, value)


def _home_of(name: str, package: str) -> ModuleType | None:
    """Where a package has what its own modules want of it: ``Exchange`` and the errors."""
    if name == "Exchange":
        side = "ccxt" if package == "ccxt" else "ccxt.async_support"
        return importlib.import_module(f"{side}.base.exchange")
    if name[:1].isupper():
        errors = importlib.import_module("ccxt.base.errors")
        if isinstance(vars(errors).get(name), type):
            return errors
    return None


def _stand_in() -> None:
    """Take the places of ``PACKAGES``, unless ccxt has none or somebody is quicker."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)  # its parent stands already, so this runs nothing of ccxt
        if spec is None or spec.loader is None:
            return
        package = cast("_Package", importlib.util.module_from_spec(spec))
        package.__class__ = _Package
        if sys.modules.setdefault(name, package) is not package:
            return
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)


def _run_own(package: _Package) -> None:
    """Make it whole by ccxt's own ``__init__``; from then on it is an ordinary module.

    Several threads may do so at once, without a lock that could meet those of the import system: all that it
    does is to import and to name what it has imported.
    """
    spec = package.__spec__
    if spec is None or spec.loader is None:
        raise ImportError(f"{package.__name__} cannot be loaded")
    spec.loader.exec_module(package)
    module: ModuleType = package
    module.__class__ = ModuleType


def _import_all_anew() -> None:
    """Import everything the ordinary way, as if nothing of it had been imported yet."""
    for name in [name for name in sys.modules if name == "ccxt" or name.startswith("ccxt.")]:
        del sys.modules[name]
    for name in PACKAGES:
        importlib.import_module(name)
