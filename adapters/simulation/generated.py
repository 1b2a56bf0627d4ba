"""A made-up market, equal frame by frame for an equal seed and start: calm, falling, or recovering."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from adapters.simulation import wire
from adapters.simulation.makers import STEP_S, Makers, SymbolShape
from adapters.simulation.scenarios import Course, Point, Scenario, course_of
from adapters.simulation.source import Frame, FrameKind, OpeningBook, SymbolSpec

FUNDING_INTERVAL_MS = 8 * 3600 * 1000
STEP_NS = 100_000_000
STEPS_PER_S = 10

_PRICES = {"BTCUSDT": 60_000.0, "ETHUSDT": 3_000.0, "SOLUSDT": 150.0, "BNBUSDT": 600.0, "XRPUSDT": 0.6}
_TICKS = {"BTCUSDT": "0.1", "ETHUSDT": "0.01", "SOLUSDT": "0.01", "BNBUSDT": "0.01", "XRPUSDT": "0.0001"}
_STEPS = {"BTCUSDT": "0.001", "ETHUSDT": "0.001", "SOLUSDT": "0.01", "BNBUSDT": "0.01", "XRPUSDT": "0.1"}


@dataclass(frozen=True, slots=True)
class _Rates:
    trades_per_s: float
    trade_usd: float
    forced_usd: float
    open_interest: float
    funding_rate: float


class GeneratedSource:
    """See ``generated_source``."""

    def __init__(
        self,
        course: Course,
        seed: int,
        shapes: Mapping[str, SymbolShape],
        rates: _Rates,
        duration_s: float,
        busy: int | None = None,
    ) -> None:
        self._course = course
        self._seed = seed
        self._shapes = dict(shapes)
        self._rates = rates
        self._duration_s = duration_s
        self._busy = frozenset(list(self._shapes)[:busy])
        self._openings = {symbol: self._opening(symbol) for symbol in self._shapes}

    @property
    def specs(self) -> Sequence[SymbolSpec]:
        return tuple(
            SymbolSpec(
                symbol=symbol,
                base=symbol.removesuffix("USDT"),
                tick=shape.tick,
                step=shape.step,
                funding_rate=Decimal(repr(self._rates.funding_rate)),
                open_interest=Decimal(str(round(self._open_interest(shape), 3))),
            )
            for symbol, shape in self._shapes.items()
        )

    def opening(self, symbol: str) -> OpeningBook:
        return self._openings[symbol]

    def taken(self, symbol: str, side: str, size: Decimal, price: Decimal) -> None:
        """Ignore: this market does not react; the venue keeps what was taken out of its own book."""

    def frames(self, start_at_ns: int) -> Iterator[Frame]:
        runs = [
            # The quiet ones not all at once.
            self._run(
                symbol, start_at_ns, *((1, 0) if symbol in self._busy else (STEPS_PER_S, at % STEPS_PER_S))
            )
            for at, symbol in enumerate(self._shapes)
        ]
        # The merge is stable, so equal times come in the order of the symbols: bit-equal for equal seeds.
        return heapq.merge(*runs, key=lambda frame: frame.at_ns)

    def _rng(self, symbol: str) -> Random:
        return Random(f"{self._seed}:{symbol}")  # noqa: S311 - a simulation, not a secret

    def _opening(self, symbol: str) -> OpeningBook:
        rng = self._rng(symbol)
        makers = Makers(self._shapes[symbol], rng)
        bids, asks = makers.levels()
        return OpeningBook(_first_update_id(self._seed), 0, bids, asks)

    def _open_interest(self, shape: SymbolShape) -> float:
        return self._rates.open_interest * 60_000.0 / shape.price_start

    def _run(self, symbol: str, start_at_ns: int, stride: int, first_step: int) -> Iterator[Frame]:
        """Make the frames of one symbol, which moves every ``stride`` steps from ``first_step`` on."""
        shape = self._shapes[symbol]
        rng = self._rng(symbol)
        makers = Makers(shape, rng)
        prints = _Prints(symbol, makers, rng, self._rates)
        update_id = _first_update_id(self._seed)
        funding_rate = self._rates.funding_rate
        mark = makers.mid
        for number in range(first_step, math.ceil(self._duration_s / STEP_S), stride):
            step_ns = start_at_ns + number * STEP_NS
            point = self._course.at(number * STEP_S)
            yield from prints.within(step_ns, point)
            at_ns = step_ns + STEP_NS
            at_ms = at_ns // 1_000_000
            bids, asks = makers.advance(point)
            first = update_id + rng.randint(1, 40)
            last = first + len(bids) + len(asks) + rng.randint(0, 200)
            payload = wire.depth_update(symbol, at_ms, (first, last, update_id), bids, asks)
            update_id = last
            yield Frame(at_ns, symbol, FrameKind.DEPTH, payload)
            bid, ask = makers.best()
            yield Frame(at_ns, symbol, FrameKind.BOOK_TICKER, wire.book_ticker(symbol, at_ms, last, bid, ask))
            # The mark follows mid with a lag of about half a second, as an index of several venues does.
            mark += (makers.mid - mark) * 0.2
            if number % STEPS_PER_S == first_step:
                funding_rate += rng.gauss(0.0, 1e-6) - (1.0 - point.price_ratio) * 2e-6
                yield self._mark_frame(symbol, at_ns, mark, funding_rate, rng)
                amount = (
                    self._open_interest(shape)
                    * (1.0 - 0.7 * (1.0 - point.price_ratio))
                    * (1.0 + rng.gauss(0.0, 2e-4))
                )
                yield Frame(
                    at_ns, symbol, FrameKind.OPEN_INTEREST, wire.open_interest(symbol, at_ms, f"{amount:.3f}")
                )

    def _mark_frame(self, symbol: str, at_ns: int, mark: float, funding_rate: float, rng: Random) -> Frame:
        at_ms = at_ns // 1_000_000
        index = mark * (1.0 + rng.gauss(0.0, 5e-6))
        next_funding_ms = (at_ms // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
        payload = wire.mark_price(
            symbol, at_ms, f"{mark:.8f}", f"{index:.8f}", f"{funding_rate:.8f}", next_funding_ms
        )
        return Frame(at_ns, symbol, FrameKind.MARK_PRICE, payload)


class _Prints:
    """Trades and forced orders between two steps, at the touch of the former step."""

    def __init__(self, symbol: str, makers: Makers, rng: Random, rates: _Rates) -> None:
        self._symbol = symbol
        self._makers = makers
        self._rng = rng
        self._rates = rates
        self._number = 1_000_000
        self._forced_not_before_ns = 0

    def within(self, step_ns: int, point: Point) -> Iterator[Frame]:
        rng = self._rng
        count = _poisson(rng, self._rates.trades_per_s * point.trade_ratio * STEP_S)
        offsets = sorted(rng.randrange(1_000_000, STEP_NS - 1_000_000) for _ in range(count))
        for offset in offsets:
            sells = rng.random() < point.sell_share
            usd = self._rates.trade_usd * math.exp(rng.gauss(-0.5, 1.0))
            yield self._trade(step_ns + offset, usd, sells=sells)
        forced = point.forced_per_s > 0.0 and rng.random() < point.forced_per_s * STEP_S
        # Binance publishes at most one liquidation a symbol and second.
        if forced and step_ns >= self._forced_not_before_ns:
            self._forced_not_before_ns = step_ns + 1_000_000_000
            usd = self._rates.forced_usd * math.exp(rng.gauss(-0.5, 1.0))
            at_ns = step_ns + STEP_NS - 500_000
            yield self._forced(at_ns, usd)
            yield self._trade(at_ns, usd, sells=True)

    def _trade(self, at_ns: int, usd: float, *, sells: bool) -> Frame:
        makers = self._makers
        self._number += 1
        payload = wire.trade(
            self._symbol,
            at_ns // 1_000_000,
            self._number,
            makers.price_text(makers.bid_ticks if sells else makers.ask_ticks),
            makers.size_text(usd / makers.mid),
            buyer_is_maker=sells,
        )
        return Frame(at_ns, self._symbol, FrameKind.TRADE, payload)

    def _forced(self, at_ns: int, usd: float) -> Frame:
        makers = self._makers
        price = makers.price_text(makers.bid_ticks)
        payload = wire.forced_order(
            self._symbol, at_ns // 1_000_000, "SELL", makers.size_text(usd / makers.mid), price, price
        )
        return Frame(at_ns, self._symbol, FrameKind.FORCED_ORDER, payload)


def generated_source(
    scenario: str,
    *,
    seed: int,
    symbols: Sequence[str] = ("BTCUSDT",),
    duration_s: float = 60.0,
    fall_ratio: float = 0.10,
    calm_share: float = 0.4,
    thinning_s: float = 8.0,
    depth_left_ratio: float = 0.15,
    prices_start: Mapping[str, float] | None = None,
    depth_10bps_usd: float = 3_000_000.0,
    spread_bps: float = 0.5,
    volatility_bps: float = 0.9,
    trades_per_s: float = 8.0,
    trade_usd: float = 4_000.0,
    forced_usd: float = 60_000.0,
    open_interest: float = 80_000.0,
    funding_rate: float = 0.0001,
    busy: int | None = None,
) -> GeneratedSource:
    """Make up a market.

    Depth diffs come every 100 ms, marks and open interest every second. About 640 levels reach 260 bps.

    Args:
        scenario: ``calm``, ``fall``, ``recover`` or ``waves``.
        seed: equal seeds (and starts) give equal frames, bit for bit.
        symbols: Binance's names; all take the same course, each with its own noise.
        duration_s: market time.
        fall_ratio: size of the fall (``recover`` falls 0.6 of it).
        calm_share: part of the duration before depth begins to thin.
        thinning_s: how long depth thins before price gives way.
        depth_left_ratio: what is left of the depth in the fall.
        prices_start: by symbol; a few have a default, the others start at 100.
        depth_10bps_usd: resting within 10 bps of the touch on each side, when calm.
        spread_bps: when calm.
        volatility_bps: standard deviation of mid in one second.
        trades_per_s: when calm.
        trade_usd: mean size of a trade.
        forced_usd: mean size of a forced order.
        open_interest: of a symbol priced at 60,000, base units; others by notional.
        funding_rate: per interval of eight hours, at the start.
        busy: how many of the symbols, from the first on, move at full pace; the others move once a second, with
            a tenth of the trades, so that a venue of hundreds of markets takes one core no more than a third.

    Raises:
        ValueError: the scenario is unknown or a number makes no market.
    """
    if not symbols:
        raise ValueError("symbols: name at least one")
    if not 0.0 < fall_ratio < 0.9:
        raise ValueError(f"fall_ratio: {fall_ratio} is not between 0 and 0.9")
    if duration_s <= 0.0 or depth_10bps_usd <= 0.0 or trades_per_s < 0.0:
        raise ValueError("duration_s and depth_10bps_usd must be above 0, trades_per_s not below")
    course = course_of(
        Scenario(scenario),
        duration_s,
        fall_ratio=fall_ratio,
        calm_share=calm_share,
        thinning_s=thinning_s,
        depth_left_ratio=depth_left_ratio,
    )
    starts = {symbol: (prices_start or {}).get(symbol, _PRICES.get(symbol, 100.0)) for symbol in symbols}
    shapes = {
        symbol: SymbolShape(
            price_start=price,
            tick=_tick(symbol, price),
            step=Decimal(_STEPS.get(symbol, "0.001")),
            depth_10bps_usd=depth_10bps_usd,
            spread_bps=spread_bps,
            volatility_bps=volatility_bps,
        )
        for symbol, price in starts.items()
    }
    rates = _Rates(trades_per_s, trade_usd, forced_usd, open_interest, funding_rate)
    return GeneratedSource(course, seed, shapes, rates, duration_s, busy)


def symbol_names(count: int) -> tuple[str, ...]:
    """Names of so many symbols: first those that are known by name, then made-up ones.

    >>> symbol_names(6)
    ('BTCUSDT', 'ETHUSDT', 'SOLUSDT', 'BNBUSDT', 'XRPUSDT', 'COIN005USDT')
    """
    return tuple([*_PRICES, *(f"COIN{number:03d}USDT" for number in range(len(_PRICES), count))][:count])


def _tick(symbol: str, price: float) -> Decimal:
    """About a tenth of a basis point or finer, a power of ten."""
    known = _TICKS.get(symbol)
    if known is not None:
        return Decimal(known)
    return Decimal(1).scaleb(math.floor(math.log10(price * 1e-5)))


def _first_update_id(seed: int) -> int:
    return 5_000_000_000_000 + seed % 1_000_000


def _poisson(rng: Random, mean: float) -> int:
    """Knuth's method; the mean is a handful at most."""
    limit = math.exp(-mean)
    count, product = 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
