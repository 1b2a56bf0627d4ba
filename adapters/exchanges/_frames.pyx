"""Reads raw frames of depth and trades in C, from the bytes into the book without a Python object between.

The fast twin of ``frames_reference``, held equal to it and to the long way by tests/adapters/exchanges/frames.
A frame is read to its end before anything is changed by it: see ``frames`` for what is taken and what is not.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_Check, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from adapters.exchanges._scan_binance cimport scan_binance
from adapters.exchanges._scan_bybit cimport scan_bybit
from adapters.exchanges._scan_frame cimport DEPTH, Frame, Side, hashed
from adapters.exchanges._scan_hyperliquid cimport scan_hyperliquid
from adapters.exchanges._scan_json cimport Cursor
from adapters.exchanges._scan_okx cimport scan_okx
from guard.market._compiled cimport CompiledBook, CompiledLive

from adapters.exchanges.frames import DECLINED as _DECLINED, TAKEN as _TAKEN, Timings
from adapters.exchanges.repeats import KEPT as _KEPT

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    KEPT = 256
    MEASURED_EVERY = 64  # a power of 2
    MEASUREMENTS_MAX = 1024  # kept until they are drained: of 65,000 frames, 6 s of the worst load

if KEPT != _KEPT:
    raise ImportError("this was built for another number of remembered trades: build it anew")

cdef int DECLINED = _DECLINED
cdef int TAKEN = _TAKEN

ctypedef int (*Scan)(Cursor*, Frame*) noexcept


cdef int _scan_binance(Cursor* c, Frame* f) noexcept:
    return scan_binance(c, f)


cdef int _scan_bybit(Cursor* c, Frame* f) noexcept:
    return scan_bybit(c, f)


cdef int _scan_okx(Cursor* c, Frame* f) noexcept:
    return scan_okx(c, f)


cdef int _scan_hyperliquid(Cursor* c, Frame* f) noexcept:
    return scan_hyperliquid(c, f)


cdef struct Names:
    # The last names that a stream of trades brought: ``repeats`` in C.
    uint64_t kept[KEPT]
    int count
    int oldest


cdef inline bint is_known(Names* names, uint64_t name) noexcept:
    cdef int k
    for k in range(names.count):
        if names.kept[k] == name:
            return True
    if names.count < KEPT:
        names.kept[names.count] = name
        names.count += 1
    else:
        names.kept[names.oldest] = name
        names.oldest = (names.oldest + 1) % KEPT
    return False


cdef class _Market:
    """What a reader keeps of one market."""

    cdef bytes code
    cdef uint64_t hash
    cdef CompiledLive book
    cdef int book_index
    cdef double book_size
    cdef CompiledLive flow
    cdef int flow_index
    cdef double flow_size
    cdef Names joined
    cdef Names plain

    def __cinit__(self, bytes code):
        self.code = code
        self.hash = hashed(PyBytes_AS_STRING(code), PyBytes_GET_SIZE(code))


cdef inline int64_t monotonic_ns() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef struct Measurements:
    int count
    int64_t ns[MEASUREMENTS_MAX]


cdef inline void measured(Measurements* kept, int64_t ns) noexcept:
    if kept.count < MEASUREMENTS_MAX:
        kept.ns[kept.count] = ns
        kept.count += 1


cdef list drained(Measurements* kept):
    cdef int k
    cdef list found = [kept.ns[k] for k in range(kept.count)]
    kept.count = 0
    return found


cdef class CompiledFrameReader:
    """A FrameReader (see ``frames``) of one venue, by ccxt's id of it."""

    cdef readonly str implementation
    cdef public long long taken
    cdef public long long declined
    cdef public bint observed
    cdef Scan scan
    cdef bint is_inverse
    cdef dict markets
    # By the hash of the code, open addressing; borrowed from ``markets``, which drops none.
    cdef PyObject** slots
    cdef size_t slots_mask
    cdef unsigned long long offered
    cdef Frame frame
    cdef Measurements decode
    cdef Measurements apply

    def __cinit__(self, str venue_id):
        self.implementation = "compiled"
        self.is_inverse = venue_id == "binancecoinm"
        if venue_id in ("binanceusdm", "binancecoinm"):
            self.scan = _scan_binance
        elif venue_id == "bybit":
            self.scan = _scan_bybit
        elif venue_id == "okx":
            self.scan = _scan_okx
        elif venue_id == "hyperliquid":
            self.scan = _scan_hyperliquid
        else:
            raise ValueError(f"there is no compiled reader of frames of {venue_id!r}")
        self.markets = {}
        self._place_all()

    def __dealloc__(self):
        PyMem_Free(self.slots)

    def add_book(self, str code, int index, CompiledLive live not None, *, double contract_size=1.0):
        _check(index, contract_size)
        cdef _Market market = self._market(code)
        market.book, market.book_index, market.book_size = live, index, contract_size

    def add_trades(self, str code, int index, CompiledLive live not None, *, double contract_size=1.0):
        _check(index, contract_size)
        cdef _Market market = self._market(code)
        market.flow, market.flow_index, market.flow_size = live, index, contract_size

    def drop(self, str code):
        cdef _Market market = self.markets.get(code)
        if market is not None:
            market.book = market.flow = None

    def drop_trades(self, str code):
        cdef _Market market = self.markets.get(code)
        if market is not None:
            market.flow = None

    def is_repeat(self, str code, name, str kind=""):
        cdef _Market market = self._market(code)
        cdef uint64_t number
        cdef bytes encoded
        if isinstance(name, str):
            encoded = (<str>name).encode("utf-8", "surrogatepass")
            number = hashed(PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))
        else:
            number = (name if isinstance(name, int) else hash(name)) & 0xFFFFFFFFFFFFFFFF
        return is_known(&market.plain if kind == "trade" else &market.joined, number)

    def drain_timings(self):
        return Timings(drained(&self.decode), drained(&self.apply))

    def take(self, frame, long long received_at):
        cdef const char* at
        cdef Py_ssize_t size = 0
        cdef Py_buffer view
        cdef int answer
        if PyUnicode_Check(frame):
            try:
                at = PyUnicode_AsUTF8AndSize(frame, &size)
            except UnicodeEncodeError:  # half of a surrogate pair: no text that came over a wire
                answer = DECLINED
            else:
                answer = self._take(at, size, True, received_at)
        elif PyBytes_Check(frame):
            answer = self._take(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), False, received_at)
        else:
            PyObject_GetBuffer(frame, &view, PyBUF_SIMPLE)
            try:
                answer = self._take(<const char*>view.buf, view.len, False, received_at)
            finally:
                PyBuffer_Release(&view)
        if answer == DECLINED:
            self.declined += 1
        else:
            self.taken += 1
        return answer

    def scanned(self, frame):
        """What a frame was read as, for tests: levels and trades as they were told, before any unit."""
        cdef bytes encoded = frame.encode() if isinstance(frame, str) else bytes(frame)
        cdef Frame* f = &self.frame
        cdef int k
        if not self._read(PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded), False):
            return None
        found = {"code": f.code.at[: f.code.size].decode()}
        if f.kind == DEPTH:
            return found | {
                "previous_id": f.previous_id,
                "last_id": f.last_id,
                "exchange_ms": f.exchange_ms,
                "bids": [(f.bids.prices[k], f.bids.sizes[k]) for k in range(f.bids.count)],
                "asks": [(f.asks.prices[k], f.asks.sizes[k]) for k in range(f.asks.count)],
            }
        trades = []
        for k in range(f.trades):
            trade = f.trade[k]
            trades.append((trade.name, trade.price, trade.size, bool(trade.sells), bool(trade.is_counted)))
        return found | {"trades": trades}

    cdef int _take(self, const char* at, Py_ssize_t size, bint is_text, long long received_at):
        cdef bint is_measured = self.offered % MEASURED_EVERY == 0
        cdef int64_t began_ns = 0, read_ns = 0
        cdef int answer
        self.offered += 1
        if is_measured:
            began_ns = monotonic_ns()
        if not self._read(at, size, is_text):
            return DECLINED
        if is_measured:
            read_ns = monotonic_ns()
            measured(&self.decode, read_ns - began_ns)
        if self.frame.kind != DEPTH:
            return self._count_trades(received_at)
        answer = self._apply(received_at)
        if is_measured and answer != DECLINED:
            measured(&self.apply, monotonic_ns() - read_ns)
        return answer

    cdef bint _read(self, const char* at, Py_ssize_t size, bint is_text):
        cdef Cursor cursor
        # What begins with a space is no JSON to ccxt.
        if size == 0 or at[0] != c"{":
            return False
        cursor.at, cursor.end, cursor.is_ascii = at, at + size, True
        if not self.scan(&cursor, &self.frame):
            return False
        if not (is_text or cursor.is_ascii):
            try:
                PyUnicode_DecodeUTF8(<char*>at, size, "strict")
            except UnicodeDecodeError:
                return False
        return True

    cdef int _apply(self, long long received_at) noexcept:
        """Put the diff that was read into its book, if it is the next one."""
        cdef Frame* frame = &self.frame
        cdef _Market market = self._found(frame.code.at, frame.code.size)
        cdef CompiledLive live
        if market is None or market.book is None:
            return DECLINED
        live = market.book
        if not live.armed or live.last_id != frame.previous_id or frame.last_id <= frame.previous_id:
            return DECLINED
        if not (
            in_base_units(&frame.bids, market.book_size, self.is_inverse)
            and in_base_units(&frame.asks, market.book_size, self.is_inverse)
        ):
            return DECLINED
        live.note_book_heard(received_at)
        live.book.apply_levels(
            frame.bids.prices, frame.bids.sizes, frame.bids.count,
            frame.asks.prices, frame.asks.sizes, frame.asks.count,
        )
        live.last_id = frame.last_id
        live.note_applied(received_at, frame.exchange_ms * 1000000 if frame.exchange_ms else -1)
        return market.book_index if self.observed or live.attention() else TAKEN

    cdef int _count_trades(self, long long received_at) noexcept:
        cdef Frame* frame = &self.frame
        cdef _Market market = self._found(frame.code.at, frame.code.size)
        cdef CompiledLive live
        cdef Names* names
        cdef double notional
        cdef int k
        if market is None or market.flow is None:
            return DECLINED
        live = market.flow
        names = &market.plain if frame.is_plain_trade else &market.joined
        for k in range(frame.trades):
            if is_known(names, frame.trade[k].name) or not frame.trade[k].is_counted:
                continue
            # In the order of the parsers' own arithmetic, so that sums are the same to the last bit.
            notional = frame.trade[k].price * frame.trade[k].size
            if self.is_inverse:
                notional = notional / frame.trade[k].price * market.flow_size
            else:
                notional = notional * market.flow_size
            live.note_trades_heard(received_at)
            live.note_traded(-notional if frame.trade[k].sells else notional)
        return TAKEN

    cdef _Market _market(self, str code):
        cdef _Market market = self.markets.get(code)
        if market is None:
            market = self.markets[code] = _Market(code.encode())
            self._place_all()
        return market

    cdef int _place_all(self) except -1:
        """Make the table anew, at most half full."""
        cdef size_t size = 64, at
        cdef PyObject** slots
        cdef _Market market
        while size < <size_t>len(self.markets) * 2:
            size *= 2
        slots = <PyObject**>PyMem_Calloc(size, sizeof(PyObject*))
        if slots == NULL:
            raise MemoryError
        for market in self.markets.values():
            at = market.hash & (size - 1)
            while slots[at] != NULL:
                at = (at + 1) & (size - 1)
            slots[at] = <PyObject*>market
        PyMem_Free(self.slots)
        self.slots, self.slots_mask = slots, size - 1
        return 0

    cdef _Market _found(self, const char* code, Py_ssize_t size):
        cdef uint64_t wanted = hashed(code, size)
        cdef size_t at = wanted & self.slots_mask
        cdef _Market market
        while self.slots[at] != NULL:
            market = <_Market>self.slots[at]
            if (
                market.hash == wanted
                and PyBytes_GET_SIZE(market.code) == size
                and memcmp(PyBytes_AS_STRING(market.code), code, size) == 0
            ):
                return market
            at = (at + 1) & self.slots_mask
        return None


cdef inline bint in_base_units(Side* side, double contract_size, bint is_inverse) noexcept:
    """Turn the sizes of levels to base units; False where one becomes larger than anything is."""
    cdef int k
    cdef double size
    if contract_size == 1.0 and not is_inverse:
        return True
    for k in range(side.count):
        size = side.sizes[k] * contract_size
        if is_inverse:
            size = size / side.prices[k]
        if not size <= 1e18:
            return False
        side.sizes[k] = size
    return True


cdef int _check(int index, double contract_size) except -1:
    if index < 0:
        raise ValueError(f"an index is a number from 0, not {index}")
    if not 0.0 < contract_size <= 1e18:
        raise ValueError(f"a contract counts a positive number of units, not {contract_size}")
    return 0
