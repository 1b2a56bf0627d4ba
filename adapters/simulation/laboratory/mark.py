"""Index, mark price, premium and funding rate of one book, after Binance's rules of September 2025.

    mark    = median(price 1, price 2, last price)
    price 1 = index * (1 + funding rate * time left to the next funding / interval)
    price 2 = index + the mean of (bid + ask) / 2 - index over the last 30 s, measured each second
    premium = (max(0, bid - index) - max(0, index - ask)) / index, measured each second
    rate    = P + clamp(interest - P, -clamp, clamp), then between -cap and cap

P is the premium's average since the last funding, in which the n-th measurement counts n times. Both from Binance's
support pages "Mark Price in USD-margined futures" (FAQ 360033525071) and on funding rates (FAQ 360033525031), with the
change from a basis of a minute to one of 30 s from 18 September 2025, as announced on 16 September 2025; Bybit's differ
in details. Bid and ask stand for Binance's impact prices, which are those of an order of some thousand USD: at a book
that holds so much at its best prices they are the same.

The index is what the symbol costs in the rest of the world. A venue that is cut off hears of that late, and its own
spot market, which follows its own perpetual, is part of its index (``index_of``): there a book that falls draws its own
index along. Compiled where there is a compiler (mark.pxd), and the same numbers as it is.
"""

from __future__ import annotations

from array import array

from adapters.simulation.laboratory.parameters import FundingParameters

BASIS_POINTS_N = 30
"""Measurements in the average of price 2, one a second."""

SECOND_MS = 1_000

OWN_SHARE = 0.3
"""Weight of a venue's own spot market in its index while nothing at all comes in from others. Assumed: published
weights of one source lie between a tenth and a half."""

OWN_AWAY_MAX = 0.05
"""A source of the index counts as no farther than 5 % from the others, as Binance limits it."""

PPB = 1_000_000_000


def index_of(world_price: float, own_mid: float, arbitrage: float) -> float:
    """Return a venue's index.

    Args:
        world_price: of the rest of the world; in any unit, the same for all.
        own_mid: the middle of the venue's book, 0 where it has none.
        arbitrage: how much of its usual arbitrage does here, 0..1; at 1 the index is the world's price.

    >>> index_of(100.0, 96.0, 1.0), index_of(100.0, 96.0, 0.0), index_of(100.0, 50.0, 0.0)
    (100.0, 98.8, 98.5)
    """
    if own_mid <= 0.0 or arbitrage >= 1.0:
        return world_price
    away = own_mid / world_price - 1.0
    away = min(max(away, -OWN_AWAY_MAX), OWN_AWAY_MAX)
    return world_price * (1.0 + OWN_SHARE * (1.0 - arbitrage) * away)


class Mark:
    """Mark price and funding of one book; prices in ticks or USD, whichever it is given.

    Call ``step`` once a step, with any step: what is measured each second is measured in the first step of a second.

    Attributes:
        mark: the mark price; the index before the first step.
        index: as it was given last.
        premium: the latest measurement.
        rate: what the next funding would be by what was measured so far; longs pay it where it is above 0.
        next_funding_ms: since the episode began; at whole intervals of Unix time.
    """

    def __init__(self, funding: FundingParameters, start_at_ns: int, index: float) -> None:
        self.index = index
        self.mark = index
        self.premium = 0.0
        self._interest = funding.interest
        self._clamp = funding.clamp
        self._cap = funding.cap
        self._interval_ms = max(round(funding.interval_s * 1_000.0), SECOND_MS)
        start_ms = start_at_ns // 1_000_000
        self.next_funding_ms = self._interval_ms - start_ms % self._interval_ms
        # An interval that began before the episode counts as one without a premium until then.
        began_ms = self.next_funding_ms - self._interval_ms
        self._count = -began_ms // SECOND_MS
        self._weights = 0.5 * self._count * (self._count + 1)
        self._sum = 0.0
        self.rate = 0.0
        self.rate = self._rate_now()
        self._basis = array("d", bytes(8 * BASIS_POINTS_N))
        self._basis_sum = 0.0
        self._basis_at = 0
        self._second_ms = 0
        self._due = 0.0
        self._is_due = False

    def step(self, now_ms: int, index: float, bid: float, ask: float, last: float) -> float:
        """Take the step's prices and return the mark price.

        Args:
            now_ms: since the episode began.
            index: see ``index_of``; above 0.
            bid: the best one, 0 where there is none; then nothing is measured.
            ask: likewise.
            last: the last price traded, 0 where none was.
        """
        self.index = index
        if now_ms >= self.next_funding_ms:
            self._settle(now_ms)
        if now_ms >= self._second_ms:
            self._second_ms = now_ms - now_ms % SECOND_MS + SECOND_MS
            self._measure(index, bid, ask)
        left = 1.0 * (self.next_funding_ms - now_ms) / self._interval_ms
        one = index * (1.0 + self.rate * left)
        two = index + self._basis_sum / BASIS_POINTS_N
        self.mark = one if last <= 0.0 else median(one, two, last)
        return self.mark

    def take_due_ppb(self) -> int:
        """Return the rate that is to be paid now, in billionths, and 0 until the next time."""
        if not self._is_due:
            return 0
        self._is_due = False
        ppb = self._due * PPB
        return int(ppb + 0.5) if ppb >= 0.0 else -int(0.5 - ppb)

    def _settle(self, now_ms: int) -> None:
        self._due = self.rate
        self._is_due = True
        while self.next_funding_ms <= now_ms:
            self.next_funding_ms += self._interval_ms
        self._count = 0
        self._weights = 0.0
        self._sum = 0.0

    def _measure(self, index: float, bid: float, ask: float) -> None:
        if bid > 0.0 and ask > 0.0:
            basis = 0.5 * (bid + ask) - index
            self._basis_sum += basis - self._basis[self._basis_at]
            self._basis[self._basis_at] = basis
            self._basis_at += 1
            if self._basis_at == BASIS_POINTS_N:
                self._basis_at = 0
                # Summed anew, so that what rounding leaves does not pile up.
                self._basis_sum = 0.0
                for at in range(BASIS_POINTS_N):
                    self._basis_sum += self._basis[at]
            self.premium = (max(bid - index, 0.0) - max(index - ask, 0.0)) / index
        self._count += 1
        self._weights += self._count
        self._sum += self._count * self.premium
        self.rate = self._rate_now()

    def _rate_now(self) -> float:
        premium = self._sum / self._weights if self._weights > 0.0 else 0.0
        rate = premium + min(max(self._interest - premium, -self._clamp), self._clamp)
        return min(max(rate, -self._cap), self._cap)


def median(one: float, two: float, three: float) -> float:
    """Return the middle one."""
    if one > two:
        one, two = two, one
    return min(two, max(one, three))
