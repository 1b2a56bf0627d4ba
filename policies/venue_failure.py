"""One venue far from the others, or silent while they move: no entries there, and no stops that fire on its price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from guard.account.positions import AccountView
from guard.account.stops import nearest_stop, room_bps
from guard.events import Position, Stream
from guard.findings import Basis, Finding, Limit, Offer, Reason, Remedy, Severity, Subject
from guard.leverage.stop_places import Avoided, place
from guard.market.freshness import StreamState
from guard.market.view import BookTrust, MarketView
from guard.signals.cross_venue import coin_of
from guard.state import GuardState
from guard.units import BPS_PER_UNIT, MarketId, Nanoseconds, symbol_of, venue_of
from perpguard_sdk.messages import Entries, Evidence, StopRule

SIGMA_PER_MAD = 1.4826
APART_LOG_MAX = 1.0
"""Farther apart two prices are not of the same thing (1000PEPE and PEPE)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueFailure:
    """Finds a venue whose price of a coin is far from what the others agree upon, or that is silent while they move.

    Markets of one coin are compared by mid and by mark price (stops fire on either), in USD where it is known what
    their quotes are worth over venues (``collateral.pegs``); where it is not, with markets in the same quote only.
    Dated contracts are left out: they have a basis of their own. A price is far from the median of the others if it is
    ``bps_min`` away, and ``spreads_min`` median spreads, and ``deviations_min`` of their own robust deviations: where
    the others disagree themselves, nobody is far from them. With one other venue nobody knows which of the two is
    off: that is told, and freezes. A silent book is judged by its last price, with ``silent_bps_min``.

    A market that is far is paused, and nothing is loosened in it; a venue whose prices of ``coins_min`` coins, and at
    least half of those that can be compared, are far is paused as a whole. A protective stop that its price can reach
    by going on for as far as it has come is moved beyond that (1.5 times as far), the position cut in the same
    command so that size times distance does not grow, never nearer to liquidation than ``liquidation_margin_ratio`` of
    the way. Where there is no room it stays. What a human can do is offered: a stop, or a hedge, at another venue.

    Attributes:
        enabled: whether it decides at all.
        bps_min: distance from the others' median below which no venue is far, bps.
        spreads_min: ... in median spreads of all that are compared.
        deviations_min: ... in robust standard deviations of the others about their median.
        silent_bps_min: distance of the last price of a silent book, bps.
        confirm_s: seconds for which a finding must have stood before anything is asked because of it.
        coins_min: so many coins of a venue have to be far for the whole venue to be paused.
        distance_bps_max: a stop is never moved farther from the mark price than this.
        liquidation_margin_ratio: share of the way from liquidation to mark price that stays between
            liquidation price and stop.
    """

    __pydantic_config__: ClassVar[object] = {"extra": "forbid"}
    name: ClassVar[str] = "venue_failure"
    at_ticks: ClassVar[bool] = True

    enabled: bool = True
    bps_min: Annotated[float, Gt(0.0), Le(5_000.0)] = 100.0
    spreads_min: Annotated[float, Ge(0.0), Le(100.0)] = 5.0
    deviations_min: Annotated[float, Ge(0.0), Le(100.0)] = 6.0
    silent_bps_min: Annotated[float, Gt(0.0), Le(5_000.0)] = 50.0
    confirm_s: Annotated[float, Ge(0.0), Le(600.0)] = 3.0
    coins_min: Annotated[int, Ge(1), Le(1_000)] = 2
    distance_bps_max: Annotated[float, Gt(0.0), Le(5_000.0)] = 1_000.0
    liquidation_margin_ratio: Annotated[float, Ge(0.0), Le(0.9)] = 0.25

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:
        """Yield what is wrong with each market, each venue and each position in a market that is far off."""
        if not self.enabled:
            return
        compared: dict[str, set[str]] = defaultdict(set)
        far: dict[str, set[str]] = defaultdict(set)
        for coin, quotes in _quotes_of(state, now).items():
            for venue in _with_others(quotes):
                compared[venue].add(coin)
            if self._are_together(quotes):
                continue
            for quote in quotes:
                gap = self._gap(quote, quotes)
                if gap is None or not gap.is_far:
                    continue
                yield self._of_market(gap)
                if gap.others > 1:
                    far[venue_of(quote.market)].add(coin)
                    yield from self._of_positions(state, gap, quotes, now)
        for venue in sorted(far):
            if len(far[venue]) >= max(self.coins_min, len(compared[venue]) / 2.0):
                yield self._of_venue(venue, far[venue], compared[venue])

    def _are_together(self, quotes: Sequence[_Quote]) -> bool:
        """Whether all prices lie within so little that none can be far from the others: as a rule they do."""
        if len({quote.quote for quote in quotes}) > 1:
            return False
        prices = [price for quote in quotes for price in quote.prices]
        least_log = 0.99 * min(self.bps_min, self.silent_bps_min) / BPS_PER_UNIT
        return not prices or max(prices) - min(prices) < least_log

    def _gap(self, own: _Quote, quotes: Sequence[_Quote]) -> _Gap | None:
        """How far a market is from the other venues; ``None`` where there is no other that it can be compared with."""
        by_venue: dict[str, list[_Quote]] = defaultdict(list)
        for quote in quotes:
            if not quote.is_silent and venue_of(quote.market) != venue_of(own.market) and own.compares(quote):
                by_venue[venue_of(quote.market)].append(quote)
        if not by_venue:
            return None
        # A venue has one voice, however many quotes it lists a coin in.
        voices = [median(own.against(each) for each in found) for found in by_venue.values()]
        middle = median(voices)
        if abs(middle - own.middle) > APART_LOG_MAX:
            return None
        deviation = SIGMA_PER_MAD * median(abs(each - middle) for each in voices) * BPS_PER_UNIT
        spread = median([own.spread_bps, *(each.spread_bps for found in by_venue.values() for each in found)])
        apart_log = max((price - middle for price in own.prices), key=abs)
        least = self.silent_bps_min if own.is_silent else self.bps_min
        return _Gap(
            quote=own,
            others=len(voices),
            middle=exp(middle),
            apart_bps=(exp(apart_log) - 1.0) * BPS_PER_UNIT,
            needed_bps=max(least, self.spreads_min * spread, self.deviations_min * deviation),
            spread_bps=spread,
            deviation_bps=deviation,
        )

    # ---------------------------------------------------------------- what is said

    def _of_market(self, gap: _Gap) -> Finding:
        is_known = gap.others > 1
        silent_s = gap.quote.silent_s
        low, high = gap.middle * (1.0 - gap.share), gap.middle * (1.0 + gap.share)
        return Finding(
            policy=self.name,
            reason=Reason.VENUE_DISLOCATED,
            severity=Severity.ACT if is_known else Severity.WATCH,
            subject=Subject(market=gap.quote.market),
            limit=Limit(entries=Entries.REDUCE_ONLY) if is_known else Limit(),
            evidence=(
                *gap.evidence(),
                *(() if silent_s is None else (Evidence(name="silent for", value=silent_s, unit="s"),)),
                *(
                    ()
                    if is_known
                    else (Evidence(name="which of the two is off", value="unknown", unit="text"),)
                ),
            ),
            confirm_ms=int(self.confirm_s * 1000) if is_known else 0,
            counterfactual=f"would not stand with a price from {low:.8g} to {high:.8g} here",
            freezes=True,
        )

    def _of_venue(self, venue: str, far: Iterable[str], compared: Iterable[str]) -> Finding:
        far, count = sorted(far), len(set(compared))
        least = max(self.coins_min, (count + 1) // 2)
        return Finding(
            policy=self.name,
            reason=Reason.VENUE_DISLOCATED,
            severity=Severity.CRITICAL,
            subject=Subject(venue=venue),
            limit=Limit(entries=Entries.REDUCE_ONLY),
            evidence=(
                Evidence(
                    name="coins whose price is far from other venues'",
                    value=len(far),
                    unit="coins",
                    limit=least,
                ),
                Evidence(name="coins compared", value=count, unit="coins"),
                Evidence(name="which", value=", ".join(far[:10]), unit="text"),
            ),
            confirm_ms=int(self.confirm_s * 1000),
            counterfactual=f"would not stand with fewer than {least} coins of {venue} far from other venues'",
            freezes=True,
        )

    def _of_positions(
        self, state: GuardState, gap: _Gap, quotes: Sequence[_Quote], now: Nanoseconds
    ) -> Iterator[Finding]:
        market = gap.quote.market
        for account in state.accounts.values():
            clock = state.account_clocks.get(account.account)
            is_seen = account.orders is not None and account.account not in state.account_faults
            if not is_seen or (clock is not None and clock.state(now) is not StreamState.FRESH):
                continue
            for position in account.legs(market):
                # Below the others it is the stops of longs that fire, above them those of shorts.
                if position.size * gap.apart_bps < 0.0:
                    found = self._of_stop(state, account, position, gap, quotes, now)
                    if found is not None:
                        yield found

    def _of_stop(
        self,
        state: GuardState,
        account: AccountView,
        position: Position,
        gap: _Gap,
        quotes: Sequence[_Quote],
        now: Nanoseconds,
    ) -> Finding | None:
        view = gap.quote.view
        mark = view.mark_price
        stop = None if mark is None else nearest_stop(account.orders or (), position, mark)
        if mark is None or stop is None:
            return None
        sign = 1.0 if position.size > 0 else -1.0
        distance, reach = sign * (mark - stop) / mark * BPS_PER_UNIT, abs(gap.apart_bps)
        if distance > reach:
            return None
        limit = self._limit(state, account, position, gap, distance, now)
        size = limit.max_size
        asked: tuple[Evidence, ...] = ()
        exit_cost = view.exit_cost_bps(position.size)
        if (
            size is not None
            and exit_cost is not None
            and limit.stop is not None
            and limit.stop.stop_price is not None
        ):
            asked = (
                Evidence(name="exit cost of the position", value=exit_cost.value, unit="bps"),
                Evidence(name="position", value=position.size, unit="base units", limit=size),
                Evidence(name="new stop price", value=limit.stop.stop_price, unit="USD"),
            )
        return Finding(
            policy=self.name,
            reason=Reason.VENUE_DISLOCATED,
            severity=Severity.ACT,
            subject=Subject(market=position.market, account=account.account),
            limit=limit,
            evidence=(
                *gap.evidence(),
                Evidence(name="stop price", value=stop, unit="USD"),
                Evidence(name="stop distance", value=distance, unit="bps", limit=reach),
                *asked,
            ),
            confirm_ms=int(self.confirm_s * 1000),
            counterfactual=f"would not stand with the stop more than {reach:.0f} bps from the mark price",
            freezes=True,
            offers=_offers(position, gap, quotes),
        )

    def _limit(
        self,
        state: GuardState,
        account: AccountView,
        position: Position,
        gap: _Gap,
        distance: float,
        now: Nanoseconds,
    ) -> Limit:
        """The stop beyond where this price may yet go, at the same risk; nothing where there is no such place."""
        view, mark = gap.quote.view, gap.quote.view.mark_price
        exit_cost = view.exit_cost_bps(position.size)
        leg = state.own.leg(account.account, position)
        is_current = view.stream_state(Stream.MARK_PRICE, now) is not StreamState.STALE
        if mark is None or exit_cost is None or not is_current or view.trust(now) is not BookTrust.TRUSTED:
            return Limit()
        room = room_bps(
            leg, position, mark, margin_ratio=self.liquidation_margin_ratio, bps_max=self.distance_bps_max
        )
        reach = abs(gap.apart_bps)
        found = (
            None
            if room is None
            else place(
                distance,
                [Avoided(0.0, reach, 0.0, 1.5 * reach)],
                exit_bps=exit_cost.value,
                room_bps=room,
                front_bps_min=room,
                keep_share_min=0.0,
            )
        )
        if found is None or found.is_in_front:
            return Limit()
        sign = 1.0 if position.size > 0 else -1.0
        price = mark * (1.0 - sign * found.distance / BPS_PER_UNIT)
        stop = mark * (1.0 - sign * distance / BPS_PER_UNIT)
        return Limit(
            max_size=abs(position.size) * found.keep_share,
            stop=StopRule(stop_price=price),
            basis=Basis(size=position.size, reference=stop),
        )


@dataclass(frozen=True, slots=True)
class _Quote:
    """A market's prices of a coin, logs of what one costs in its quote; ``worth`` is log USD of that quote, if known.

    ``is_silent``: the prices are its last ones.
    """

    market: MarketId
    view: MarketView
    prices: tuple[float, ...]
    quote: str
    worth: float | None
    spread_bps: float
    silent_s: float | None = None

    @property
    def is_silent(self) -> bool:
        return self.silent_s is not None

    @property
    def middle(self) -> float:
        """Of the book; where it has none, the mark price."""
        return self.prices[0]

    def compares(self, other: _Quote) -> bool:
        """Whether it is known what the two quotes are worth in each other."""
        return self.quote == other.quote or (self.worth is not None and other.worth is not None)

    def against(self, other: _Quote) -> float:
        """The other's price in this one's quote."""
        if self.quote == other.quote or self.worth is None or other.worth is None:
            return other.middle
        return other.middle + other.worth - self.worth


@dataclass(frozen=True, slots=True)
class _Gap:
    """How far a market's price is from the ``middle`` of ``others`` venues, in its own quote; positive is above."""

    quote: _Quote
    others: int
    middle: float
    apart_bps: float
    needed_bps: float
    spread_bps: float
    deviation_bps: float

    @property
    def is_far(self) -> bool:
        return abs(self.apart_bps) > self.needed_bps

    @property
    def share(self) -> float:
        return self.needed_bps / BPS_PER_UNIT

    def evidence(self) -> tuple[Evidence, ...]:
        return (
            Evidence(
                name="distance from other venues", value=self.apart_bps, unit="bps", limit=self.needed_bps
            ),
            Evidence(name="median price of other venues", value=self.middle, unit="USD"),
            Evidence(name="other venues", value=self.others, unit="venues"),
            Evidence(name="median spread", value=self.spread_bps, unit="bps"),
            Evidence(name="deviation among others", value=self.deviation_bps, unit="bps"),
        )


def _quotes_of(state: GuardState, now: Nanoseconds) -> Mapping[str, list[_Quote]]:
    """Every coin that is watched at two venues or more, with what each of its markets says."""
    groups: dict[str, list[MarketId]] = defaultdict(list)
    for market in state.markets:
        if "-" not in symbol_of(market):
            groups[coin_of(market)].append(market)
    found: dict[str, list[_Quote]] = {}
    for coin, markets in groups.items():
        if len({venue_of(market) for market in markets}) < 2:
            continue
        quotes = [_quote_of(state, state.markets[market], now) for market in sorted(markets)]
        found[coin] = [quote for quote in quotes if quote is not None]
    return found


def _with_others(quotes: Sequence[_Quote]) -> set[str]:
    """The venues of a coin that can be held against two others."""
    speaking = {venue_of(quote.market) for quote in quotes if not quote.is_silent}
    return {venue for quote in quotes for venue in (venue_of(quote.market),) if len(speaking - {venue}) > 1}


def _quote_of(state: GuardState, view: MarketView, now: Nanoseconds) -> _Quote | None:
    trust = view.trust(now)
    mid, mark = view.mid_price, view.mark_price
    is_mark_fresh = view.stream_state(Stream.MARK_PRICE, now) is StreamState.FRESH
    silent_s = None
    if trust is BookTrust.STALE:
        heard_ms = view.silence_ms(Stream.BOOK, now)
        silent_s = None if heard_ms is None else heard_ms / 1_000.0
        prices = [mid if mid is not None else mark]
        if silent_s is None:
            return None
    elif trust is BookTrust.TRUSTED:
        prices = [mid, mark if is_mark_fresh else None]
    else:
        return None
    logs = tuple(log(price) for price in prices if price is not None and price > 0.0)
    if not logs:
        return None
    quote = symbol_of(view.market).partition("/")[2].partition(":")[0].upper()
    known = 1.0 if quote == "USD" else state.own.worths.get(quote)
    worth = log(known) if known is not None and known > 0.0 else None
    return _Quote(view.market, view, logs, quote, worth, view.spread_bps or 0.0, silent_s)


def _offers(position: Position, gap: _Gap, quotes: Sequence[_Quote]) -> tuple[Offer, ...]:
    """What a human can do where the price is right: at the venue that takes the position at the least cost."""
    own = venue_of(position.market)
    usd = abs(position.size) * gap.middle
    costs = [
        (cost.value, quote.market)
        for quote in quotes
        if venue_of(quote.market) != own
        and not quote.is_silent
        and (cost := quote.view.exit_cost_bps(position.size)) is not None
    ]
    if not costs:
        return ()
    bps, market = min(costs)
    cost_usd = usd * bps / BPS_PER_UNIT
    return (
        Offer(remedy=Remedy.MOVE_STOP_ELSEWHERE, amount_usd=usd, about=market, cost_usd=0.0),
        Offer(remedy=Remedy.HEDGE_ELSEWHERE, amount_usd=usd, about=market, cost_usd=cost_usd),
    )
