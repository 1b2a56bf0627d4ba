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


# Memory


@cython.final
cdef class Store:
    # Prices, then sizes, in one piece of memory. A view keeps it alive when the ladder has moved to a larger one.
    cdef double *data
    cdef Py_ssize_t room
    cdef Py_ssize_t shape
    cdef object floats

    def __cinit__(self, Py_ssize_t room):
        self.data = <double *>PyMem_Malloc(2 * room * sizeof(double))
        if self.data == NULL:
            raise MemoryError
        self.room = room
        self.shape = 2 * room
        self.floats = None

    def __dealloc__(self):
        PyMem_Free(self.data)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        # Bytes and no more: numpy is told what they are. It asks for writable ones first.
        if flags & PyBUF_WRITABLE:
            raise BufferError("a book is changed through its methods only")
        buffer.buf = self.data
        buffer.obj = self
        buffer.len = self.shape * <Py_ssize_t>sizeof(double)
        buffer.readonly = 1
        buffer.itemsize = 1
        buffer.format = NULL
        buffer.ndim = 1
        buffer.shape = NULL
        buffer.strides = NULL
        buffer.suboffsets = NULL
        buffer.internal = NULL


cdef struct Batch:
    # Levels that were read and checked, in the order in which they came.
    double *prices
    double *sizes
    Py_ssize_t count
    Py_ssize_t room

cdef Batch _bids_read, _asks_read
_bids_read.prices = _bids_read.sizes = _asks_read.prices = _asks_read.sizes = NULL
_bids_read.room = _asks_read.room = _bids_read.count = _asks_read.count = 0


cdef int make_room(Batch *batch, Py_ssize_t count) except -1:
    cdef double *grown
    if count <= batch.room:
        return 0
    count += count // 2 + 64
    grown = <double *>PyMem_Realloc(batch.prices, count * sizeof(double))
    if grown == NULL:
        raise MemoryError
    batch.prices = grown
    grown = <double *>PyMem_Realloc(batch.sizes, count * sizeof(double))
    if grown == NULL:
        raise MemoryError
    batch.sizes = grown
    batch.room = count
    return 0


# Reading levels as Python gives them


cdef bint number_of(PyObject *value, double *number):
    # Only what has one plain meaning; everything else is the reference's to judge.
    cdef const char *text
    cdef char *end
    cdef Py_ssize_t size
    if PyFloat_Check(<object>value):
        number[0] = PyFloat_AS_DOUBLE(<object>value)
        return True
    try:
        if PyUnicode_CheckExact(<object>value):
            text = PyUnicode_AsUTF8AndSize(<object>value, &size)
            number[0] = PyOS_string_to_double(text, &end, NULL)
            return end == text + size
        if PyLong_CheckExact(<object>value):
            number[0] = PyLong_AsDouble(<object>value)
            return True
    except (ValueError, OverflowError):
        return False
    return False


cdef bint read_plainly(object levels, Batch *batch) except -1:
    # False if anything is other than lists of two numbers that can be a level.
    cdef Py_ssize_t at, count
    cdef bint in_list = PyList_Check(levels)
    cdef PyObject *pair
    cdef PyObject *first
    cdef PyObject *second
    cdef double price, size
    if not in_list and not PyTuple_Check(levels):
        return False
    count = PyList_GET_SIZE(levels) if in_list else PyTuple_GET_SIZE(levels)
    make_room(batch, count)
    for at in range(count):
        pair = <PyObject *>PyList_GET_ITEM(levels, at) if in_list else <PyObject *>PyTuple_GET_ITEM(levels, at)
        if PyList_Check(<object>pair):
            if PyList_GET_SIZE(<object>pair) != 2:
                return False
            first = <PyObject *>PyList_GET_ITEM(<object>pair, 0)
            second = <PyObject *>PyList_GET_ITEM(<object>pair, 1)
        elif PyTuple_Check(<object>pair):
            if PyTuple_GET_SIZE(<object>pair) != 2:
                return False
            first = <PyObject *>PyTuple_GET_ITEM(<object>pair, 0)
            second = <PyObject *>PyTuple_GET_ITEM(<object>pair, 1)
        else:
            return False
        if not number_of(first, &price) or not number_of(second, &size):
            return False
        if not (0.0 < price <= LARGEST and 0.0 <= size <= LARGEST):
            return False
        batch.prices[at] = price
        batch.sizes[at] = size
    batch.count = count
    return True


