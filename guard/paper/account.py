"""A margin account on paper: isolated and cross, maintenance tiers, fees, funding, liquidation. No I/O, no clock.

Of linear contracts. Money is USD, sizes are signed base units (long positive), prices quote per base.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from msgspec import Struct

from guard.events import AccountSnapshot
from guard.holdings import MarginMode, Order, Position, PositionSource
from guard.leverage.tiers import maintenance, tier_at
from guard.margin_terms import MarginTier
from guard.units import AccountId, MarketId, Nanoseconds

DUST_USD = 1e-6
"""Less than this is nothing: rounding must leave no position behind."""

KEPT = 2.0
"""Margin is not taken back below so many times what the venue demands."""


class PaperTerms(Struct, frozen=True, kw_only=True):
    """What trading costs.

    Attributes:
        taker: fee of an order that takes, as a ratio of its notional.
        maker: fee of one that rested; negative is a rebate.
        liquidation: what the venue takes for a liquidation, as a ratio of the notional closed.
        takes_rest: whether what is left of the margin after a liquidation is the venue's too, as where a position is
            taken over at its bankruptcy price (Bybit); else it goes back to the trader (Binance).
    """

    taker: float = 0.0005
    maker: float = 0.0002
    liquidation: float = 0.005
    takes_rest: bool = True


class Traded(Struct, frozen=True, kw_only=True):
    """What a trade came to: ``realised_usd`` is profit of what was closed, before the fee."""

    market: MarketId
    size: float
    price: float
    fee_usd: float
    realised_usd: float


class Liquidated(Struct, frozen=True, kw_only=True):
    """A position that the venue closed; ``lost_usd`` is what the account was worth more right before, at mark."""

    market: MarketId
    size: float
    price: float
    lost_usd: float
    leverage: float


@dataclass(slots=True)
class PaperLeg:
    """An open position; ``margin_usd`` is its isolated margin without profit, ``None`` if it is crossed."""

    size: float
    entry_price: float
    mark_price: float
    margin_usd: float | None = None

    @property
    def notional_usd(self) -> float:
        """Value at mark, not negative."""
        return abs(self.size) * self.mark_price

    @property
    def profit_usd(self) -> float:
        """Unrealised profit at mark."""
        return self.size * (self.mark_price - self.entry_price)


@dataclass(slots=True)
class PaperAccount:
    """One account. ``mark`` moves it, ``trade`` changes it, ``liquidate`` is the venue's part.

    Assumptions: one net position a market; a liquidation closes a pool whole (venues close large positions in parts);
    orders do not lock margin. What is lost beyond the margin of a pool is the insurance fund's, never the trader's.

    Attributes:
        wallet_usd: deposits and all that was realised, without isolated margins.
        tiers: what each market demands; a market that is not there cannot be traded.
        terms: what trading costs.

    >>> from guard.leverage.tiers import margin_tiers
    >>> btc = MarketId("bybit:BTC/USDT:USDT")
    >>> account = PaperAccount(wallet_usd=1_100.0, tiers={btc: margin_tiers([(0.0, 0.005, 100.0)])})
    >>> account.trade(btc, 0.05, 100_000.0, leverage=5.0).fee_usd
    2.5
    >>> account.mark(btc, 90_000.0)
    >>> round(account.equity_usd, 2), round(account.liquidation_price(btc) or 0.0, 2)
    (597.5, 80402.01)
    >>> account.mark(btc, 80_400.0)
    >>> [round(each.lost_usd, 2) for each in account.liquidate()], round(account.equity_usd, 2)
    ([20.0], 97.5)
    """

    wallet_usd: float
    tiers: Mapping[MarketId, Sequence[MarginTier]]
    terms: PaperTerms = field(default_factory=PaperTerms)
    legs: dict[MarketId, PaperLeg] = field(default_factory=dict)
    realised_usd: float = 0.0
    fees_usd: float = 0.0
    funding_usd: float = 0.0
    """Received, negative where paid."""
    liquidated: list[Liquidated] = field(default_factory=list)

    @property
    def equity_usd(self) -> float:
        """What the account is worth at the marks."""
        held = sum((leg.margin_usd or 0.0) + leg.profit_usd for leg in self.legs.values())
        return self.wallet_usd + held

    @property
    def notional_usd(self) -> float:
        """Value of all positions at mark, each counted positive."""
        return sum(leg.notional_usd for leg in self.legs.values())

    @property
    def leverage(self) -> float:
        """Notional over equity, 0 where nothing is held; infinite where nothing stands behind it."""
        notional, equity = self.notional_usd, self.equity_usd
        if notional <= DUST_USD:
            return 0.0
        return notional / equity if equity > 0.0 else inf

    @property
    def free_usd(self) -> float:
        """What may be margin of another isolated position: the wallet, less what crossed positions need of it."""
        crossed = [leg for leg in self.legs.values() if leg.margin_usd is None]
        losses = min(sum(leg.profit_usd for leg in crossed), 0.0)
        return self.wallet_usd + losses - self._demanded(crossed)

    def size(self, market: MarketId) -> float:
        """Signed, 0 where nothing is held."""
        leg = self.legs.get(market)
        return 0.0 if leg is None else leg.size

    def mark(self, market: MarketId, price: float) -> None:
        """Take a mark price (> 0)."""
        leg = self.legs.get(market)
        if leg is not None:
            leg.mark_price = price

    def trade(
        self,
        market: MarketId,
        size: float,
        price: float,
        *,
        leverage: float | None = None,
        mark_price: float | None = None,
        is_maker: bool = False,
    ) -> Traded:
        """Buy (sell, if negative) ``size`` at ``price``; through zero a position is closed and opened anew.

        Args:
            market: one of ``tiers``.
            size: signed base units.
            price: what was paid on the mean.
            leverage: notional over isolated margin of what is opened or added; ``None``: crossed. It is not asked for
                where a position is only reduced: an isolated one frees its share of the margin then.
            mark_price: of now; ``price`` where it is not told.
            is_maker: whether it rested in the book.

        Raises:
            ValueError: an unknown market, or more isolated margin than is free.
        """
        if market not in self.tiers:
            raise ValueError(f"nothing is known of what {market} demands")
        leg = self.legs.get(market)
        held = 0.0 if leg is None else leg.size
        closed = 0.0 if held * size >= 0.0 else max(-abs(held), -abs(size)) * (1.0 if held > 0.0 else -1.0)
        opened = size - closed
        margin = abs(opened) * price / leverage if leverage is not None and opened else 0.0
        fee = abs(size) * price * (self.terms.maker if is_maker else self.terms.taker)
        if opened and margin > max(self.free_usd, 0.0) + DUST_USD + (
            0.0 if leg is None else self._freed(leg, closed, price)
        ):
            raise ValueError(f"{margin:.2f} USD of margin are not there: {self.free_usd:.2f} USD are free")
        realised = 0.0 if leg is None else self._close(market, leg, closed, price)
        self.wallet_usd -= fee
        self.fees_usd += fee
        if opened:
            self._open(market, opened, price, None if leverage is None else margin)
        self.mark(market, price if mark_price is None else mark_price)
        return Traded(market=market, size=size, price=price, fee_usd=fee, realised_usd=realised)

    def add_margin(self, market: MarketId, usd: float) -> float:
        """Move free money to an isolated position (back, if negative), as much as may be; how much was moved."""
        leg = self.legs.get(market)
        if leg is None or leg.margin_usd is None:
            return 0.0
        if usd > 0.0:
            usd = min(usd, max(self.free_usd, 0.0))
        else:
            most = leg.margin_usd + min(leg.profit_usd, 0.0) - KEPT * self._maintenance(market, leg)
            usd = -min(-usd, max(most, 0.0))
        leg.margin_usd += usd
        self.wallet_usd -= usd
        return usd

    def fund(self, market: MarketId, rate: float) -> float:
        """Pay funding: a long pays ``rate`` of its notional where that is positive; what was received."""
        leg = self.legs.get(market)
        if leg is None:
            return 0.0
        received = -leg.size * leg.mark_price * rate
        if leg.margin_usd is None:
            self.wallet_usd += received
        else:
            leg.margin_usd += received
        self.funding_usd += received
        return received

    def fails(self, market: MarketId) -> bool:
        """Whether the venue liquidates this position at the marks."""
        leg = self.legs.get(market)
        if leg is None:
            return False
        if leg.margin_usd is not None:
            return leg.margin_usd + leg.profit_usd <= self._maintenance(market, leg)
        return self._cross_fails()

    def liquidate(self, price_of: Callable[[MarketId, float], float] | None = None) -> tuple[Liquidated, ...]:
        """Have the venue close what has failed at the marks; crossed positions go together.

        Args:
            price_of: at what a market order of a size in a market is filled; without it, at mark.
        """
        failed = [
            market for market, leg in self.legs.items() if leg.margin_usd is not None and self.fails(market)
        ]
        found = [self._take(market, price_of) for market in failed]
        if self._cross_fails():
            crossed = [market for market, leg in self.legs.items() if leg.margin_usd is None]
            found += self._take_crossed(crossed, price_of)
        self.liquidated += found
        return tuple(found)

    def liquidation_price(self, market: MarketId) -> float | None:
        """Where the mark liquidates a position, all other marks staying; ``None`` where no price > 0 does.

        Of the bracket that the position is in now: exact while price does not move it into another one.
        """
        leg = self.legs.get(market)
        if leg is None:
            return None
        margin = leg.margin_usd
        if margin is None:
            others = [each for at, each in self.legs.items() if at != market and each.margin_usd is None]
            margin = self.wallet_usd + sum(each.profit_usd for each in others) - self._demanded(others)
        tier = tier_at(self.tiers[market], leg.notional_usd)
        sign = 1.0 if leg.size > 0.0 else -1.0
        size = abs(leg.size)
        # margin + s q (p - e) = r q p - c
        below = size * (tier.maintenance_ratio - sign)
        price = (margin - sign * size * leg.entry_price + tier.deduction) / below
        return price if 0.0 < price < inf else None

    def snapshot(
        self,
        account: AccountId,
        at: Nanoseconds,
        orders: tuple[Order, ...] = (),
        leverage: float | None = None,
    ) -> AccountSnapshot:
        """What its venue would tell of it."""
        crossed = [leg for leg in self.legs.values() if leg.margin_usd is None]
        return AccountSnapshot(
            received_at=at,
            account=account,
            source=PositionSource.VENUE,
            equity_usd=self.equity_usd,
            wallet_usd=self.wallet_usd + sum(leg.margin_usd or 0.0 for leg in self.legs.values()),
            maintenance_usd=self._demanded(crossed) if crossed else None,
            positions=tuple(self._told(market, leg, leverage) for market, leg in self.legs.items()),
            orders=orders,
        )

    def _told(self, market: MarketId, leg: PaperLeg, leverage: float | None) -> Position:
        is_crossed = leg.margin_usd is None
        return Position(
            market=market,
            size=leg.size,
            entry_price=leg.entry_price,
            mark_price=leg.mark_price,
            leverage=leverage,
            margin_mode=MarginMode.CROSS if is_crossed else MarginMode.ISOLATED,
            margin_usd=leg.margin_usd,
            liquidation_price=self.liquidation_price(market),
        )

    def _maintenance(self, market: MarketId, leg: PaperLeg) -> float:
        return maintenance(self.tiers[market], leg.notional_usd)

    def _demanded(self, legs: Sequence[PaperLeg]) -> float:
        """What the venue demands for some of the positions."""
        chosen = {id(leg) for leg in legs}
        return sum(self._maintenance(market, leg) for market, leg in self.legs.items() if id(leg) in chosen)

    def _cross_fails(self) -> bool:
        crossed = [leg for leg in self.legs.values() if leg.margin_usd is None]
        if not crossed:
            return False
        return self.wallet_usd + sum(leg.profit_usd for leg in crossed) <= self._demanded(crossed)

    def _freed(self, leg: PaperLeg, closed: float, price: float) -> float:
        """What closing so much of a position gives back to the wallet."""
        share = abs(closed / leg.size) if leg.size else 0.0
        return share * (leg.margin_usd or 0.0) - closed * (price - leg.entry_price)

    def _close(self, market: MarketId, leg: PaperLeg, closed: float, price: float) -> float:
        if not closed:
            return 0.0
        realised = -closed * (price - leg.entry_price)
        if leg.margin_usd is not None:
            freed = leg.margin_usd * abs(closed / leg.size)
            leg.margin_usd -= freed
            self.wallet_usd += freed
        self.wallet_usd += realised
        self.realised_usd += realised
        leg.size += closed
        if leg.notional_usd <= DUST_USD:
            self.wallet_usd += leg.margin_usd or 0.0
            del self.legs[market]
        return realised

    def _open(self, market: MarketId, opened: float, price: float, margin: float | None) -> None:
        leg = self.legs.get(market)
        if leg is None:
            leg = self.legs[market] = PaperLeg(opened, price, price, margin)
        else:
            if (leg.margin_usd is None) is not (margin is None):
                raise ValueError(f"the position in {market} is margined in another way")
            leg.entry_price = (leg.entry_price * leg.size + price * opened) / (leg.size + opened)
            leg.size += opened
            if leg.margin_usd is not None and margin is not None:
                leg.margin_usd += margin
        if margin is not None:
            self.wallet_usd -= margin

    def _take(self, market: MarketId, price_of: Callable[[MarketId, float], float] | None) -> Liquidated:
        """Close an isolated position for the venue."""
        leg = self.legs.pop(market)
        margin = leg.margin_usd or 0.0
        price = leg.mark_price if price_of is None else price_of(market, -leg.size)
        rest = margin + leg.size * (price - leg.entry_price) - self._penalty(leg, price)
        kept = 0.0 if self.terms.takes_rest else max(rest, 0.0)
        worth = margin + leg.profit_usd
        self.wallet_usd += kept
        self.realised_usd += kept - margin
        return Liquidated(
            market=market,
            size=leg.size,
            price=price,
            lost_usd=worth - kept,
            leverage=leg.notional_usd / worth if worth > 0.0 else inf,
        )

    def _take_crossed(
        self, markets: Sequence[MarketId], price_of: Callable[[MarketId, float], float] | None
    ) -> list[Liquidated]:
        worth = self.wallet_usd + sum(self.legs[market].profit_usd for market in markets)
        notional = sum(self.legs[market].notional_usd for market in markets)
        legs = {market: self.legs.pop(market) for market in markets}
        prices = {
            market: leg.mark_price if price_of is None else price_of(market, -leg.size)
            for market, leg in legs.items()
        }
        profit = sum(leg.size * (prices[market] - leg.entry_price) for market, leg in legs.items())
        penalty = sum(self._penalty(leg, prices[market]) for market, leg in legs.items())
        kept = 0.0 if self.terms.takes_rest else max(self.wallet_usd + profit - penalty, 0.0)
        self.realised_usd += kept - self.wallet_usd
        self.wallet_usd = kept
        return [
            Liquidated(
                market=market,
                size=leg.size,
                price=prices[market],
                lost_usd=(worth - kept) * leg.notional_usd / notional,
                leverage=notional / worth if worth > 0.0 else inf,
            )
            for market, leg in legs.items()
        ]

    def _penalty(self, leg: PaperLeg, price: float) -> float:
        return self.terms.liquidation * abs(leg.size) * price
