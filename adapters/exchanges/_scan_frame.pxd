# Reads one whole frame of a venue into a ``Frame``, or answers 0: it is declined, whatever it is.
#
# Which fields are read, and what they may hold, is what the venue's ``payloads`` reads; what they would refuse or
# read in another way (a number for a text, a null, a key that comes twice) is declined. Order of keys is free.

from libc.stdint cimport int64_t, uint64_t

from adapters.exchanges._scan_json cimport (
    Cursor, Text, _skip_scalar, equals, expect, integer, integer_of_text, key, more, peek, skip, text,
    text_number, truth,
)

cdef enum:
    LEVELS_MAX = 4096  # of a side: no book holds more
    TRADES_MAX = 1024  # Bybit's own limit of a frame, and the largest of any

cdef enum:
    DEPTH = 1
    TRADES = 2

cdef struct Side:
    int count
    double prices[LEVELS_MAX]
    double sizes[LEVELS_MAX]

cdef struct Trade:
    uint64_t name  # the venue's number of it, or the hash of its text
    double price
    double size
    int sells
    int is_counted  # what was agreed outside of the book is known, but no flow

cdef struct Frame:
    int kind
    Text code
    int64_t previous_id
    int64_t last_id
    int64_t exchange_ms  # 0 where it is not told
    Side bids
    Side asks
    int is_plain_trade  # Binance numbers ``trade`` and ``aggTrade`` apart
    int trades
    Trade trade[TRADES_MAX]


cdef inline uint64_t hashed(const char* at, Py_ssize_t size) noexcept:
    """FNV-1a of a text: two of the last 256 that differ share one with a chance of 256 in 2^64."""
    cdef uint64_t found = 0xCBF29CE484222325ULL
    cdef Py_ssize_t k
    for k in range(size):
        found = (found ^ <unsigned char>at[k]) * 0x100000001B3ULL
    return found


cdef inline int once(int* seen, int bit) noexcept:
    """Whether a key comes for the first time; which of two the long way believes is not ours to say."""
    if seen[0] & bit:
        return 0
    seen[0] |= bit
    return 1


cdef inline int levels(Cursor* c, Side* side, int has_extras) noexcept:
    """A list of prices and sizes; where ``has_extras``, levels have more fields, which are of no use."""
    cdef int is_last = 0, count = 0
    cdef double price = 0.0, size = 0.0
    side.count = 0
    if not expect(c, c"["):
        return 0
    if peek(c) == c"]":
        c.at += 1
        return 1
    while not is_last:
        if count == LEVELS_MAX or not expect(c, c"["):
            return 0
        if not (text_number(c, &price) and expect(c, c",") and text_number(c, &size)):
            return 0
        while has_extras and peek(c) == c",":
            c.at += 1
            if not _skip_scalar(c):
                return 0
        if not expect(c, c"]") or not (0.0 < price <= 1e18 and size <= 1e18):
            return 0
        side.prices[count] = price
        side.sizes[count] = size
        count += 1
        if not more(c, c"]", &is_last):
            return 0
    side.count = count
    return 1


cdef inline int amount(Cursor* c, double* out) noexcept:
    """A price or size of a trade."""
    return text_number(c, out) and 0.0 < out[0] <= 1e18


cdef inline int milliseconds(Cursor* c, int64_t* out) noexcept:
    """A time; in nanoseconds it must fit 64 bits."""
    return integer(c, out) and out[0] <= 9000000000000LL


cdef inline int ended(Cursor* c) noexcept:
    """Whether nothing follows but space."""
    return peek(c) == 0 and c.at == c.end


cdef inline int text_milliseconds(Cursor* c, int64_t* out) noexcept:
    cdef Text told
    return text(c, &told) and integer_of_text(&told, out) and out[0] <= 9000000000000LL


cdef inline int taker_side(Cursor* c, Trade* trade, const char* sell, const char* buy) noexcept:
    """Who took, by the venue's two words for it."""
    cdef Text told
    if not text(c, &told):
        return 0
    trade.sells = equals(&told, sell, 4)
    return trade.sells or equals(&told, buy, 3)


cdef inline int name_of(Cursor* c, Trade* trade) noexcept:
    cdef Text told
    if not text(c, &told):
        return 0
    trade.name = hashed(told.at, told.size)
    return 1


cdef inline int equals_start(const Text* told, const char* wanted, Py_ssize_t size) noexcept:
    cdef Text start
    start.at, start.size = told.at, size
    return told.size >= size and equals(&start, wanted, size)
