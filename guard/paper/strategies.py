"""What bots on paper trade by: one that holds, and one that buys dips. They remember, and read no clock."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from guard.paper.account import PaperAccount
from guard.paper.bot import Target
from guard.units import NS_PER_S, MarketId, Nanoseconds

NEVER = 2**63 - 1


@dataclass(slots=True)
class Holder:
    """Opens once and holds for ever; never larger than ``leverage`` times its equity, should it open anew.

    Attributes:
        sign: 1 long, -1 short.
        leverage: notional over equity when it opens.
        opens_at: when.
    """

    sign: float
    leverage: float
    opens_at: Nanoseconds
    _size: float | None = None

    def target(self, at: Nanoseconds, mark: float, account: PaperAccount, market: MarketId) -> Target:
        """The whole position, from its time on."""
        if at < self.opens_at:
            return Target(size=0.0, until=self.opens_at)
        if self._size is None:
            self._size = self.leverage * account.equity_usd / mark
        if account.size(market):
            return Target(size=self.sign * self._size)
        most = self.leverage * max(account.equity_usd, 0.0) / mark
        return Target(size=self.sign * min(self._size, most))

    def closed(self, at: Nanoseconds, *, by_stop: bool) -> None:
        """It opens again as soon as it may."""


@dataclass(slots=True)
class DipBuyer:
    """Opens with a part, adds at dips, closes at a profit, and is stopped out below; after a while it begins anew.

    A short buys nothing: it sells more where price has risen. Whatever price it is asked at, it adds no more than the
    dip of that moment calls for: what it was kept from is not made up for later at a better price.

    Attributes:
        sign: 1 long, -1 short.
        leverage: notional over equity when all parts are bought.
        opens_at: when it begins.
        shares: parts of the whole, the first at once, ...
        dips: ... each when price has gone so far against the first, as ratios.
        profit: beyond the mean entry, at which all is closed.
        stop: of the first price, at which all is given up.
        rest_s, rest_stopped_s: seconds until it begins anew after a profit, and after a loss.
    """

    sign: float
    leverage: float
    opens_at: Nanoseconds
    shares: tuple[float, ...] = (0.4, 0.2, 0.2, 0.2)
    dips: tuple[float, ...] = (0.0, 0.01, 0.02, 0.04)
    profit: float = 0.01
    stop: float = 0.08
    rest_s: float = 600.0
    rest_stopped_s: float = 1_800.0
    _anchor: float | None = None
    _whole: float = 0.0

    def target(self, at: Nanoseconds, mark: float, account: PaperAccount, market: MarketId) -> Target:
        """What the dip of now calls for, or what is held already."""
        if at < self.opens_at:
            return Target(size=0.0, until=self.opens_at)
        leg = account.legs.get(market)
        if self._anchor is None or (leg is None and self._against(mark) > self.stop / 2.0):
            self._anchor = mark
            self._whole = self.leverage * max(account.equity_usd, 0.0) / mark
        if leg is not None and self.sign * (mark / leg.entry_price - 1.0) >= self.profit:
            return Target(size=0.0)
        reached = sum(self._against(mark) >= dip for dip in self.dips)
        held = 0.0 if leg is None else abs(leg.size)
        wanted = max(sum(self.shares[: max(reached, 1)]) * self._whole, min(held, self._whole))
        further = self.dips[reached] if reached < len(self.dips) else inf
        adverse = self._anchor * (1.0 - self.sign * further) if further < inf else None
        favourable = None if leg is None else leg.entry_price * (1.0 + self.sign * self.profit)
        edges = (adverse, favourable) if self.sign > 0.0 else (favourable, adverse)
        return Target(
            size=self.sign * wanted,
            stop=self._anchor * (1.0 - self.sign * self.stop),
            low=edges[0] or 0.0,
            high=edges[1] or inf,
            until=NEVER if leg is not None else at + NS_PER_S,
        )

    def closed(self, at: Nanoseconds, *, by_stop: bool) -> None:
        """Rest, and begin anew."""
        self._anchor = None
        self.opens_at = at + round((self.rest_stopped_s if by_stop else self.rest_s) * NS_PER_S)

    def _against(self, mark: float) -> float:
        assert self._anchor is not None
        return self.sign * (1.0 - mark / self._anchor)
