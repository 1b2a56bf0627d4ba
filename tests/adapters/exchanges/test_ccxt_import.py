"""What importing one venue of ccxt leaves out, and that nobody else in the process can tell.

Each in a process of its own: what was imported once cannot be imported for the first time again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

BEGIN = "import sys; from adapters.exchanges.ccxt_import import venue_class\n"


def run(script: str, path: Path | None = None) -> None:
    """Run a script with warnings as errors; it fails by raising."""
    environment = {**os.environ, "PYTHONPATH": str(path)} if path is not None else None
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BEGIN + dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def test_only_what_the_venue_needs_is_imported_and_the_rest_when_somebody_asks() -> None:
    run("""
        found = venue_class("binanceusdm")
        assert found.__module__ == "ccxt.pro.binanceusdm"
        venues = ("kraken", "okx", "bybit")
        assert not [name for name in sys.modules if name.rpartition(".")[2] in venues]
        assert venue_class("zaif").__module__ == "ccxt.async_support.zaif", "of its REST side: it has no streams"
        # Now somebody who knows nothing of it.
        import ccxt
        import ccxt.async_support as rest
        import ccxt.pro
        assert ccxt.pro.binanceusdm is found and issubclass(found, rest.binance)
        assert rest.binance is sys.modules["ccxt.async_support.binance"].binance
        assert not [name for name in sys.modules if name.rpartition(".")[2] in venues]
        assert isinstance(ccxt.okx, type) and ccxt.okx is not rest.okx
        assert issubclass(ccxt.RequestTimeout, ccxt.NetworkError)
        assert "kraken" in ccxt.exchanges and "okx" in ccxt.pro.exchanges
        from types import ModuleType
        assert type(ccxt) is type(ccxt.pro) is ModuleType
        assert type(sys.modules["ccxt.kraken"]) is ModuleType and isinstance(ccxt.kraken, type)
        assert ccxt.pro.binanceusdm is found is venue_class("binanceusdm")
        try:
            ccxt.pro.there_is_no_such_thing
        except AttributeError as error:
            assert "there_is_no_such_thing" in str(error)
        else:
            raise AssertionError("it must not be there")
    """)


def test_what_looks_around_in_all_modules_imports_nothing() -> None:
    run("""
        venue_class("hyperliquid")
        before = set(sys.modules)
        import inspect
        for module in list(sys.modules.values()):
            assert not hasattr(module, "__no_such_thing__")
            inspect.unwrap(module)
        assert {name for name in set(sys.modules) - before if name.startswith("ccxt")} == set()
    """)


def test_threads_that_want_other_venues_at_once_get_them() -> None:
    run("""
        from concurrent.futures import ThreadPoolExecutor
        names = ("binanceusdm", "binancecoinm", "bybit", "okx", "hyperliquid", "bybit")
        with ThreadPoolExecutor(len(names)) as pool:
            found = list(pool.map(venue_class, names))
            assert "kraken" not in str(sys.modules.keys()), "none of them fell back to importing everything"
            # Those who know nothing of it, and so of no lock.
            import ccxt.pro
            others = ("gate", "kucoin", "gate", "bitget", "kucoin", "gate", "bitget", "gate")
            assert [each.__name__ for each in pool.map(lambda name: getattr(ccxt.pro, name), others)] == list(others)
        assert [each.__name__ for each in found] == list(names) and found[2] is found[5]
    """)


def test_a_ccxt_that_is_imported_already_is_taken_as_it_is() -> None:
    run("""
        import ccxt.pro
        assert venue_class("okx") is ccxt.pro.okx
        assert type(ccxt) is type(sys) and "ccxt.pro.kraken" in sys.modules
    """)


def test_what_ccxt_does_not_have_is_missing() -> None:
    run("""
        from adapters.exchanges.ccxt_import import VenueMissingError
        try:
            venue_class("mtgox")
        except VenueMissingError:
            sys.exit(0)
        raise AssertionError("it must not be there")
    """)


def write(root: Path, modules: dict[str, str]) -> None:
    """Write a package ``ccxt`` whose base is as we know it."""
    known = {
        "ccxt/base/__init__": "",
        "ccxt/base/errors": "class NetworkError(Exception): pass",
        "ccxt/base/exchange": "class Exchange: pass",
        "ccxt/async_support/base/__init__": "",
        "ccxt/async_support/base/exchange": "class Exchange: pass",
        "ccxt/async_support/__init__": "",
        "ccxt/__init__": "",
    }
    for name, text in (known | modules).items():
        file = root / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))


def test_venues_that_are_defined_elsewhere_are_found_by_what_ccxt_itself_runs(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "ccxt/pro/__init__": "from ccxt.venues import okx",
            "ccxt/venues": """
                from ccxt.async_support.base.exchange import Exchange
                class okx(Exchange): pass
            """,
        },
    )
    run('assert venue_class("okx").__module__ == "ccxt.venues"', tmp_path)


def test_a_ccxt_that_cannot_be_imported_in_parts_is_imported_whole(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "ccxt/pro/__init__": "is_ready = True\nfrom ccxt.pro.okx import okx",
            "ccxt/pro/okx": """
                import sys
                from ccxt.async_support.base.exchange import Exchange
                vars(sys.modules["ccxt.pro"])["is_ready"]  # not without what its __init__ does
                class okx(Exchange): pass
            """,
        },
    )
    run(
        'assert venue_class("okx").__module__ == "ccxt.pro.okx" and type(sys.modules["ccxt"]) is type(sys)',
        tmp_path,
    )
