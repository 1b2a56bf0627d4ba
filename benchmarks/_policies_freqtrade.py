"""freqtrade's protections beside an account: they lock its pair after trades that ended badly, and nothing else.

Modelled on the four classes in ``freqtrade/plugins/protections`` of freqtrade 2026.9: they look at closed trades alone,
so that an open loser is never seen; a lock ends so long after the latest trade that counted, rounded up to the next
candle; it keeps a position from being opened, and neither a dip from being bought nor anything from being held.
Their limits are as strict as they can be set to, so that one bad trade is enough; with those of the documentation's
example (from 2 to 20 trades) they would hardly ever act within hours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.paper.account import PaperAccount
from guard.paper.bot import Strategy, Target
from guard.units import NS_PER_S, MarketId, Nanoseconds

CANDLE_NS = 300 * NS_PER_S
LOOKBACK_NS = STOP_NS = 3_600 * NS_PER_S
"""Their default: 60 minutes each."""

COOLDOWN_NS = 2 * CANDLE_NS
DRAWDOWN_MAX = 0.05
"""Sum of profit ratios lost within the lookback from its peak on (``calculation_mode`` ratios, the default)."""


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade that was closed; ``profit`` is a ratio of what was staked, leverage included."""

    closed_at: Nanoseconds
    profit: float
    by_stop: bool


def locked_until(trades: list[Trade], now: Nanoseconds) -> Nanoseconds:
    """Until when a pair is locked that had these trades; 0 where it is not.

    >>> bad = Trade(closed_at=100 * NS_PER_S, profit=-0.2, by_stop=True)
    >>> locked_until([bad], 100 * NS_PER_S) // NS_PER_S
    3900
    >>> good = Trade(closed_at=100 * NS_PER_S, profit=0.2, by_stop=False)
    >>> locked_until([good], 100 * NS_PER_S) // NS_PER_S
    900
    """
    if not trades:
        return 0
    until = [trades[-1].closed_at + COOLDOWN_NS]  # CooldownPeriod
    recent = [trade for trade in trades if trade.closed_at > now - LOOKBACK_NS]
    stopped = [trade for trade in recent if trade.by_stop and trade.profit < 0.0]
    if stopped:  # StoplossGuard, trade_limit 1
        until.append(stopped[-1].closed_at + STOP_NS)
    if (
        recent and sum(trade.profit for trade in recent) < 0.0
    ):  # LowProfitPairs, trade_limit 1, required_profit 0
        until.append(recent[-1].closed_at + STOP_NS)
    if recent and _drawdown(recent) > DRAWDOWN_MAX:  # MaxDrawdown, trade_limit 1
        until.append(recent[-1].closed_at + STOP_NS)
    return -(-max(until) // CANDLE_NS) * CANDLE_NS


def _drawdown(trades: list[Trade]) -> float:
    total = peak = worst = 0.0
    for trade in trades:
        total += trade.profit
        peak = max(peak, total)
        worst = max(worst, peak - total)
    return worst


@dataclass(slots=True)
class Protected:
    """A strategy whose pair is locked by freqtrade's protections."""

    inner: Strategy
    trades: list[Trade] = field(default_factory=list)
    _until: Nanoseconds = 0
    _equity_usd: float = 0.0
    _stake_usd: float = 0.0
    _closed: tuple[Nanoseconds, bool] | None = None

    def target(self, at: Nanoseconds, mark: float, account: PaperAccount, market: MarketId) -> Target:
        """What the strategy wants, but for opening while locked."""
        leg = account.legs.get(market)
        if leg is not None:
            margin = leg.margin_usd if leg.margin_usd is not None else account.equity_usd
            self._stake_usd = max(self._stake_usd, margin)
            return self.inner.target(at, mark, account, market)
        if self._closed is not None:
            profit = (account.equity_usd - self._equity_usd) / max(self._stake_usd, 1.0)
            closed_at, by_stop = self._closed
            self.trades.append(Trade(closed_at, profit, by_stop))
            self._until, self._closed, self._stake_usd = locked_until(self.trades, at), None, 0.0
        self._equity_usd = account.equity_usd
        if at < self._until:
            return Target(size=0.0, until=self._until)
        return self.inner.target(at, mark, account, market)

    def closed(self, at: Nanoseconds, *, by_stop: bool) -> None:
        """A trade is over."""
        self._closed = (at, by_stop)
        self.inner.closed(at, by_stop=by_stop)
