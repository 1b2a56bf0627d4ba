# Frames of OKX: ``books`` and ``trades``.

from adapters.exchanges._scan_frame cimport (
    DEPTH, TRADES, TRADES_MAX, Frame, Trade, amount, ended, levels, name_of, once, taker_side,
    text_milliseconds,
)
from adapters.exchanges._scan_json cimport Cursor, Text, equals, expect, integer, key, more, skip, text

cdef enum:
    O_ARGUMENT = 1
    O_ACTION = 2
    O_DATA = 4
    O_CHANNEL = 8
    O_CODE = 16
    O_BIDS = 32
    O_ASKS = 64
    O_ID = 128
    O_PREVIOUS = 256
    O_TIME = 512
    O_NUMBER = 1024
    O_SIDE = 2048
    O_PRICE = 4096
    O_SIZE = 8192
    O_HEAD = O_ARGUMENT | O_CHANNEL | O_CODE | O_DATA
    O_BOOK = O_BIDS | O_ASKS | O_ID | O_PREVIOUS
    O_TRADE = O_NUMBER | O_SIDE | O_PRICE | O_SIZE


cdef inline int okx_argument(Cursor* c, Frame* f, int* seen) noexcept:
    cdef Text name, told
    cdef int is_last = 0, is_read
    if not expect(c, c"{"):
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if equals(&name, b"channel", 7):
            is_read = once(seen, O_CHANNEL) and text(c, &told)
            if is_read:
                f.kind = DEPTH if equals(&told, b"books", 5) else TRADES
                is_read = f.kind == DEPTH or equals(&told, b"trades", 6)
        elif equals(&name, b"instId", 6):
            is_read = once(seen, O_CODE) and text(c, &f.code) and f.code.size > 0
        else:
            is_read = skip(c)
        if not is_read or not more(c, c"}", &is_last):
            return 0
    return 1


cdef inline int okx_row(Cursor* c, Frame* f, Trade* trade, int* seen) noexcept:
    """A diff or a trade: what it is, is told elsewhere in the frame."""
    cdef Text name
    cdef int is_last = 0, is_read
    trade.is_counted = 1
    f.exchange_ms = 0
    if not expect(c, c"{"):
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if equals(&name, b"bids", 4):
            is_read = once(seen, O_BIDS) and levels(c, &f.bids, 1)
        elif equals(&name, b"asks", 4):
            is_read = once(seen, O_ASKS) and levels(c, &f.asks, 1)
        elif equals(&name, b"ts", 2):
            is_read = once(seen, O_TIME) and text_milliseconds(c, &f.exchange_ms)
        elif equals(&name, b"prevSeqId", 9):
            is_read = once(seen, O_PREVIOUS) and integer(c, &f.previous_id)
        elif equals(&name, b"seqId", 5):
            is_read = once(seen, O_ID) and integer(c, &f.last_id)
        elif equals(&name, b"tradeId", 7):
            is_read = once(seen, O_NUMBER) and name_of(c, trade)
        elif equals(&name, b"side", 4):
            is_read = once(seen, O_SIDE) and taker_side(c, trade, b"sell", b"buy")
        elif equals(&name, b"px", 2):
            is_read = once(seen, O_PRICE) and amount(c, &trade.price)
        elif equals(&name, b"sz", 2):
            is_read = once(seen, O_SIZE) and amount(c, &trade.size)
        else:
            is_read = skip(c)
        if not is_read or not more(c, c"}", &is_last):
            return 0
    return 1


cdef inline int okx_rows(Cursor* c, Frame* f, int* common) noexcept:
    """All rows; ``common`` is what each of them tells."""
    cdef int is_last = 0, seen
    common[0] = -1
    f.trades = 0
    if not expect(c, c"["):
        return 0
    while not is_last:
        seen = 0
        if f.trades == TRADES_MAX or not okx_row(c, f, &f.trade[f.trades], &seen):
            return 0
        common[0] &= seen
        f.trades += 1
        if not more(c, c"]", &is_last):
            return 0
    return 1


cdef inline int scan_okx(Cursor* c, Frame* f) noexcept:
    cdef Text name, action
    cdef int is_last = 0, is_read, seen = 0, told = 0
    f.is_plain_trade = 0
    if not expect(c, c"{"):
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if equals(&name, b"arg", 3):
            is_read = once(&seen, O_ARGUMENT) and okx_argument(c, f, &seen)
        elif equals(&name, b"action", 6):
            is_read = once(&seen, O_ACTION) and text(c, &action)
        elif equals(&name, b"data", 4):
            is_read = once(&seen, O_DATA) and okx_rows(c, f, &told)
        elif equals(&name, b"event", 5):
            is_read = 0
        else:
            is_read = skip(c)
        if not is_read or not more(c, c"}", &is_last):
            return 0
    if (seen & O_HEAD) != O_HEAD or not ended(c):
        return 0
    if f.kind == TRADES:
        return (told & O_TRADE) == O_TRADE
    # One that stands still, or goes back after maintenance, is for those who know the rules.
    return (
        f.trades == 1
        and (told & O_BOOK) == O_BOOK
        and seen & O_ACTION
        and equals(&action, b"update", 6)
        and f.last_id > f.previous_id
    )
