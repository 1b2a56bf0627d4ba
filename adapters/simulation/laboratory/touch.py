"""What rests on the best few prices of a side: asked each step, so compiled where there is a compiler (touch.pxd)."""

from __future__ import annotations

from adapters.simulation.laboratory.book import OrderBook


def touch_lots(book: OrderBook, side: int, levels: int) -> int:
    """Return the lots on the best ``levels`` prices of a side (+1 bids, -1 asks)."""
    total = 0
    tick = book.best_bid if side > 0 else book.best_ask
    while levels > 0 and 0 < tick < book.ticks:
        total += book.lots_at(side, tick)
        tick = book.next_bid(tick) if side > 0 else book.next_ask(tick)
        levels -= 1
    return total