cdef bint read_array(object levels, Batch *batch) except -1:
    # An (n, 2) array of doubles; False if it is another, or holds what cannot be a level.
    cdef Py_buffer view
    cdef const char *row
    cdef Py_ssize_t at
    cdef double price, size
    cdef bint read = False
    PyObject_GetBuffer(levels, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    try:
        if view.ndim == 2 and view.shape[1] == 2 and view.format != NULL and strcmp(view.format, "d") == 0:
            make_room(batch, view.shape[0])
            row = <const char *>view.buf
            read = True
            for at in range(view.shape[0]):
                price = (<const double *>row)[0]
                size = (<const double *>(row + view.strides[1]))[0]
                if not (0.0 < price <= LARGEST and 0.0 <= size <= LARGEST):
                    read = False
                    break
                batch.prices[at] = price
                batch.sizes[at] = size
                row += view.strides[0]
            batch.count = view.shape[0]
    finally:
        PyBuffer_Release(&view)
    return read


cdef int read_levels(object levels, Batch *batch, str name, str where) except -1:
    cdef Py_ssize_t at
    cdef double price, size
    if type(levels) is ndarray:
        if read_array(levels, batch):
            return 0
    elif read_plainly(levels, batch):
        return 0
    prices, sizes = _reference.parse_levels(levels, name, where)
    make_room(batch, len(prices))
    at = 0
    for price, size in zip(prices.tolist(), sizes.tolist()):
        batch.prices[at] = price
        batch.sizes[at] = size
        at += 1
    batch.count = at
    return 0


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

    cdef Py_ssize_t place(self, double price) noexcept:
        """Index of the first level that is not worse than ``price``, looked for from the touch."""
        cdef const double *prices = self.prices
        cdef Py_ssize_t high = self.count, step = 8, low = high - step, half, span
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

    cdef bint put(self, double price, double size) noexcept:
        """Set, insert or delete one level; False without memory."""
        cdef Py_ssize_t at = self.place(price), after
        if at < self.count and self.prices[at] == price:
            if size != 0.0:
                self.sizes[at] = size
                return True
            after = self.count - at - 1
            memmove(self.prices + at, self.prices + at + 1, after * sizeof(double))
            memmove(self.sizes + at, self.sizes + at + 1, after * sizeof(double))
            self.count -= 1
            return True
        if size == 0.0:
            return True
        if self.count == self.room and not self.reserve(self.count + 1):
            return False
        after = self.count - at
        memmove(self.prices + at + 1, self.prices + at, after * sizeof(double))
        memmove(self.sizes + at + 1, self.sizes + at, after * sizeof(double))
        self.prices[at] = price
        self.sizes[at] = size
        self.count += 1
        return True

    cdef bint merge(self, const double *prices, const double *sizes, Py_ssize_t count) noexcept:
        """Take changes in the order in which they came; False without memory."""
        cdef Py_ssize_t at
        if count >= MERGED_MIN:
            return self.merge_sorted(prices, sizes, count)
        for at in range(count):
            if not self.put(prices[at], sizes[at]):
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


# Features


cdef enum:
    POINTS_MAX = 64
    COSTS_MAX = 16

cdef struct Measured:
    # One side; NaN stands for None, and is given to nobody.
    double curve[POINTS_MAX]
    double costs[COSTS_MAX]
    double visible_bps
    double visible_usd
    double slope_usd
    double slope_kappa

cdef int POINTS = len(CURVE_BPS)
cdef int COSTS = len(NOTIONALS_USD)
assert POINTS <= POINTS_MAX and COSTS <= COSTS_MAX
cdef double[POINTS_MAX] _curve, _curve_over, _curve_log
cdef double[COSTS_MAX] _notionals
cdef int _at
for _at in range(POINTS):
    _curve[_at] = CURVE_BPS[_at]
    _curve_over[_at] = _liquidity.OVER[_at]
    _curve_log[_at] = log(_curve[_at])
for _at in range(COSTS):
    _notionals[_at] = NOTIONALS_USD[_at]

cdef double BPS_PER_UNIT = 10_000.0
cdef double KAPPA_PRIOR = _liquidity.KAPPA_PRIOR
cdef double KAPPA_MIN = _liquidity.KAPPA_MIN
cdef double KAPPA_MAX = _liquidity.KAPPA_MAX
cdef double PRIOR_WEIGHT = _liquidity.KAPPA_PRIOR_WEIGHT
cdef double OBSERVED_BPS_MIN = _liquidity.OBSERVED_BPS_MIN
cdef double ANCHOR_BPS_MIN = _liquidity.ANCHOR_BPS_MIN
cdef double WITHIN = _liquidity.WITHIN
cdef double REACH_BPS_MAX = _liquidity.REACH_BPS_MAX
cdef int _balance_at = CURVE_BPS.index(_liquidity.IMBALANCE_BPS)

# Notional (as prices) and base (as sizes) up to each level, best first: of the book that is being measured.
cdef Batch _bid_sums, _ask_sums
_bid_sums.prices = _bid_sums.sizes = _ask_sums.prices = _ask_sums.sizes = NULL
_bid_sums.room = _bid_sums.count = _ask_sums.room = _ask_sums.count = 0


cdef inline double distance_at(const double *best, Py_ssize_t at, double mid, double scale) noexcept:
    return fabs(best[-at] - mid) * scale


cdef Py_ssize_t count_within(
    const double *best, Py_ssize_t start, Py_ssize_t end, double mid, double scale, double bound
) noexcept:
    """How many levels are not farther than ``bound``, of which ``start`` are known to be; looked for from there."""
    cdef Py_ssize_t low = start, high, step = 4, middle
    while low + step <= end and distance_at(best, low + step - 1, mid, scale) <= bound:
        low += step
        step *= 2
    high = min(low + step, end)
    while low < high:
        middle = (low + high) >> 1
        if distance_at(best, middle, mid, scale) <= bound:
            low = middle + 1
        else:
            high = middle
    return low


cdef struct Extent:
    # How far one side is looked at, best first: levels that are complete, and levels that are counted.
    const double *best
    const double *best_size
    double visible_bps
    double observed_bps
    Py_ssize_t visible
    Py_ssize_t observed
    Py_ssize_t summed


cdef void find_extent(Ladder side, double mid, bint ends, double end, Extent *out) noexcept:
    cdef Py_ssize_t total = side.count
    cdef double scale = BPS_PER_UNIT / mid, away, last_bps
    cdef const double *best = side.prices + total - 1
    out.best, out.best_size = best, side.sizes + total - 1
    last_bps = distance_at(best, total - 1, mid, scale)
    out.visible_bps = last_bps
    if ends:
        away = end - mid if best[0] >= mid else mid - end
        out.visible_bps = min(last_bps, max(away, 0.0) * BPS_PER_UNIT / mid)
    out.visible = total
    if last_bps > out.visible_bps * WITHIN:
        out.visible = count_within(best, 0, total, mid, scale, out.visible_bps * WITHIN)
    out.observed_bps = max(out.visible_bps, min(OBSERVED_BPS_MIN, last_bps))
    out.observed = max(count_within(best, out.visible, total, mid, scale, out.observed_bps * WITHIN), 1)
    out.summed = max(out.visible, out.observed)


cdef int sum_up(const Extent *bids, const Extent *asks) except -1:
    # Notional and base up to each level. Both sides in one loop: each addition waits for the one before it, and the
    # other side's are done meanwhile.
    cdef Py_ssize_t at, common = min(bids.summed, asks.summed)
    cdef double bid_usd = 0.0, bid_base = 0.0, ask_usd = 0.0, ask_base = 0.0
    cdef double *bid_usd_to
    cdef double *bid_base_to
    cdef double *ask_usd_to
    cdef double *ask_base_to
    make_room(&_bid_sums, bids.summed)
    make_room(&_ask_sums, asks.summed)
    bid_usd_to, bid_base_to = _bid_sums.prices, _bid_sums.sizes
    ask_usd_to, ask_base_to = _ask_sums.prices, _ask_sums.sizes
    for at in range(common):
        bid_usd += bids.best[-at] * bids.best_size[-at]
        ask_usd += asks.best[-at] * asks.best_size[-at]
        bid_base += bids.best_size[-at]
        ask_base += asks.best_size[-at]
        bid_usd_to[at], bid_base_to[at] = bid_usd, bid_base
        ask_usd_to[at], ask_base_to[at] = ask_usd, ask_base
    for at in range(common, bids.summed):
        bid_usd += bids.best[-at] * bids.best_size[-at]
        bid_base += bids.best_size[-at]
        bid_usd_to[at], bid_base_to[at] = bid_usd, bid_base
    for at in range(common, asks.summed):
        ask_usd += asks.best[-at] * asks.best_size[-at]
        ask_base += asks.best_size[-at]
        ask_usd_to[at], ask_base_to[at] = ask_usd, ask_base
    return 0


cdef void measure_side(const Extent *extent, const Batch *sums, double mid, Measured *out) noexcept:
    """What ``side_features`` says, from the sums."""
    cdef Py_ssize_t observed = extent.observed, start = 0
    cdef double scale = BPS_PER_UNIT / mid, anchor_bps, anchor_usd, exponent, slope_usd
    cdef double[POINTS_MAX] counted
    cdef int point
    anchor_bps = max(
        extent.observed_bps, distance_at(extent.best, observed - 1, mid, scale), ANCHOR_BPS_MIN
    )
    anchor_usd = sums.prices[observed - 1]
    for point in range(POINTS):
        if start < observed:
            start = count_within(extent.best, start, observed, mid, scale, _curve_over[point])
        counted[point] = sums.prices[start - 1] if start else 0.0
    exponent, out.slope_kappa = KAPPA_PRIOR, NAN
    if observed >= 3:
        exponent = out.slope_kappa = fit_kappa(counted, anchor_bps, anchor_usd)
    slope_usd = anchor_usd / pow(anchor_bps, exponent)
    for point in range(POINTS):
        if anchor_bps < _curve[point]:
            out.curve[point] = max(slope_usd * exp(exponent * _curve_log[point]), anchor_usd)
        else:
            out.curve[point] = counted[point]
    out.slope_usd = slope_usd if observed >= 3 else NAN
    out.visible_bps = extent.visible_bps
    out.visible_usd = sums.prices[extent.visible - 1] if extent.visible else 0.0
    slippages(extent.best, sums.prices, sums.sizes, extent.visible, mid, out)


cdef double fit_kappa(const double *counted, double anchor_bps, double anchor_usd) noexcept:
    cdef double across = 0.0, along = 0.0, x, y, fitted, anchor_log = log(anchor_bps)
    cdef int point
    for point in range(POINTS):
        if anchor_bps <= _curve[point]:
            break
        if counted[point] > 0.0:
            x = _curve_log[point] - anchor_log
            y = log(counted[point] / anchor_usd)
            across += x * y
            along += x * x
    fitted = (across + PRIOR_WEIGHT * KAPPA_PRIOR) / (along + PRIOR_WEIGHT)
    return min(max(fitted, KAPPA_MIN), KAPPA_MAX)


cdef void slippages(
    const double *best, const double *usd_to, const double *base_to, Py_ssize_t count, double mid, Measured *out
) noexcept:
    cdef double wanted, cost, before_usd, before_base, vwap, least = 0.0
    cdef Py_ssize_t low = 0, high, middle
    cdef int at
    for at in range(COSTS):
        wanted = _notionals[at]
        if wanted > out.visible_usd:
            out.costs[at] = NAN
            continue
        high = count
        while low < high:
            middle = (low + high) >> 1
            if usd_to[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        before_usd = usd_to[low - 1] if low else 0.0
        before_base = base_to[low - 1] if low else 0.0
        vwap = wanted / (before_base + (wanted - before_usd) / best[-low])
        cost = fabs(vwap / mid - 1.0) * BPS_PER_UNIT
        # Rounding must not make a larger order cheaper than a smaller one.
        least = max(least, cost)
        out.costs[at] = least


cdef tuple floats_of(const double *numbers, int count):
    # NaN stands for None.
    cdef tuple made = PyTuple_New(count)
    cdef object number
    cdef int at
    for at in range(count):
        number = None if isnan(numbers[at]) else numbers[at]
        Py_INCREF(number)
        PyTuple_SET_ITEM(made, at, number)
    return made


cdef object side_of(const Measured *measured):
    cdef bint fitted = not isnan(measured.slope_kappa)
    return BookSide(
        curve_usd=floats_of(measured.curve, POINTS),
        visible_bps=measured.visible_bps,
        visible_usd=measured.visible_usd,
        slippage_bps=floats_of(measured.costs, COSTS),
        slope_usd=measured.slope_usd if fitted else None,
        slope_kappa=measured.slope_kappa if fitted else None,
    )


cdef double balance_of(const Measured *bids, const Measured *asks) noexcept:
    cdef double bid = bids.curve[_balance_at], ask = asks.curve[_balance_at], total = bid + ask
    return min(max((bid - ask) / total, -1.0), 1.0) if total > 0.0 else 0.0


cdef int measure_book(CompiledBook book, object bid_end, object ask_end, Measured *bids, Measured *asks) except -1:
    cdef double mid = (book.bids.prices[book.bids.count - 1] + book.asks.prices[book.asks.count - 1]) / 2.0
    cdef Extent bid_extent, ask_extent
    if bid_end is None:
        find_extent(book.bids, mid, book.bids.bounded, book.bids.horizon, &bid_extent)
    else:
        find_extent(book.bids, mid, True, bid_end, &bid_extent)
    if ask_end is None:
        find_extent(book.asks, mid, book.asks.bounded, book.asks.horizon, &ask_extent)
    else:
        find_extent(book.asks, mid, True, ask_end, &ask_extent)
    sum_up(&bid_extent, &ask_extent)
    measure_side(&bid_extent, &_bid_sums, mid, bids)
    measure_side(&ask_extent, &_ask_sums, mid, asks)
    return 0


def sides_of(CompiledBook book not None, bid_end, ask_end):
    """Both sides measured, and their imbalance; ends are prices up to which they are complete, or None."""
    cdef Measured bids, asks
    if not book.bids.count or not book.asks.count:
        raise ValueError(f"{book.where}: a side without levels cannot be measured")
    measure_book(book, bid_end, ask_end, &bids, &asks)
    return side_of(&bids), side_of(&asks), balance_of(&bids, &asks)


# The curve of a side that was measured


@cython.final
cdef class CompiledCurve:
    """The fast twin of ``guard.market.liquidity.PlainCurve``, number for number."""

    cdef double[POINTS_MAX + 2] x
    cdef double[POINTS_MAX + 2] usd
    cdef int last
    cdef double kappa

    def __init__(self, side):
        cdef tuple curve = side.curve_usd
        cdef double visible_bps = side.visible_bps, visible_usd = side.visible_usd, low, high, number
        cdef object kappa = side.slope_kappa
        cdef int point, at = 0, made = 1
        if len(curve) != POINTS:
            raise ValueError(f"a curve has {POINTS} points, not {len(curve)}")
        self.kappa = KAPPA_PRIOR if kappa is None else kappa
        self.x[0] = self.usd[0] = 0.0
        # The exact last visible point joins the grid where it fits into it without breaking monotony.
        while at < POINTS and _curve[at] < visible_bps:
            at += 1
        low = <double>curve[at - 1] if at else 0.0
        high = <double>curve[at] if at < POINTS else INFINITY
        joins = visible_bps > 0.0 and (at == POINTS or _curve[at] > visible_bps) and low <= visible_usd <= high
        for point in range(POINTS + 1):
            if point == at and joins:
                self.x[made], self.usd[made] = visible_bps, visible_usd
                made += 1
            if point < POINTS:
                number = curve[point]
                self.x[made], self.usd[made] = _curve[point], number
                made += 1
        self.last = made - 1

    cpdef double depth(self, double bps):
        cdef int at = 0
        cdef double share
        if bps <= 0.0:
            return 0.0
        if bps > self.x[self.last]:
            return self.usd[self.last] * pow(min(bps, REACH_BPS_MAX) / self.x[self.last], self.kappa)
        while self.x[at] < bps:
            at += 1
        share = (bps - self.x[at - 1]) / (self.x[at] - self.x[at - 1])
        return self.usd[at - 1] + (self.usd[at] - self.usd[at - 1]) * share

    cpdef double reach(self, double usd):
        cdef int at = 0
        cdef double share
        if usd <= 0.0:
            return 0.0
        if usd > self.usd[self.last]:
            if self.usd[self.last] <= 0.0 or self.x[self.last] >= REACH_BPS_MAX:
                return REACH_BPS_MAX
            return min(self.x[self.last] * pow(usd / self.usd[self.last], 1.0 / self.kappa), REACH_BPS_MAX)
        while self.usd[at] < usd:
            at += 1
        share = (usd - self.usd[at - 1]) / (self.usd[at] - self.usd[at - 1])
        return self.x[at - 1] + (self.x[at] - self.x[at - 1]) * share

    cpdef double integral(self, double low_usd, double high_usd, double floor_bps):
        """Integrate ``max(reach, floor_bps)`` over USD, in USD * bps."""
        cdef double total = 0.0, start = min(low_usd, high_usd), end, stop = max(low_usd, high_usd)
        cdef int at = 0
        while start < stop:
            while at <= self.last and self.usd[at] <= start:
                at += 1
            end = min(self.usd[at], stop) if at <= self.last else stop
            if start >= self.usd[self.last]:
                total += self.integral_beyond(start, end, floor_bps)
            else:
                # Reach jumps where the curve is flat: the segment starts behind the jump.
                after = self.x[at - 1] if at and self.usd[at - 1] == start else self.reach(start)
                total += floored_mean(after, self.reach(end), floor_bps) * (end - start)
            start = end
        return total

    cdef double integral_beyond(self, double start, double end, double floor_bps):
        cdef double last_usd = self.usd[self.last], last_bps = self.x[self.last], power, law_end, scale, area
        if last_usd <= 0.0:
            return REACH_BPS_MAX * (end - start)
        power = 1.0 / self.kappa
        law_end = min(max(last_usd * pow(REACH_BPS_MAX / last_bps, self.kappa), start), end)
        scale = last_bps / pow(last_usd, power)
        area = scale * (pow(law_end, power + 1.0) - pow(start, power + 1.0)) / (power + 1.0)
        area = max(area, floor_bps * (law_end - start))
        return area + REACH_BPS_MAX * (end - law_end)


cdef double floored_mean(double low, double high, double floor) noexcept:
    cdef double below
    if floor <= low or high <= low:
        return max((low + high) / 2.0, floor) if high > low else max(low, floor)
    if floor >= high:
        return floor
    below = (floor - low) / (high - low)
    return below * floor + (1.0 - below) * (floor + high) / 2.0


# Many books at once


cdef struct Row:
    double *values
    char *known


cdef inline void tell(Row *row, double value) noexcept:
    # NaN stands for what is not known.
    row.known[0] = not isnan(value)
    row.values[0] = value if row.known[0] else 0.0
    row.known += 1
    row.values += 1


cdef void tell_side(Row *row, const Measured *side) noexcept:
    cdef int at
    tell(row, side.visible_bps)
    tell(row, side.visible_usd)
    tell(row, side.slope_usd)
    tell(row, side.slope_kappa)
    for at in range(COSTS):
        tell(row, side.costs[at])
    for at in range(POINTS):
        tell(row, side.curve[at])


def measure_books(books, ends, values, known):
    """See ``guard.market.matrix.measure_into``; False, and nothing done, if any book is not a compiled one."""
    cdef Py_buffer numbers, flags
    cdef Py_ssize_t row_at = 0, columns = 3 + 2 * (4 + COSTS + POINTS)
    cdef Measured bids, asks
    cdef CompiledBook book
    cdef Row row
    for other in books:
        if type(other) is not CompiledBook:
            return False
    PyObject_GetBuffer(values, &numbers, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
    try:
        PyObject_GetBuffer(known, &flags, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        try:
            cells = len(books) * columns
            if numbers.len != cells * <Py_ssize_t>sizeof(double) or flags.len != cells:
                raise ValueError(f"{len(books)} books need {cells} cells")
            for row_at, book in enumerate(books):
                row.values = <double *>numbers.buf + row_at * columns
                row.known = <char *>flags.buf + row_at * columns
                if book.status_code() != OK:
                    memset(row.values, 0, columns * sizeof(double))
                    memset(row.known, 0, columns)
                    continue
                bid_end, ask_end = (None, None) if ends is None else ends[row_at]
                measure_book(book, bid_end, ask_end, &bids, &asks)
                tell(&row, book.bids.prices[book.bids.count - 1])
                tell(&row, book.asks.prices[book.asks.count - 1])
                tell(&row, balance_of(&bids, &asks))
                tell_side(&row, &bids)
                tell_side(&row, &asks)
        finally:
            PyBuffer_Release(&flags)
    finally:
        PyBuffer_Release(&numbers)
    return True
