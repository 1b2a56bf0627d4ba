"""Books, hot state and features in C: the fast twins of ``ArrayBook``, ``ArrayLiveBook`` and ``side_features``.

Held equal to them by tests/guard/market/test_compiled.py. Nothing here knows a clock or does I/O. With
``PERPGUARD_NO_COMPILED`` set to anything but 0 it refuses to be imported, and the references run instead; so does
every compiled part that is built on it.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
)
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.list cimport PyList_Check, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_AsDouble, PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_CheckExact
from libc.math cimport INFINITY, NAN, exp, fabs, isnan, log, pow
from libc.stdlib cimport getenv, qsort
from libc.string cimport memcpy, memmove, memset, strcmp
cimport cython

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    double PyOS_string_to_double(const char *text, char **end, PyObject *overflow) except? -1.0

cdef const char *_switch = getenv("PERPGUARD_NO_COMPILED")
if _switch != NULL and _switch[0] != 0 and strcmp(_switch, "0") != 0:
    raise ImportError("PERPGUARD_NO_COMPILED is set")

import numpy as np

from guard.events import BookSide, BookStatus, CURVE_BPS, NOTIONALS_USD
from guard.market import book as _reference
from guard.market import liquidity as _liquidity
from guard.market import live as _live_reference
from guard.market.book import BOOK_CAPACITY, Side
from guard.market.live import Heard

cdef object ndarray = np.ndarray
cdef double LARGEST = _reference.LARGEST
cdef long long NEVER = _live_reference.NEVER
cdef Py_ssize_t TURN_LEVELS = _live_reference.TURN_LEVELS
cdef double TURN_RATIO = _live_reference.TURN_RATIO
cdef double TURN_BPS = _live_reference.TURN_BPS
assert TURN_LEVELS <= 128  # beyond, numpy adds up in another order

cdef Py_ssize_t MERGED_MIN = 256
"""So many levels at once are sorted and merged in one pass instead of being put in one by one."""

cdef enum StatusCode:
    UNSYNCED = 0
    EMPTY = 1
    CROSSED = 2
    OK = 3
    GAPPED = 4

cdef tuple STATUSES = (
    BookStatus.UNSYNCED, BookStatus.EMPTY, BookStatus.CROSSED, BookStatus.OK, BookStatus.GAPPED
)
assert set(STATUSES) == set(BookStatus)
cdef object BID = Side.BID
cdef object ASK = Side.ASK

cdef class CurrentRow

include "_levels.pxi"


# One side


cdef struct Ranked:
    double key
    double price
    double size
    Py_ssize_t order


cdef int by_key_then_order(const void *one, const void *other) noexcept nogil:
    cdef const Ranked *a = <const Ranked *>one
    cdef const Ranked *b = <const Ranked *>other
    if a.key != b.key:
        return -1 if a.key < b.key else 1
    return -1 if a.order < b.order else 1


@cython.final
cdef class Ladder:

    def __cinit__(self, Py_ssize_t capacity, double sign):
        self.prices = self.sizes = NULL
        self.count = self.room = 0
        self.capacity = capacity
        self.sign = sign
        self.bounded = False
        self.horizon = 0.0
        self.store = None

    cdef bint reserve(self, Py_ssize_t count) noexcept:
        """Have room for ``count`` levels; False without memory, and then nothing has changed."""
        cdef Store store
        if count <= self.room:
            return True
        try:
            store = Store(count + count // 8 + 32)
        except MemoryError:
            return False
        if self.count:
            memcpy(store.data, self.prices, self.count * sizeof(double))
            memcpy(store.data + store.room, self.sizes, self.count * sizeof(double))
        self.prices, self.sizes, self.room = store.data, store.data + store.room, store.room
        self.store = store
        return True

    cdef Py_ssize_t place(self, double price, Py_ssize_t hint) noexcept:
        """Index of the first level that is not worse than ``price``, looked for from ``hint`` or else the touch.

        Venues tell changes from the touch outwards, so that each is not far behind the one before it.
        """
        cdef const double *prices = self.prices
        cdef Py_ssize_t high = self.count, step = 8, low, half, span
        if hint < high and (prices[hint] >= price if self.sign > 0.0 else prices[hint] <= price):
            high = hint
        low = high - step
        # Twice the same, so that what is compared is not multiplied by a sign each time.
        if self.sign > 0.0:
            while low >= 0 and prices[low] >= price:
                high = low
                step *= 4
                low -= step
            low = 0 if low < 0 else low + 1
            span = high - low
            while span > 1:  # no branch that depends on prices, which nobody could foretell
                half = span >> 1
                low += half if prices[low + half - 1] < price else 0
                span -= half
            return low + (span == 1 and prices[low] < price)
        while low >= 0 and prices[low] <= price:
            high = low
            step *= 4
            low -= step
        low = 0 if low < 0 else low + 1
        span = high - low
        while span > 1:
            half = span >> 1
            low += half if prices[low + half - 1] > price else 0
            span -= half
        return low + (span == 1 and prices[low] > price)

    cdef Py_ssize_t put(self, double price, double size, Py_ssize_t hint) noexcept:
        """Set, insert or delete one level, looked for from ``hint``; return where, or -1 without memory."""
        cdef Py_ssize_t at = self.place(price, hint), after
        if at < self.count and self.prices[at] == price:
            if size != 0.0:
                self.sizes[at] = size
                return at
            after = self.count - at - 1
            memmove(self.prices + at, self.prices + at + 1, after * sizeof(double))
            memmove(self.sizes + at, self.sizes + at + 1, after * sizeof(double))
            self.count -= 1
            return at
        if size == 0.0:
            return at
        if self.count == self.room and not self.reserve(self.count + 1):
            return -1
        after = self.count - at
        memmove(self.prices + at + 1, self.prices + at, after * sizeof(double))
        memmove(self.sizes + at + 1, self.sizes + at, after * sizeof(double))
        self.prices[at] = price
        self.sizes[at] = size
        self.count += 1
        return at

    cdef bint merge(self, const double *prices, const double *sizes, Py_ssize_t count) noexcept:
        """Take changes in the order in which they came; False without memory."""
        cdef Py_ssize_t at, hint = self.count
        if count >= MERGED_MIN:
            return self.merge_sorted(prices, sizes, count)
        for at in range(count):
            hint = self.put(prices[at], sizes[at], hint)
            if hint < 0:
                return False
        self.trim()
        return True

    cdef bint merge_sorted(self, const double *prices, const double *sizes, Py_ssize_t count) noexcept:
        """The same in one pass over both, however many there are and in whatever order."""
        cdef Ranked *ranked = <Ranked *>PyMem_Malloc(count * sizeof(Ranked))
        cdef Store store
        cdef Py_ssize_t at, mine = 0, made = 0
        cdef double *new_prices
        cdef double *new_sizes
        if ranked == NULL:
            return False
        try:
            store = Store(self.count + count + 32)
        except MemoryError:
            PyMem_Free(ranked)
            return False
        new_prices, new_sizes = store.data, store.data + store.room
        for at in range(count):
            ranked[at] = Ranked(self.sign * prices[at], prices[at], sizes[at], at)
        qsort(ranked, count, sizeof(Ranked), by_key_then_order)
        for at in range(count):
            if at + 1 < count and ranked[at + 1].key == ranked[at].key:
                continue  # the last of equal prices wins
            while mine < self.count and self.sign * self.prices[mine] < ranked[at].key:
                new_prices[made], new_sizes[made] = self.prices[mine], self.sizes[mine]
                made += 1
                mine += 1
            if mine < self.count and self.prices[mine] == ranked[at].price:
                mine += 1
            if ranked[at].size != 0.0:
                new_prices[made], new_sizes[made] = ranked[at].price, ranked[at].size
                made += 1
        PyMem_Free(ranked)
        memcpy(new_prices + made, self.prices + mine, (self.count - mine) * sizeof(double))
        memcpy(new_sizes + made, self.sizes + mine, (self.count - mine) * sizeof(double))
        made += self.count - mine
        self.prices, self.sizes, self.room, self.count = new_prices, new_sizes, store.room, made
        self.store = store
        self.trim()
        return True

    cdef bint replace(self, const double *prices, const double *sizes, Py_ssize_t count) noexcept:
        """Take a whole side; False without memory."""
        cdef Py_ssize_t at, made = 0
        cdef bint ordered = True
        self.empty()
        for at in range(1, count):
            if not self.sign * prices[at] < self.sign * prices[at - 1]:
                ordered = False
                break
        if not ordered:
            if not self.merge_sorted(prices, sizes, count):
                return False
        elif count:
            if not self.reserve(count):
                return False
            for at in range(count - 1, -1, -1):
                if sizes[at] != 0.0:
                    self.prices[made], self.sizes[made] = prices[at], sizes[at]
                    made += 1
            self.count = made
            self.trim()
        if self.count:
            self.bounded = True
            self.horizon = self.prices[0]
        return True

    cdef void trim(self) noexcept:
        """Drop the worst beyond the capacity; what is complete then ends there."""
        cdef Py_ssize_t over = self.count - self.capacity
        if over <= 0:
            return
        self.count = self.capacity
        memmove(self.prices, self.prices + over, self.count * sizeof(double))
        memmove(self.sizes, self.sizes + over, self.count * sizeof(double))
        if self.bounded and self.sign * self.horizon < self.sign * self.prices[0]:
            self.horizon = self.prices[0]

    cdef void empty(self) noexcept:
        self.count = 0
        self.bounded = False

    cdef double touch_size(self) noexcept:
        """Size on the best levels, added up in the order in which numpy adds them: best first, in eight lanes."""
        cdef double sums[8]
        cdef double total = 0.0
        cdef Py_ssize_t count = min(self.count, TURN_LEVELS), at, lane, whole
        cdef const double *best = self.sizes + self.count - 1
        if count < 8:
            for at in range(count):
                total += best[-at]
            return total
        for lane in range(8):
            sums[lane] = best[-lane]
        whole = count - count % 8
        for at in range(8, whole, 8):
            for lane in range(8):
                sums[lane] += best[-at - lane]
        total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
        for at in range(whole, count):
            total += best[-at]
        return total

    def views(self):
        """Prices and sizes, best first."""
        cdef Store store = self.store
        if store is None or not self.count:
            return np.empty(0), np.empty(0)
        if store.floats is None:
            store.floats = np.frombuffer(store, np.float64)
        floats = store.floats
        return floats[: self.count][::-1], floats[store.room : store.room + self.count][::-1]

    def __reduce__(self):
        return _ladder_of, (
            self.capacity,
            self.sign,
            [self.prices[at] for at in range(self.count)],
            [self.sizes[at] for at in range(self.count)],
            self.horizon if self.bounded else None,
        )

    def best(self):
        """The best level as (price, size), or None."""
        if not self.count:
            return None
        return self.prices[self.count - 1], self.sizes[self.count - 1]


def _ladder_of(Py_ssize_t capacity, double sign, list prices, list sizes, horizon):
    cdef Ladder made = Ladder(capacity, sign)
    cdef Py_ssize_t at
    if not made.reserve(len(prices)):
        raise MemoryError
    for at in range(len(prices)):
        made.prices[at], made.sizes[at] = prices[at], sizes[at]
    made.count = len(prices)
    if horizon is not None:
        made.bounded, made.horizon = True, horizon
    return made


@cython.final
cdef class CompiledBook:
    """The fast book; see ``ArrayBook``, to which it is equal.

    >>> book = CompiledBook()
    >>> book.load([[100.0, 2.0], [99.0, 1.0]], [[101.0, 3.0]])
    >>> book.apply([[100.0, 0.0], [99.5, 4.0]], [])
    >>> book.best_bid(), book.best_ask(), book.status().value, book.implementation
    ((99.5, 4.0), (101.0, 3.0), 'ok', 'compiled')
    """

    implementation = "compiled"

    def __init__(self, Py_ssize_t capacity=BOOK_CAPACITY, *, str where="book"):
        if capacity < 1:
            raise ValueError(f"a book needs room for at least one level a side, not {capacity}")
        self.bids = Ladder(capacity, 1.0)
        self.asks = Ladder(capacity, -1.0)
        self.loaded = False
        self.where = where

    def __reduce__(self):
        return _book_of, (self.bids, self.asks, self.loaded, self.where)

    def load(self, bids, asks):
        read_levels(bids, &_bids_read, "bids", self.where)
        read_levels(asks, &_asks_read, "asks", self.where)
        if self.bids.replace(_bids_read.prices, _bids_read.sizes, _bids_read.count):
            if self.asks.replace(_asks_read.prices, _asks_read.sizes, _asks_read.count):
                self.loaded = True
                return
        self.forget()
        raise MemoryError(f"{self.where}: no memory for a book")

    def apply(self, bids, asks):
        read_levels(bids, &_bids_read, "bids", self.where)
        read_levels(asks, &_asks_read, "asks", self.where)
        if not self.apply_levels(
            _bids_read.prices, _bids_read.sizes, _bids_read.count,
            _asks_read.prices, _asks_read.sizes, _asks_read.count,
        ):
            raise MemoryError(f"{self.where}: no memory for a book")

    cdef bint apply_levels(
        self,
        const double *bid_prices,
        const double *bid_sizes,
        Py_ssize_t bid_count,
        const double *ask_prices,
        const double *ask_sizes,
        Py_ssize_t ask_count,
    ) noexcept:
        if self.bids.merge(bid_prices, bid_sizes, bid_count):
            if self.asks.merge(ask_prices, ask_sizes, ask_count):
                return True
        self.forget()
        return False

    def clear(self):
        self.forget()

    cdef void forget(self) noexcept:
        self.bids.empty()
        self.asks.empty()
        self.loaded = False

    def best_bid(self):
        return self.bids.best()

    def best_ask(self):
        return self.asks.best()

    def side(self, side):
        return self.bids.views() if side is BID else self.asks.views()

    def horizon(self, side):
        cdef Ladder ladder = self.bids if side is BID else self.asks
        return ladder.horizon if ladder.bounded else None

    def status(self):
        return STATUSES[self.status_code()]

    cdef int status_code(self) noexcept:
        if not self.loaded:
            return UNSYNCED
        if not self.bids.count or not self.asks.count:
            return EMPTY
        if self.bids.prices[self.bids.count - 1] >= self.asks.prices[self.asks.count - 1]:
            return CROSSED
        return OK


def _book_of(Ladder bids not None, Ladder asks not None, bint loaded, str where):
    cdef CompiledBook made = CompiledBook(bids.capacity, where=where)
    made.bids, made.asks, made.loaded = bids, asks, loaded
    return made


@cython.final
cdef class CompiledLive:
    """The fast hot state; see ``ArrayLiveBook``, to which it is equal."""

    implementation = "compiled"

    def __init__(self, CompiledBook book not None):
        self.book = book
        self.armed = self.changed = self.touched = False
        self.last_id = self.updates = self.book_messages = self.trades_messages = 0
        self.book_at = self.exchange_at = self.book_last_at = self.trades_last_at = NEVER
        self.book_gap_ns_max = self.trades_gap_ns_max = 0
        self.buy_usd = self.sell_usd = 0.0
        self.mid_then = self.bid_size_then = self.ask_size_then = 0.0
        self.said_code = UNSYNCED
        self.row = None

    def __reduce__(self):
        return CompiledLive, (self.book,), (
            (self.armed, self.last_id, self.book_at, self.exchange_at, self.changed, self.updates),
            (self.buy_usd, self.sell_usd, self.said_code),
            (self.book_messages, self.book_last_at, self.book_gap_ns_max),
            (self.trades_messages, self.trades_last_at, self.trades_gap_ns_max),
            (self.touched, self.mid_then, self.bid_size_then, self.ask_size_then),
        )

    def __setstate__(self, state):
        hot, flow, books, trades, touch = state
        self.armed, self.last_id, self.book_at, self.exchange_at, self.changed, self.updates = hot
        self.buy_usd, self.sell_usd, self.said_code = flow
        self.book_messages, self.book_last_at, self.book_gap_ns_max = books
        self.trades_messages, self.trades_last_at, self.trades_gap_ns_max = trades
        self.touched, self.mid_then, self.bid_size_then, self.ask_size_then = touch

    @property
    def said(self):
        return STATUSES[self.said_code]

    @said.setter
    def said(self, status):
        self.said_code = STATUSES.index(status)

    def arm(self, last_id):
        try:
            self.last_id = last_id
        except OverflowError:
            self.armed = False
        else:
            self.armed = True

    def disarm(self):
        self.armed = False

    def applied(self, long long received_at, long long exchange_at):
        self.note_applied(received_at, exchange_at)

    cdef void note_applied(self, long long received_at, long long exchange_at) noexcept:
        self.book_at = received_at
        self.exchange_at = exchange_at
        self.updates += 1
        self.changed = True
        if self.row is not None:
            (<CurrentRow>self.row).measure(self.book)

    def keep_row(self, values, known, measure):
        # What measures is only for the reference: it is done here.
        self.row = CurrentRow(values, known)
        (<CurrentRow>self.row).measure(self.book)

    def traded(self, double signed_notional_usd):
        self.note_traded(signed_notional_usd)

    cdef void note_traded(self, double signed_notional_usd) noexcept:
        if signed_notional_usd >= 0.0:
            self.buy_usd += signed_notional_usd
        else:
            self.sell_usd -= signed_notional_usd
        self.changed = True

    def hear_book(self, long long received_at):
        self.note_book_heard(received_at)

    cdef void note_book_heard(self, long long received_at) noexcept:
        self.book_messages += 1
        if self.book_last_at != NEVER and received_at - self.book_last_at > self.book_gap_ns_max:
            self.book_gap_ns_max = received_at - self.book_last_at
        self.book_last_at = received_at

    def hear_trades(self, long long received_at):
        self.note_trades_heard(received_at)

    cdef void note_trades_heard(self, long long received_at) noexcept:
        self.trades_messages += 1
        if self.trades_last_at != NEVER and received_at - self.trades_last_at > self.trades_gap_ns_max:
            self.trades_gap_ns_max = received_at - self.trades_last_at
        self.trades_last_at = received_at

    def take_book_heard(self):
        heard = Heard(self.book_messages, self.book_last_at, self.book_gap_ns_max)
        self.book_messages = self.book_gap_ns_max = 0
        return heard

    def take_trades_heard(self):
        heard = Heard(self.trades_messages, self.trades_last_at, self.trades_gap_ns_max)
        self.trades_messages = self.trades_gap_ns_max = 0
        return heard

    @property
    def book_heard_at(self):
        return self.book_last_at

    def sampled(self, said):
        cdef Ladder bids = self.book.bids
        cdef Ladder asks = self.book.asks
        self.said = said
        self.touched = bids.count > 0 and asks.count > 0
        if self.touched:
            self.mid_then = (bids.prices[bids.count - 1] + asks.prices[asks.count - 1]) / 2.0
            self.bid_size_then = bids.touch_size()
            self.ask_size_then = asks.touch_size()
        self.changed = False
        self.updates = 0
        self.buy_usd = self.sell_usd = 0.0

    @property
    def has_turned(self):
        return self.turned()

    cdef bint turned(self) noexcept:
        cdef Ladder bids = self.book.bids
        cdef Ladder asks = self.book.asks
        cdef double mid
        if not self.touched or not bids.count or not asks.count:
            return False
        mid = (bids.prices[bids.count - 1] + asks.prices[asks.count - 1]) / 2.0
        if fabs(mid - self.mid_then) >= self.mid_then * TURN_BPS / 10_000.0:
            return True
        if bids.touch_size() < self.bid_size_then * TURN_RATIO:
            return True
        return asks.touch_size() < self.ask_size_then * TURN_RATIO

    @property
    def needs_attention(self):
        return self.attention()

    cdef bint attention(self) noexcept:
        return self.book.status_code() != self.said_code or self.turned()


include "_features.pxi"
