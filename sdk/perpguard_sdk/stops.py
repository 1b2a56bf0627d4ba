"""The safe order of a ``widen_stops``: reduce, read the size back, only then move the stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from perpguard_sdk.errors import SdkError
from perpguard_sdk.messages import Effect, StopRule, WidenStops


class CutNotConfirmedError(SdkError):
    """The position is still larger than asked for after the cut, so the stop was left where it is."""

    def __init__(self, size: float, max_size: float) -> None:
        super().__init__(f"the position is {size} after the cut, above {max_size}: the stop stays")
        self.size = size
        self.max_size = max_size


async def widen_stops_safely(
    command: WidenStops,
    *,
    cut: Callable[[float], Awaitable[object]],
    read_size: Callable[[], Awaitable[float]],
    move_stop: Callable[[StopRule], Awaitable[float | None]],
    size_tolerance: float = 1e-9,
) -> Effect:
    """Widen a stop so that risk never grows, not even between two steps.

    Args:
        command: what is asked for.
        cut: reduces the position to at most this absolute size in base units.
        read_size: reads the signed size afresh from the venue, never from memory.
        move_stop: moves the stop by the rule and returns its trigger price, ``None`` if there is none.
        size_tolerance: how far above ``max_size`` still counts as reached, in base units.

    Raises:
        CutNotConfirmedError: the size read back is too large; the stop was not touched.
        Exception: whatever ``cut`` or ``read_size`` raises; the stop was not touched.
    """
    before = await read_size()
    after = before
    if abs(before) > command.max_size + size_tolerance:
        await cut(command.max_size)
        after = await read_size()
        if abs(after) > command.max_size + size_tolerance:
            raise CutNotConfirmedError(abs(after), command.max_size)
    # A flat position needs no stop: a wide one left behind would be an order to enter on some venues.
    stop_price = await move_stop(command.stop) if after else None
    return Effect(size_before=before, size_after=after, stop_price_after=stop_price)
