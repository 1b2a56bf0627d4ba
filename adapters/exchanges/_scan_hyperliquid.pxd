# Frames of Hyperliquid: trades alone. Its books come whole and are joined with coarser ones, the long way.

from libc.stdint cimport int64_t, uint64_t
from adapters.exchanges._scan_frame cimport TRADES, TRADES_MAX, Frame, Trade, amount, ended, once
from adapters.exchanges._scan_json cimport Cursor, Text, equals, expect, integer, key, more, skip, text

cdef enum:
    H_CHANNEL = 1
    H_DATA = 2
    H_COIN = 4
    H_SIDE = 8
    H_PRICE = 16
    H_SIZE = 32
    H_NUMBER = 64
    H_TRADE = H_COIN | H_SIDE | H_PRICE | H_SIZE | H_NUMBER


cdef inline int hyperliquid_trade(Cursor* c, Text* coin, Trade* trade) noexcept:
    cdef Text name, side
    cdef int is_last = 0, is_read, seen = 0
    cdef int64_t number = 0
    trade.is_counted = 1
    if not expect(c, c"{"):
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if equals(&name, b"coin", 4):
            is_read = once(&seen, H_COIN) and text(c, coin) and coin.size > 0
        elif equals(&name, b"side", 4):
            is_read = once(&seen, H_SIDE) and text(c, &side)
        elif equals(&name, b"px", 2):
            is_read = once(&seen, H_PRICE) and amount(c, &trade.price)
        elif equals(&name, b"sz", 2):
            is_read = once(&seen, H_SIZE) and amount(c, &trade.size)
        elif equals(&name, b"tid", 3):
            is_read = once(&seen, H_NUMBER) and integer(c, &number)
        else:
            is_read = skip(c)
        if not is_read or not more(c, c"}", &is_last):
            return 0
    if (seen & H_TRADE) != H_TRADE:
        return 0
    trade.name = <uint64_t>number
    trade.sells = equals(&side, b"A", 1)
    return trade.sells or equals(&side, b"B", 1)


cdef inline int hyperliquid_trades(Cursor* c, Frame* f) noexcept:
    """Trades of one coin: of several at once none was ever seen."""
    cdef int is_last = 0
    cdef Text coin
    f.trades = 0
    if not expect(c, c"["):
        return 0
    while not is_last:
        if f.trades == TRADES_MAX or not hyperliquid_trade(c, &coin, &f.trade[f.trades]):
            return 0
        if f.trades == 0:
            f.code = coin
        elif not equals(&coin, f.code.at, f.code.size):
            return 0
        f.trades += 1
        if not more(c, c"]", &is_last):
            return 0
    return 1


cdef inline int scan_hyperliquid(Cursor* c, Frame* f) noexcept:
    cdef Text name, channel
    cdef int is_last = 0, is_read, seen = 0
    f.kind = TRADES
    f.is_plain_trade = 0
    if not expect(c, c"{"):
        return 0
    while not is_last:
        if not key(c, &name):
            return 0
        if equals(&name, b"channel", 7):
            is_read = once(&seen, H_CHANNEL) and text(c, &channel) and equals(&channel, b"trades", 6)
        elif equals(&name, b"data", 4):
            is_read = once(&seen, H_DATA) and hyperliquid_trades(c, f)
        else:
            is_read = skip(c)
        if not is_read or not more(c, c"}", &is_last):
            return 0
    return seen == (H_CHANNEL | H_DATA) and ended(c)
