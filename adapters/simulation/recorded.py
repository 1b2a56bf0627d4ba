"""Recorded raw frames (`<local timestamp> <json>` a line, plain or gzip) as a market source, and their writer."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import structlog

from adapters.simulation.source import Frame, FrameKind, MarketSource, OpeningBook, SymbolSpec
from adapters.simulation.wire import Envelope, decode_depth, decode_envelope, encode
from guard.errors import MalformedFrameError

LINES_BEFORE_SNAPSHOT_MAX = 200_000
GZIP_MAGIC = b"\x1f\x8b"
QUOTES = ("USDT", "USDC", "BUSD")

_KIND_OF = {
    "depth": FrameKind.DEPTH,
    "trade": FrameKind.TRADE,
    "aggtrade": FrameKind.AGGREGATE_TRADE,
    "bookticker": FrameKind.BOOK_TICKER,
    "markprice": FrameKind.MARK_PRICE,
    "forceorder": FrameKind.FORCED_ORDER,
    "openinterest": FrameKind.OPEN_INTEREST,
}
_STREAM_OF = {
    FrameKind.DEPTH: "depth@100ms",
    FrameKind.TRADE: "trade",
    FrameKind.AGGREGATE_TRADE: "aggTrade",
    FrameKind.BOOK_TICKER: "bookTicker",
    FrameKind.MARK_PRICE: "markPrice@1s",
    FrameKind.FORCED_ORDER: "forceOrder",
    FrameKind.OPEN_INTEREST: "openInterest",
}

_log = structlog.get_logger()


class RecordedSource:
    """A recording of Binance USD-M frames; each symbol needs one inline REST depth snapshot.

    A file that ends early, as an interrupted gzip does, plays up to the damage. A line that cannot be
    read is skipped and counted in ``lines_skipped``.
    """

    def __init__(self, path: Path) -> None:
        """Read as far as the snapshots.

        Raises:
            MalformedFrameError: there is no such file, or it holds no frame or no snapshot.
        """
        self.path = path
        self.lines_skipped = 0
        self._openings: dict[str, OpeningBook] = {}
        self._specs: dict[str, SymbolSpec] = {}
        self._scan()

    @property
    def specs(self) -> Sequence[SymbolSpec]:
        return tuple(self._specs.values())

    def opening(self, symbol: str) -> OpeningBook:
        return self._openings[symbol]

    def taken(self, symbol: str, side: str, size: Decimal, price: Decimal) -> None:
        """Ignore: the past does not react."""

    def frames(self, start_at_ns: int) -> Iterator[Frame]:  # noqa: ARG002 - it keeps its own times
        self.lines_skipped = 0
        for at_ns, envelope in self._lines():
            if envelope.stream is None:
                continue
            symbol, kind = _parse_stream(envelope.stream)
            if kind is None or symbol not in self._specs:
                continue
            yield Frame(at_ns, symbol, kind, bytes(envelope.data))

    def _scan(self) -> None:
        sizes: dict[str, list[str]] = {}
        symbols: list[str] = []
        for number, (_, envelope) in enumerate(self._lines()):
            if envelope.stream is not None:
                symbol, kind = _parse_stream(envelope.stream)
                if kind is not None and symbol not in symbols:
                    symbols.append(symbol)
                if kind is FrameKind.DEPTH:
                    update = decode_depth(envelope.data)
                    sizes.setdefault(symbol, []).extend(size for _, size in (*update.b, *update.a))
            elif envelope.lastUpdateId is not None:
                self._take_snapshot(envelope, symbols, sizes)
            if symbols and all(symbol in self._openings for symbol in symbols) and number > len(symbols) * 50:
                break
            if number > LINES_BEFORE_SNAPSHOT_MAX:
                break
        if not self._openings:
            raise MalformedFrameError(
                str(self.path),
                "holds no depth snapshot to seed a book with: record the REST answer inline, or choose another file",
            )

    def _take_snapshot(self, snapshot: Envelope, symbols: list[str], sizes: dict[str, list[str]]) -> None:
        symbol = snapshot.s or (symbols[-1] if len(symbols) == 1 else None)
        if symbol is None:
            raise MalformedFrameError(
                str(self.path),
                'a snapshot names no symbol ("s") and the recording has several or none before it',
            )
        if symbol in self._openings:
            return
        if symbol not in symbols:
            symbols.append(symbol)
        self._openings[symbol] = OpeningBook(
            cast("int", snapshot.lastUpdateId), snapshot.E, snapshot.bids, snapshot.asks
        )
        levels = (*snapshot.bids, *snapshot.asks)
        if not levels:
            raise MalformedFrameError(str(self.path), f"the snapshot of {symbol} is empty")
        self._specs[symbol] = _infer_spec(
            symbol, [price for price, _ in levels], [size for _, size in levels] + sizes.get(symbol, [])
        )

    def _lines(self) -> Iterator[tuple[int, Envelope]]:
        with ExitStack() as stack:
            try:
                stream = _open(self.path, stack)
            except OSError as error:
                raise MalformedFrameError(
                    str(self.path),
                    f"cannot be opened ({error.strerror or error}): name a recording of raw frames",
                ) from error
            try:
                for line in stream:
                    parsed = _parse_line(line)
                    if parsed is None:
                        self.lines_skipped += 1
                    else:
                        yield parsed
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                _log.warning("recording ends early", path=str(self.path), reason=str(error))


def recorded_source(path: Path) -> RecordedSource:
    """Open a recording.

    Raises:
        MalformedFrameError: the file is missing or holds nothing to replay.
    """
    return RecordedSource(path)


def write_recording(source: MarketSource, path: Path, *, start_at_ns: int = 1_700_000_000_000_000_000) -> int:
    """Save all frames of a source as a recording that ``recorded_source`` replays; gzip if named ``.gz``.

    Args:
        source: what to save.
        path: the file, replaced when all is written, never left half-written.
        start_at_ns: when the recording pretends to begin; a recorded source ignores it.

    Returns:
        the number of frames written.
    """
    part = path.with_name(path.name + ".part")
    count = 0
    with ExitStack() as stack:
        raw = stack.enter_context(part.open("wb"))
        out: BinaryIO = raw
        if path.suffix == ".gz":
            # Without a name and a time in its header, equal frames make equal files.
            out = cast("BinaryIO", stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0)))
        begun = False
        for frame in source.frames(start_at_ns):
            if not begun:
                _write_openings(source, frame.at_ns, out)
                begun = True
            stream = f"{frame.symbol.lower()}@{_STREAM_OF[frame.kind]}"
            out.write(b'%d {"stream":"%s","data":%s}\n' % (frame.at_ns, stream.encode(), frame.payload))
            count += 1
    part.replace(path)
    return count


def _write_openings(source: MarketSource, at_ns: int, out: BinaryIO) -> None:
    for spec in source.specs:
        opening = source.opening(spec.symbol)
        snapshot = {
            "lastUpdateId": opening.last_update_id,
            "E": opening.at_ms,
            "T": opening.at_ms,
            "s": spec.symbol,
            "bids": opening.bids,
            "asks": opening.asks,
        }
        out.write(b"%d %s\n" % (at_ns, encode(snapshot)))


def _open(path: Path, stack: ExitStack) -> BinaryIO:
    """Open plain or gzip, whichever it is; the stack closes both the file and the reader around it."""
    raw = stack.enter_context(path.open("rb"))
    magic = raw.read(2)
    raw.seek(0)
    if magic == GZIP_MAGIC:
        return cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=raw)))
    return raw


def _parse_line(line: bytes) -> tuple[int, Envelope] | None:
    stamp, _, text = line.partition(b" ")
    try:
        return _nanoseconds(int(stamp)), decode_envelope(text)
    except (ValueError, msgspec.MsgspecError):
        return None


def _nanoseconds(stamp: int) -> int:
    """Tell ns, us and ms apart by magnitude: recordings of 2023 carry us, later ones ns."""
    if stamp > 10**17:
        return stamp
    return stamp * (1_000 if stamp > 10**14 else 1_000_000)


def _parse_stream(stream: str) -> tuple[str, FrameKind | None]:
    symbol, _, channel = stream.partition("@")
    return symbol.upper(), _KIND_OF.get(channel.partition("@")[0].lower())


def _infer_spec(symbol: str, prices: list[str], sizes: list[str]) -> SymbolSpec:
    """Guess tick and step from the digits that are really used: ``61800.20`` with tick 0.1 ends in 0."""
    quote = next((quote for quote in QUOTES if symbol.endswith(quote)), "USDT")
    return SymbolSpec(
        symbol=symbol,
        base=symbol.removesuffix(quote) or symbol,
        quote=quote,
        tick=_finest(prices),
        step=_finest(sizes),
    )


def _finest(texts: list[str]) -> Decimal:
    digits = max(len(text.partition(".")[2].rstrip("0")) for text in texts)
    return Decimal(1).scaleb(-digits)
