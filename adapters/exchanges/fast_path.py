"""The short way of one connection's frames: its reader, and which markets that reader takes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from adapters.exchanges.frames import FrameReader, new_reader
from adapters.exchanges.repeats import Repeats
from adapters.exchanges.transport import Lane
from adapters.exchanges.venue import MarketSink
from guard.events import Stream
from guard.ports import Clock
from guard.units import Nanoseconds


class FastPath:
    """Puts markets onto the reader of a venue; where it has none, everything goes the long way.

    A market that is left, or whose stream is lost, need not be taken off: its book is disarmed then, and what is
    declined goes the long way, which knows what a socket is for. Its trades must be, where the next ones after a
    new subscription are those from before it.

    Args:
        venue_id: ccxt's id of the venue.
        sink: whose markets they are.
        clock: what time frames arrive.
        on_taken: called with the socket's URL and the time, once for all frames that were taken together.
    """

    def __init__(
        self, venue_id: str, sink: MarketSink, clock: Clock, on_taken: Callable[[str, Nanoseconds], None]
    ) -> None:
        self.reader: FrameReader | None = new_reader(venue_id)
        self._sink = sink
        self._lane: Lane | None = None
        self._repeats = Repeats()
        if self.reader is not None:
            self.reader.observed = sink.is_observed
            sink.on_reader(self.reader)
            self._lane = Lane(self.reader, clock.now, sink.on_attention, on_taken)

    def lane(self) -> Lane | None:
        """Where frames of any socket of the connection go first."""
        return self._lane

    def take_up(
        self,
        stream: Stream,
        symbols: Sequence[str],
        codes: Callable[[str], str],
        size: Callable[[str], float] = lambda _: 1.0,
    ) -> None:
        """Take depth (while a book is armed) or trades of these markets from now on; other streams never.

        Args:
            stream: which of the two.
            symbols: ccxt's names of them.
            codes: the venue's name of each.
            size: by symbol, see ``FrameReader.add_book``.
        """
        if self.reader is None or stream not in (Stream.BOOK, Stream.TRADES):
            return
        add = self.reader.add_book if stream is Stream.BOOK else self.reader.add_trades
        for symbol in symbols:
            if (found := self._sink.live(symbol)) is not None:
                add(codes(symbol), *found, contract_size=size(symbol))

    def leave_trades(self, code: str) -> None:
        """Have the trades of a market go the long way."""
        if self.reader is not None:
            self.reader.drop_trades(code)

    def is_repeat(self, code: str, name: Hashable, kind: str = "") -> bool:
        """Whether a trade that went the long way was counted before, on either way; see ``FrameReader``."""
        if self.reader is not None:
            return self.reader.is_repeat(code, name, kind)
        return self._repeats.is_repeat((code, kind), name)
