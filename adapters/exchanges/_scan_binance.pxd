# Frames of Binance, USD-M and COIN-M: ``depthUpdate``, ``aggTrade`` and ``trade``, bare or in the envelope of
# combined streams.

from libc.stdint cimport int64_t, uint64_t
from adapters.exchanges._scan_frame cimport DEPTH, TRADES, Frame, amount, ended, levels, milliseconds, once
from adapters.exchanges._scan_json cimport (
    Cursor, Text, equals, expect, integer, key, more, peek, skip, text, truth,
)

cdef enum:
    B_EVENT = 1
    B_CODE = 2
    B_FIRST = 4
    B_LAST = 8
    B_PREVIOUS = 16
    B_BIDS = 32
    B_ASKS = 64
    B_TIME = 128
    B_PRICE = 256
    B_SIZE = 512
    B_MAKER = 1024
    B_NUMBER = 2048  # of a joined trade
    B_PLAIN_NUMBER = 4096
    B_KIND = 8192
    B_DATA = 16384
    B_A = 32768  # the key, whatever it holds
    B_B = 65536
    B_DEPTH = B_EVENT | B_CODE | B_FIRST | B_LAST | B_PREVIOUS | B_BIDS | B_ASKS
    B_TRADE = B_EVENT | B_CODE | B_PRICE | B_SIZE | B_MAKER
    B_IS_DEPTH = 1
    B_IS_JOINED = 2
    B_IS_PLAIN = 3


cdef struct BinanceBody:
    int event
    int seen
    int64_t first_id
    int64_t number
    int64_t plain_number
    double price
    double size
    int maker_bought
    int is_market


cdef inline int binance_event(Cursor* c, BinanceBody* body) noexcept:
    cdef Text told
    if not once(&body.seen, B_EVENT) or not text(c, &told):
        return 0
    if equals(&told, b"depthUpdate", 11):
        body.event = B_IS_DEPTH
    elif equals(&told, b"aggTrade", 8):
        body.event = B_IS_JOINED
    elif equals(&told, b"trade", 5):
        body.event = B_IS_PLAIN
    else:
        return 0
    return 1


cdef inline int binance_letter(Cursor* c, char letter, BinanceBody* body, Frame* f) noexcept:
    """The value of a key of one letter; whose meaning the event decides, is read by what it looks like."""
    cdef Text told
    if letter == c"e":
        return binance_event(c, body)
    if letter == c"s":
        return once(&body.seen, B_CODE) and text(c, &f.code) and f.code.size > 0
    if letter == c"b":
        if not once(&body.seen, B_B):
            return 0
        if peek(c) != c"[":
            return skip(c)
        return once(&body.seen, B_BIDS) and levels(c, &f.bids, 0)
    if letter == c"a":
        if not once(&body.seen, B_A):
            return 0
        if peek(c) == c"[":
            return once(&body.seen, B_ASKS) and levels(c, &f.asks, 0)
        return once(&body.seen, B_NUMBER) and integer(c, &body.number)
    if letter == c"T":
        return once(&body.seen, B_TIME) and milliseconds(c, &f.exchange_ms)
    if letter == c"U":
        return once(&body.seen, B_FIRST) and integer(c, &body.first_id)
    if letter == c"u":
        return once(&body.seen, B_LAST) and integer(c, &f.last_id)
    if letter == c"t":
        return once(&body.seen, B_PLAIN_NUMBER) and integer(c, &body.plain_number)
    if letter == c"p":
        return once(&body.seen, B_PRICE) and amount(c, &body.price)
    if letter == c"q":
        return once(&body.seen, B_SIZE) and amount(c, &body.size)
    if letter == c"m":
        return once(&body.seen, B_MAKER) and truth(c, &body.maker_bought)
    if letter == c"X":
        if not once(&body.seen, B_KIND) or not text(c, &told):
            return 0
        body.is_market = equals(&told, b"MARKET", 6)
        return 1
    return skip(c)


cdef inline int binance_body(Cursor* c, BinanceBody* body, Frame* f, int may_wrap) noexcept:
    """An event, or the envelope of combined streams around one."""
    cdef Text name
    cdef int is_last = 0
    if not expect(c, c"{") or peek(c) == c"}":
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if name.size <= 2 and may_wrap and body.seen & B_DATA:
            return 0  # beside the body in an envelope there is nothing of it
        if name.size == 1:
            if not binance_letter(c, name.at[0], body, f):
                return 0
        elif equals(&name, b"pu", 2):
            if not once(&body.seen, B_PREVIOUS) or not integer(c, &f.previous_id):
                return 0
        elif equals(&name, b"data", 4):
            # In a body it would be wrapped twice; after a letter, or again, it is not told which is meant.
            if not may_wrap or body.seen:
                return 0
            if not binance_body(c, body, f, 0):
                return 0
            body.seen |= B_DATA
        elif not skip(c):
            return 0
        if not more(c, c"}", &is_last):
            return 0
    return 1


cdef inline int scan_binance(Cursor* c, Frame* f) noexcept:
    cdef BinanceBody body
    cdef int is_plain
    body.event = body.seen = 0
    body.is_market = 1
    f.exchange_ms = 0
    if not binance_body(c, &body, f, 1) or not ended(c):
        return 0
    if body.event == B_IS_DEPTH:
        f.kind = DEPTH
        return (body.seen & B_DEPTH) == B_DEPTH
    is_plain = body.event == B_IS_PLAIN
    if (body.seen & B_TRADE) != B_TRADE or not body.seen & (B_PLAIN_NUMBER if is_plain else B_NUMBER):
        return 0
    f.kind = TRADES
    f.is_plain_trade = is_plain
    f.trades = body.is_market  # of the insurance fund or a deleveraging nothing is remembered either
    f.trade[0].name = <uint64_t>(body.plain_number if is_plain else body.number)
    f.trade[0].price, f.trade[0].size = body.price, body.size
    f.trade[0].sells = body.maker_bought  # the buyer was the maker, so the taker sold
    f.trade[0].is_counted = 1
    return 1
