"""Books for ccxt's own handlers of any venue, kept by the book that the guard reads instead of lists of lists.

ccxt's clients make books by a factory, store levels into their sides one by one, and look at few of them. Levels
that are stored wait, and go into the book together when somebody looks, or ``limit`` is called, as ccxt does after
each frame. What a handler does to a side beyond that raises ``ExoticUseError``: whoever catches it goes back to
ccxt's own books for this venue.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, cast

import numpy as np

from guard.errors import MalformedFrameError
from guard.market.book import BOOK_CAPACITY, Book, Floats, Side, new_book

PENDING_MAX = 20_000
"""Levels that wait to be put into a book: a whole one and its changes; then they are put in unasked."""


class ExoticUseError(Exception):
    """A handler of ccxt does what these books do not do."""


class NativeBooks:
    """Replaces the factory and the storing of ccxt's client of a venue; see ``tapped_class``."""

    has_native_books = True
    """Set it to False to have ccxt's own books from now on."""

    def order_book(self, snapshot: Any = None, depth: int | None = None) -> Any:
        told = snapshot if snapshot is not None else {}
        if self.has_native_books:
            return _native_class()(told, depth)
        return super().order_book(told, depth)  # type: ignore[misc]  # ccxt is untyped

    def handle_deltas(self, bookside: Any, deltas: Any) -> Any:
        if isinstance(bookside, NativeSide) and _are_plain(cast("Any", type(self))):
            bookside.store_all(deltas)
            return None
        return super().handle_deltas(bookside, deltas)  # type: ignore[misc]


class NativeSide(Sequence[list[float]]):
    """One side, to ccxt a list of ``[price, size]``, best first."""

    def __init__(self, owner: Any, side: Side, depth: int | None) -> None:
        self._owner = owner
        self._side = side
        self._depth = min(depth or BOOK_CAPACITY, BOOK_CAPACITY)
        self.pending: list[Sequence[Any]] = []

    def store(self, price: Any, size: Any) -> None:
        """Set one level; no size takes it away."""
        self.storeArray((price, size))

    def storeArray(self, delta: Sequence[Any]) -> None:  # noqa: N802 - ccxt's name
        """Set one level from its price, its size and whatever else is told."""
        self.pending.append((delta[0], delta[1] or 0.0))
        if len(self.pending) >= PENDING_MAX:
            self._owner.settle()

    store_array = storeArray

    def store_all(self, deltas: Sequence[Sequence[Any]]) -> None:
        """Set levels as the venue writes them."""
        if deltas and len(deltas[0]) == 2:  # as most venues write them; of others the rest is left out
            self.pending += deltas
        else:
            self.pending += [(delta[0], delta[1]) for delta in deltas]
        if len(self.pending) >= PENDING_MAX:
            self._owner.settle()

    def limit(self) -> None:
        """Drop what is farther than the depth that was asked for."""
        self._owner.settle()
        self.trim()

    def trim(self) -> None:
        prices, _ = self.arrays()
        if prices.size > self._depth:
            gone = prices[self._depth :]
            self._owner.take_out(self._side, np.column_stack((gone, np.zeros_like(gone))))

    def arrays(self) -> tuple[Floats, Floats]:
        """Prices and sizes, best first; valid until the next change."""
        self._owner.settle()
        book: Book = self._owner.book
        return book.side(self._side)

    def copy(self) -> list[list[float]]:
        """All levels."""
        return list(self)

    def __len__(self) -> int:
        return int(self.arrays()[0].size)

    def __getitem__(self, at: Any) -> Any:
        prices, sizes = self.arrays()
        if isinstance(at, slice):
            return [list(level) for level in zip(prices[at].tolist(), sizes[at].tolist(), strict=True)]
        return [float(prices[at]), float(sizes[at])]

    def __iter__(self) -> Iterator[list[float]]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ExoticUseError("a side of a book is changed as a list")

    append = insert = pop = remove = sort = extend = clear = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = _refuse


