"""How fast a market's price moves, up and down apart: now, and as fast as it must be reckoned with. No clock."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, exp2, log, log1p

from guard.units import NS_PER_MS, NS_PER_S, MarketId, Nanoseconds, symbol_of

HORIZONS_S = (10.0, 60.0)
"""A fall that has just begun shows over the shorter one, a steady slide over the longer; the faster counts."""

LASTS = 1.5
"""A move is expected to go on for so many times the horizon over which it was seen: one step is no slide."""

FOLD_NS = 500 * NS_PER_MS
"""Prices are taken up twice a second: between two of them only the last three are kept."""

STALE_NS = 60 * NS_PER_S
"""After so long without a price nothing is known of its speed."""

PRICE_MIN, PRICE_MAX = 1e-18, 1e18
"""What is beyond is no price of anything, and would make a ratio that is no number."""

WARM_NS = 10 * NS_PER_S

PEAK_HALF_LIFE_NS = 8 * 3600 * NS_PER_S
"""The fastest move is remembered as half as fast after eight hours: an eighth of it is left a day later."""

STRESSED_PER_S = {"BTC": -log1p(-0.131) / 720.0}
"""Log per second: Hyperliquid on 10 October 2025, BTC -13.1 % in 12 minutes (replay of its fills and liquidations in
the public repositories ConejoCapital/HyperMultiAssetedADL and HyperAnalyzeADL)."""

STRESSED_OTHERS_PER_S = -log1p(-0.26) / 720.0
"""The same day and source, SOL -26 % in 12 minutes: for every other coin, of which many fell faster."""


def stressed_floor(market: MarketId) -> float:
    """The least speed, log per second, that any market must be reckoned with: what has been seen before.

    >>> round(60e4 * stressed_floor(MarketId("hyperliquid:SOL/USDC:USDC")))  # bps a minute
    251
    """
    return STRESSED_PER_S.get(symbol_of(market).partition("/")[0], STRESSED_OTHERS_PER_S)


@dataclass(frozen=True, slots=True)
class Speeds:
    """Speeds of one market, log per second, never negative; ``None`` where too little has been seen.

    ``stressed_down`` and ``stressed_up`` are always known: they are never below ``stressed_floor``. ``slow_*`` are over
    the longer horizon alone, and ``slow_peak_*`` the fastest of those since long.
    """

    down: float | None
    up: float | None
    stressed_down: float
    stressed_up: float
    slow_down: float | None = None
    slow_up: float | None = None
    slow_peak_down: float = 0.0
    slow_peak_up: float = 0.0

    def lasting(self, within_s: float, *, down: bool) -> float:
        """The mean speed to be expected over the next ``within_s``: each horizon's move goes on for ``LASTS`` of it.

        >>> step = Speeds(down=0.003, up=0.0, stressed_down=0.003, stressed_up=0.001, slow_down=0.0005)
        >>> step.lasting(5.0, down=True), step.lasting(90.0, down=True)
        (0.003, 0.0005)
        """
        fast, slow = (self.down, self.slow_down) if down else (self.up, self.slow_up)
        return _over(fast or 0.0, slow or 0.0, within_s)

    def lasting_stressed(self, within_s: float, floor: float, *, down: bool) -> float:
        """The fastest mean speed over ``within_s`` that must be reckoned with; ``floor`` is what was seen elsewhere."""
        fast, slow = self.stressed_down, self.slow_peak_down
        if not down:
            fast, slow = self.stressed_up, self.slow_peak_up
        return max(floor, _over(fast, slow, within_s))


def _over(fast: float, slow: float, within_s: float) -> float:
    return max(
        each * min(1.0, LASTS * horizon_s / within_s) if within_s > 0.0 else each
        for each, horizon_s in zip((fast, slow), HORIZONS_S, strict=True)
    )


class PriceSpeed:
    """The speed of one market's price.

    For each horizon h the exponentially weighted velocity, signed::

        s <- s * a + (log(price / former) / dt) * (1 - a),   a = exp(-dt / h)

    which is exact for a price that moves evenly between two looks, so neither frequent nor rare prices favour
    anyone. Moves back and forth cancel: noise of standard deviation sigma a root second shows as about
    ``sigma / sqrt(2 h)``. Down is the largest of ``-s``, up the largest of ``s``, over horizons, and over mark and
    mid price, which are followed apart: their difference is no move. Stressed is the fastest since long, halving every
    ``PEAK_HALF_LIFE_NS``, and at least ``floor``.

    A price counts as the median of itself and the two before it: a single bad print never counts, and a move
    counts with its second price. Cost: a few attributes for most prices, the arithmetic twice a second.

    Assumptions: times do not fall (older ones are ignored). Failure modes: two bad prints in a row count; a market
    whose mark price comes every few seconds is seen to move that much later; after an outage the whole move counts
    as if it had been even.

    >>> speed = PriceSpeed(floor=0.0)
    >>> for second in range(120):
    ...     speed.observe(100.0 * exp(-1e-4 * second), second * 1_000_000_000)
    >>> now = speed.speeds(120_000_000_000)
    >>> round(now.down, 6), now.up
    (0.0001, 0.0)
    """

    __slots__ = ("_mark", "_mid", "floor")

    def __init__(self, *, floor: float = STRESSED_OTHERS_PER_S) -> None:
        self.floor = floor
        """The least that stressed speed may be, log per second; see ``stressed_floor``."""
        self._mark, self._mid = _Track(), _Track()

    @classmethod
    def of(cls, market: MarketId) -> PriceSpeed:
        """Start with nothing seen, by the floor of this market."""
        return cls(floor=stressed_floor(market))

    def observe(self, price: float, at: Nanoseconds) -> None:
        """Take a mark price, seen at ``at``; what is no price is ignored."""
        self._mark.see(at, price)

    def observe_mid(self, price: float, at: Nanoseconds) -> None:
        """Take a mid price, seen at ``at``; what is no price is ignored."""
        self._mid.see(at, price)

    def speeds(self, now: Nanoseconds) -> Speeds:
        """The speeds as of ``now``; asking changes nothing."""
        known = [track for track in (self._mark, self._mid) if track.is_known(now)]
        down = max((track.down for track in known), default=None)
        up = max((track.up for track in known), default=None)
        tracks = (self._mark, self._mid)
        return Speeds(
            down=down,
            up=up,
            stressed_down=max(self.floor, *(track.peak_down.left(now) for track in tracks), down or 0.0),
            stressed_up=max(self.floor, *(track.peak_up.left(now) for track in tracks), up or 0.0),
            slow_down=max((track.slow_down for track in known), default=None),
            slow_up=max((track.slow_up for track in known), default=None),
            slow_peak_down=max(track.slow_peak_down.left(now) for track in tracks),
            slow_peak_up=max(track.slow_peak_up.left(now) for track in tracks),
        )


class _Peak:
    """The fastest so far, slowly forgotten."""

    __slots__ = ("at", "value")

    def __init__(self) -> None:
        self.value, self.at = 0.0, 0

    def left(self, now: Nanoseconds) -> float:
        return self.value * exp2(-max(now - self.at, 0) / PEAK_HALF_LIFE_NS)

    def see(self, at: Nanoseconds, value: float) -> None:
        if value > 0.0 and (value >= self.value or value >= self.left(at)):
            self.value, self.at = value, at


class _Track:
    """One kind of price."""

    __slots__ = ("_before", "_due_at", "_fast", "_folded_at", "_last", "_price", "_slow",
                 "at", "down", "peak_down", "peak_up", "since", "slow_down", "slow_peak_down", "slow_peak_up",
                 "slow_up", "up")  # fmt: skip

    def __init__(self) -> None:
        self.at: Nanoseconds | None = None
        self.since: Nanoseconds | None = None
        self._last = self._before = self._price = 0.0
        self._folded_at = self._due_at = 0
        self._fast = self._slow = self.down = self.up = 0.0
        self.slow_down = self.slow_up = 0.0
        self.peak_down, self.peak_up = _Peak(), _Peak()
        self.slow_peak_down, self.slow_peak_up = _Peak(), _Peak()

    def is_known(self, now: Nanoseconds) -> bool:
        if self.at is None or self.since is None:
            return False
        return now - self.at <= STALE_NS and self._folded_at - self.since >= WARM_NS

    def see(self, at: Nanoseconds, price: float) -> None:
        if not PRICE_MIN < price < PRICE_MAX:
            return
        if self.at is None:
            self.at = self.since = at
            self._last = self._before = price
            self._due_at = at + FOLD_NS
            return
        if at < self.at:
            return
        first, second, self._before, self._last, self.at = self._before, self._last, self._last, price, at
        if at >= self._due_at:
            self._fold(at, _median(first, second, price))

    def _fold(self, at: Nanoseconds, price: float) -> None:
        former, self._price = self._price, price
        elapsed_s = (at - self._folded_at) / NS_PER_S
        self._folded_at, self._due_at = at, at + FOLD_NS
        if former == 0.0:
            return
        velocity = log(price / former) / elapsed_s
        kept = exp(-elapsed_s / HORIZONS_S[0])
        fast = self._fast = self._fast * kept + velocity * (1.0 - kept)
        kept = exp(-elapsed_s / HORIZONS_S[1])
        slow = self._slow = self._slow * kept + velocity * (1.0 - kept)
        self.up, self.down = max(fast, slow, 0.0), max(-fast, -slow, 0.0)
        self.peak_up.see(at, self.up)
        self.peak_down.see(at, self.down)
        self.slow_up, self.slow_down = max(slow, 0.0), max(-slow, 0.0)
        self.slow_peak_up.see(at, self.slow_up)
        self.slow_peak_down.see(at, self.slow_down)


def _median(first: float, second: float, third: float) -> float:
    return max(min(first, second), min(max(first, second), third))
