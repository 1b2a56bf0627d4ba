# Frames of Bybit: ``orderbook`` and ``publicTrade``.

from libc.stdint cimport int64_t
from adapters.exchanges._scan_frame cimport (
    DEPTH, TRADES, TRADES_MAX, Frame, Trade, amount, ended, equals_start, levels, milliseconds, name_of,
    once, taker_side,
)
from adapters.exchanges._scan_json cimport (
    Cursor, Text, equals, expect, integer, key, more, peek, skip, text, truth,
)

cdef enum:
    Y_TOPIC = 1
    Y_TYPE = 2
    Y_TS = 4
    Y_CTS = 8
    Y_DATA = 16
    Y_ID = 32
    Y_BIDS = 64
    Y_ASKS = 128
    Y_NUMBER = 256
    Y_SIDE = 512
    Y_PRICE = 1024
    Y_SIZE = 2048
    Y_BLOCK = 4096
    Y_DEPTH = Y_TOPIC | Y_TYPE | Y_DATA | Y_ID | Y_BIDS | Y_ASKS
    Y_TRADE = Y_NUMBER | Y_SIDE | Y_PRICE | Y_SIZE
    Y_IS_DELTA = 1
    Y_IS_OTHER = 2


cdef inline int bybit_topic(Cursor* c, Frame* f, int* kind) noexcept:
    """``orderbook.<levels>.<code>`` or ``publicTrade.<code>``."""
    cdef Text told
    cdef Py_ssize_t k
    if not text(c, &told):
        return 0
    if told.size > 12 and equals_start(&told, b"publicTrade.", 12):
        kind[0] = TRADES
        k = 12
    elif told.size > 10 and equals_start(&told, b"orderbook.", 10):
        kind[0] = DEPTH
        k = 10
        while k < told.size and c"0" <= told.at[k] <= c"9":
            k += 1
        if k == 10 or k >= told.size or told.at[k] != c".":
            return 0
        k += 1
    else:
        return 0
    f.code.at, f.code.size = told.at + k, told.size - k
    for k in range(f.code.size):
        if f.code.at[k] == c".":
            return 0
    return f.code.size > 0


cdef inline int bybit_book(Cursor* c, Frame* f, int* seen) noexcept:
    cdef Text name
    cdef int is_last = 0, is_read
    if not expect(c, c"{"):
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if equals(&name, b"b", 1):
            is_read = once(seen, Y_BIDS) and levels(c, &f.bids, 0)
        elif equals(&name, b"a", 1):
            is_read = once(seen, Y_ASKS) and levels(c, &f.asks, 0)
        elif equals(&name, b"u", 1):
            is_read = once(seen, Y_ID) and integer(c, &f.last_id)
        else:
            is_read = skip(c)
        if not is_read or not more(c, c"}", &is_last):
            return 0
    return 1


cdef inline int bybit_trade(Cursor* c, Trade* trade) noexcept:
    """A block trade was agreed outside of the book: it is remembered, and no flow."""
    cdef Text name
    cdef int is_last = 0, is_read, seen = 0, is_block = 0
    if not expect(c, c"{"):
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if equals(&name, b"i", 1):
            is_read = once(&seen, Y_NUMBER) and name_of(c, trade)
        elif equals(&name, b"S", 1):
            is_read = once(&seen, Y_SIDE) and taker_side(c, trade, b"Sell", b"Buy")
        elif equals(&name, b"p", 1):
            is_read = once(&seen, Y_PRICE) and amount(c, &trade.price)
        elif equals(&name, b"v", 1):
            is_read = once(&seen, Y_SIZE) and amount(c, &trade.size)
        elif equals(&name, b"BT", 2):
            is_read = once(&seen, Y_BLOCK) and truth(c, &is_block)
        else:
            is_read = skip(c)
        if not is_read or not more(c, c"}", &is_last):
            return 0
    trade.is_counted = not is_block
    return (seen & Y_TRADE) == Y_TRADE


cdef inline int bybit_trades(Cursor* c, Frame* f) noexcept:
    cdef int is_last = 0
    f.trades = 0
    if not expect(c, c"["):
        return 0
    while not is_last:
        if f.trades == TRADES_MAX or not bybit_trade(c, &f.trade[f.trades]):
            return 0
        f.trades += 1
        if not more(c, c"]", &is_last):
            return 0
    return 1


cdef inline int scan_bybit(Cursor* c, Frame* f) noexcept:
    cdef Text name, told
    cdef int is_last = 0, is_read, seen = 0, kind = 0, found = 0
    cdef int64_t pushed_ms = 0, matched_ms = 0
    if not expect(c, c"{"):
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if equals(&name, b"topic", 5):
            is_read = once(&seen, Y_TOPIC) and bybit_topic(c, f, &kind)
        elif equals(&name, b"type", 4):
            is_read = once(&seen, Y_TYPE) and text(c, &told)
        elif equals(&name, b"ts", 2):
            is_read = once(&seen, Y_TS) and milliseconds(c, &pushed_ms)
        elif equals(&name, b"cts", 3):
            is_read = once(&seen, Y_CTS) and milliseconds(c, &matched_ms)
        elif equals(&name, b"data", 4):
            found = DEPTH if peek(c) == c"{" else TRADES
            is_read = once(&seen, Y_DATA) and (bybit_book(c, f, &seen) if found == DEPTH else bybit_trades(c, f))
        else:
            is_read = skip(c)
        if not is_read or not more(c, c"}", &is_last):
            return 0
    if not ended(c) or found == 0 or found != kind:
        return 0
    f.kind = kind
    f.is_plain_trade = 0
    if kind == TRADES:
        return 1
    # An update of number 1 is a whole book, whatever it calls itself.
    if (seen & Y_DEPTH) != Y_DEPTH or f.last_id <= 1 or not equals(&told, b"delta", 5):
        return 0
    f.previous_id = f.last_id - 1
    f.exchange_ms = matched_ms if matched_ms else pushed_ms
    return 1