@functools.cache
def _native_class() -> type[Any]:  # noqa: C901 - one class of short methods
    """Return the book's class; ccxt is imported already."""
    from ccxt.async_support.base.exchange import Exchange  # noqa: PLC0415 - takes its time
    from ccxt.async_support.base.ws.order_book import OrderBook  # noqa: PLC0415

    class NativeOrderBook(OrderBook):  # type: ignore[misc]  # ccxt is untyped
        def __init__(self, snapshot: Mapping[str, Any], depth: int | None = None) -> None:
            # Not ccxt's constructor, which makes lists of levels.
            self.cache: list[Any] = []
            self.book = new_book(where="ccxt's book")
            self.version = 0
            """Counts the changes."""
            told = {"timestamp": None, "nonce": None, "symbol": None, **snapshot}
            told["datetime"] = Exchange.iso8601(told["timestamp"])
            sides = {"bids": NativeSide(self, Side.BID, depth), "asks": NativeSide(self, Side.ASK, depth)}
            dict.__init__(self, told | sides)
            self._load(snapshot)

        def __setitem__(self, key: str, value: Any) -> None:
            if key in ("bids", "asks"):
                raise ExoticUseError("a side of a book is replaced")
            super().__setitem__(key, value)

        def settle(self) -> None:
            """Put in what waits. Raises MalformedFrameError, and then nothing of it is put in."""
            bids, asks = self["bids"].pending, self["asks"].pending
            if not bids and not asks:
                return
            self["bids"].pending, self["asks"].pending = [], []
            self.version += 1
            self.book.apply(bids, asks)

        def take_out(self, side: Side, levels: Floats) -> None:
            none: list[Any] = []
            self.book.apply(levels if side is Side.BID else none, levels if side is Side.ASK else none)

        def limit(self) -> Any:
            self.settle()
            self["bids"].trim()
            self["asks"].trim()
            return self

        def reset(self, snapshot: Mapping[str, Any] | None = None) -> None:
            told = snapshot or {}
            self._load(told)
            for key in ("nonce", "timestamp", "symbol"):
                self[key] = told.get(key)
            self["datetime"] = Exchange.iso8601(self["timestamp"])

        def copy(self) -> dict[str, Any]:
            return {**self, "bids": self["bids"].copy(), "asks": self["asks"].copy()}

        def _load(self, snapshot: Mapping[str, Any]) -> None:
            self["bids"].pending, self["asks"].pending = [], []
            self.version += 1
            self.book.clear()
            bids, asks = snapshot.get("bids") or [], snapshot.get("asks") or []
            if bids or asks:
                self.book.load(_pairs(bids), _pairs(asks))

    return NativeOrderBook


def version_of(book: Any) -> tuple[int, int] | None:
    """What differs once a native book has changed; ``None`` for any other book."""
    if not isinstance(book, Mapping) or not isinstance(book.get("bids"), NativeSide):
        return None
    waiting = sum(len(book[name].pending) for name in ("bids", "asks"))
    version: int = book.version  # type: ignore[attr-defined]  # of the class above
    return version, waiting


def is_exotic(error: Exception) -> bool:
    """Whether a handler failed because it takes a side for a list.

    >>> is_exotic(TypeError("'NativeSide' object cannot be interpreted as an integer")), is_exotic(TypeError("x"))
    (True, False)
    """
    return isinstance(error, ExoticUseError) or (
        isinstance(error, TypeError | AttributeError) and NativeSide.__name__ in str(error)
    )


def _pairs(levels: Sequence[Sequence[Any]]) -> list[tuple[Any, Any]]:
    try:
        return [(level[0], level[1] or 0.0) for level in levels]
    except (TypeError, LookupError) as error:
        raise MalformedFrameError("ccxt's book", f"a level cannot be read: {error}") from error


class _Plain:
    """How ccxt's handlers of most venues look where a change is ``[price, size, ...]`` and nothing else is done."""

    def deltas(self, bookside: Any, deltas: Any) -> None:
        for i in range(0, len(deltas)):  # noqa: PIE808 - as ccxt writes it
            self.handle_delta(bookside, deltas[i])  # type: ignore[attr-defined]

    def floats(self: Any, bookside: Any, delta: Any) -> None:
        price = self.safe_float(delta, 0)
        amount = self.safe_float(delta, 1)
        bookside.store(price, amount)

    def numbers(self: Any, bookside: Any, delta: Any) -> None:
        price = self.safe_number(delta, 0)
        amount = self.safe_number(delta, 1)
        bookside.store(price, amount)

    def pairs(self: Any, bookside: Any, delta: Any) -> None:
        bidAsk = self.parse_order_book_bid_ask(delta, 0, 1)  # noqa: N806 - as ccxt writes it
        bookside.storeArray(bidAsk)


@functools.cache
def _are_plain(venue: Any) -> bool:
    """Whether a venue's handlers of changes are among those: the same code, so what they do is known."""
    following = venue.__mro__[venue.__mro__.index(NativeBooks) + 1 :]

    def code_of(name: str) -> tuple[object, ...] | None:
        found = next((vars(base)[name] for base in following if name in vars(base)), None)
        return None if found is None else _code(found)

    deltas = {_code(_Plain.floats), _code(_Plain.numbers), _code(_Plain.pairs)}
    return code_of("handle_deltas") == _code(_Plain.deltas) and code_of("handle_delta") in deltas


def _code(function: Any) -> tuple[object, ...]:
    code = function.__code__
    consts = tuple(const for const in code.co_consts if const is not None and not isinstance(const, str))
    return code.co_code, code.co_names, consts, code.co_argcount
