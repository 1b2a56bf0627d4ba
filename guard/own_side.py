"""The trader's own side, assessed: what venues demand, what collateral is worth, and where each account fails.

The state owns one and folds events into it; policies read ``risk``, ``leg`` and ``pool``. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from guard.account.action_time import ActionTimes
from guard.account.assessment import Assessed, Surroundings, Tried, assess
from guard.account.betas import Betas
from guard.account.collateral import HaircutSettings
from guard.account.equity import EquityKept, EquityTrack
from guard.account.peg_settings import USD, fold
from guard.account.pegs import PegBook
from guard.account.pools import Pool
from guard.account.positions import AccountView
from guard.account.risk import AccountRisk, LegRisk, abridged, is_worth_recording
from guard.account.sensible import sensible_price
from guard.account.slowing import VenueLags
from guard.account.terms import VenueTerms
from guard.events import AssetPricesSeen, MarginTermsSeen, MarkPriceSeen, Position, PositionSource, Stream
from guard.market.book import Side
from guard.market.freshness import StreamClock, StreamState
from guard.market.speed import PriceSpeed, Speeds
from guard.market.view import BookTrust, MarketView
from guard.outlook.outlook import Outlook
from guard.units import NS_PER_S, AccountId, MarketId, Nanoseconds, symbol_of, venue_of

PERIOD_S_MIN = 1.0
"""An account is assessed anew so often at most, but at once when it holds something else."""
LEGS_A_SECOND = 50
"""Large accounts less often: so many positions are assessed a second."""
CONTAIN_S = 60
CONTAINED_LEGS_MAX = 30
"""What would help is worked out so often, and only for accounts of so many positions: it takes up to 100 ms."""
AT_ONCE_MAX = 20
"""Accounts of so many positions are assessed at every word on them, larger ones where they hold something else."""
RECALLED_MAX = 20
"""So many readings of an account's equity may come before what was kept of it is recalled."""
LEADER_BASES = ("BTC", "ETH")
"""Whose market leads the others of its venue, the first that is watched."""


@dataclass(slots=True)
class OwnSide:
    """See the module."""

    terms: dict[str, VenueTerms] = field(default_factory=dict)
    pegs: PegBook = field(default_factory=PegBook)
    haircuts: HaircutSettings = field(default_factory=HaircutSettings)
    action_times: ActionTimes = field(default_factory=ActionTimes)
    lags: VenueLags = field(default_factory=VenueLags)
    equities: dict[AccountId, EquityTrack] = field(default_factory=dict)
    worths: dict[str, float] = field(default_factory=dict)
    """USD of a unit of each cash and stablecoin, where venues say so and agree; told every few seconds."""
    _assessed: dict[AccountId, Assessed] = field(default_factory=dict)
    _held: dict[AccountId, int] = field(default_factory=dict)
    _heard_then: dict[AccountId, int] = field(default_factory=dict)
    _speeds: dict[MarketId, PriceSpeed] = field(default_factory=dict)
    _betas: dict[AccountId, Betas] = field(default_factory=dict)
    _leaders: dict[str, tuple[int, MarketId | None]] = field(default_factory=dict)
    """Of each venue, with how many markets were known when it was looked for."""
    _contained_at: dict[AccountId, Nanoseconds] = field(default_factory=dict)
    _recorded: dict[AccountId, AccountRisk] = field(default_factory=dict)
    _emptied: dict[AccountId, AccountRisk] = field(default_factory=dict)
    _fresh: set[AccountId] = field(default_factory=set)
    _heard: int = 0
    """Rises with each word on terms and collateral prices: what was assessed before it is assessed anew."""

    def risk(self, account: AccountId) -> AccountRisk | None:
        """The last assessment of an account; ``None`` before the first, and of one that holds nothing."""
        known = self._assessed.get(account)
        return None if known is None else known.risk

    @property
    def risks(self) -> Mapping[AccountId, AccountRisk]:
        """The last assessment of every account that holds something."""
        return {account: known.risk for account, known in self._assessed.items()}

    def assessed(self, account: AccountId) -> Assessed | None:
        """The last assessment with the pools and directions that it was worked out from."""
        return self._assessed.get(account)

    def speeds(self, market: MarketId, now: Nanoseconds) -> Speeds | None:
        """How fast a held market moves; ``None`` of one that nobody holds."""
        speed = self._speeds.get(market)
        return None if speed is None else speed.speeds(now)

    def leg(self, account: AccountId, position: Position) -> LegRisk | None:
        """What was found of a position, with all that shares its market and pool."""
        known = self._assessed.get(account)
        return None if known is None else known.leg(position)

    def pool(self, account: AccountId, position: Position) -> Pool | None:
        """The pool that a position is in, at the prices of the last assessment."""
        known = self._assessed.get(account)
        return None if known is None else known.pool(position)

    def tried(self, account: AccountId, pool: Pool) -> tuple[Tried, ...]:
        """Along which directions a pool was moved, and where it fails."""
        known = self._assessed.get(account)
        return () if known is None else known.tried.get(pool.name, ())

    def take_terms(self, event: MarginTermsSeen) -> None:
        """Fold what a venue demands."""
        self.terms_of(event.venue).apply(event)
        self._heard += 1

    def take_prices(self, event: AssetPricesSeen) -> None:
        """Fold what collateral costs somewhere."""
        self.pegs.apply(event)
        self._heard += 1

    def take_mark(self, event: MarkPriceSeen) -> None:
        """Fold a mark price, where somebody holds something."""
        speed = self._speeds.get(event.market)
        if speed is not None:
            speed.observe(event.mark_price, event.received_at)

    def terms_of(self, venue: str) -> VenueTerms:
        """What is known of what a venue demands."""
        return self.terms.setdefault(venue, VenueTerms(venue))

    def look(
        self,
        accounts: Mapping[AccountId, AccountView],
        markets: Mapping[MarketId, MarketView],
        now: Nanoseconds,
    ) -> None:
        """Assess every account whose turn it is; forget those that hold nothing any more."""
        for account in self._assessed.keys() - accounts.keys():
            self._empty(account, now)
        for account in self.equities.keys() - accounts.keys():
            del self.equities[account]
        for account, view in accounts.items():
            if not view.positions:
                self._empty(account, now)
            elif self._is_due(view, now):
                self.assess(view, markets, now)
        self._contain(now)
        held = {position.market for view in accounts.values() for position in view.positions}
        for market in self._speeds.keys() - held:
            del self._speeds[market]
        if self.lags.is_due(now):
            self.lags.observe(_lags_of(held, markets), now)

    def heed(self, view: AccountView, markets: Mapping[MarketId, MarketView], now: Nanoseconds) -> None:
        """Something was said of an account: assess it now, unless it is large and nothing of it has changed."""
        self._take_equity(view, markets)
        if self._held.get(view.account) != view.held_version or len(view.positions) <= AT_ONCE_MAX:
            self.assess(view, markets, now)

    def _take_equity(self, view: AccountView, markets: Mapping[MarketId, MarketView]) -> None:
        """Take what its venue says an account is worth."""
        told = view.snapshots.get(PositionSource.VENUE)
        if told is None or told.equity_usd is None:
            return
        track = self.equities.get(view.account)
        if track is None:
            track = self.equities[view.account] = EquityTrack()
        held = dict.fromkeys((*(position.market for position in told.positions), *track.markets))
        marks = {
            market: mark
            for market in held
            if (seen := markets.get(market)) is not None
            and (mark := sensible_price(seen.mark_price or seen.mid_price)) is not None
        }
        track.observe(told, marks, told.received_at)

    def equities_kept(self) -> tuple[EquityKept, ...]:
        """What is to be kept over a restart."""
        kept = (track.kept(account) for account, track in self.equities.items())
        return tuple(each for each in kept if each is not None)

    def recall(self, kept: Iterable[EquityKept]) -> None:
        """Go on from what was kept, where no more than the first readings came since the start."""
        for each in kept:
            known = self.equities.get(each.account)
            if known is None or known.readings <= RECALLED_MAX:
                self.equities[each.account] = EquityTrack.recalled(each)

    def _contain(self, now: Nanoseconds) -> None:
        """Work out what would help the account whose turn it is: one at a time, because each takes tens of ms."""
        for account, known in self._assessed.items():
            legs = sum(len(pool.positions) for pool in known.pools)
            due_at = self._contained_at.get(account, 0) + CONTAIN_S * NS_PER_S
            if now >= due_at and legs <= CONTAINED_LEGS_MAX and known.risk.at == now:
                self._contained_at[account] = now
                self._assessed[account] = known.contained()
                return

    def assess(
        self, view: AccountView, markets: Mapping[MarketId, MarketView], now: Nanoseconds
    ) -> AccountRisk | None:
        """Assess one account now; ``None`` if it holds nothing."""
        if not view.positions:
            self._empty(view.account, now)
            return None
        marks = {
            position.market: mark
            for position in view.positions
            if (mark := sensible_price(mark_price(position, markets.get(position.market), now))) is not None
        }
        venue = venue_of(view.account)
        for market, mark in marks.items():
            speed = self._speeds.get(market)
            if speed is None:
                speed = self._speeds[market] = PriceSpeed.of(market)
                speed.observe(mark, now)
            seen = markets.get(market)
            if seen is not None and seen.mid_price is not None and seen.trust(now) is BookTrust.TRUSTED:
                speed.observe_mid(seen.mid_price, now)  # not every venue streams marks; books lead them
        leader, prices = self._led(venue, marks, markets)
        betas = self._betas.setdefault(view.account, Betas())
        betas.observe(prices, leader, now)
        known = assess(
            view,
            Surroundings(
                now=now,
                marks=marks,
                terms=self.terms_of(venue),
                pegs=self.pegs,
                betas={market: betas.of(market) for market in marks},
                speeds={market: self._speeds[market].speeds(now) for market in marks},
                stress=stress_level(view, markets),
                haircuts=self.haircuts,
                slippage=lambda asset, usd: _slippage_bps(self.pegs.underlying(asset), usd, venue, markets),
                closing=lambda market, usd: _cost_bps(markets.get(market), usd),
                action=self.action_times.action_time(view.held_by_bot),
            ),
        )
        former = self._assessed.get(view.account)
        if former is not None and self._held.get(view.account) == view.held_version:
            known = known.with_containment_of(former)
        self._assessed[view.account] = known
        self._held[view.account] = view.held_version
        self._fresh.add(view.account)
        self._heard_then[view.account] = self._heard
        return known.risk

    def _led(
        self, venue: str, marks: Mapping[MarketId, float], markets: Mapping[MarketId, MarketView]
    ) -> tuple[MarketId | None, dict[MarketId, float]]:
        """Whose moves the held markets are measured by, and the prices of all of them."""
        looked_at, leader = self._leaders.get(venue, (0, None))
        if looked_at != len(markets):
            leader = _leader_of(venue, markets)
            self._leaders[venue] = (len(markets), leader)
        view = None if leader is None else markets.get(leader)
        price = None if view is None else view.mark_price or view.mid_price
        return (None, dict(marks)) if leader is None or price is None else (leader, {**marks, leader: price})

    def _is_due(self, view: AccountView, now: Nanoseconds) -> bool:
        known = self._assessed.get(view.account)
        if known is None or self._held.get(view.account) != view.held_version:
            return True
        if self._heard_then.get(view.account) != self._heard and len(view.positions) <= AT_ONCE_MAX:
            return True
        period_s = max(PERIOD_S_MIN, len(view.positions) / LEGS_A_SECOND)
        return now - known.risk.at >= period_s * NS_PER_S

    def take_worth_recording(self) -> tuple[AccountRisk, ...]:
        """Those assessed since the last call that say something else than what was recorded, or that are due."""
        if not self._fresh and not self._emptied:
            return ()
        found = [risk for account, risk in sorted(self._emptied.items()) if account not in self._assessed]
        self._emptied.clear()
        for account in sorted(self._fresh):
            known = self._assessed.get(account)
            if known is not None and is_worth_recording(self._recorded.get(account), known.risk):
                self._recorded[account] = known.risk
                found.append(abridged(known.risk))
        self._fresh.clear()
        return tuple(found)

    def _empty(self, account: AccountId, now: Nanoseconds) -> None:
        """It holds nothing any more: what was recorded of it must not stand as the last word."""
        if account in self._recorded:
            self._emptied[account] = AccountRisk(account=account, at=now)
        self._forget(account)

    def _forget(self, account: AccountId) -> None:
        self._assessed.pop(account, None)
        self._recorded.pop(account, None)
        self._contained_at.pop(account, None)
        self._betas.pop(account, None)
        self._fresh.discard(account)
        self._held.pop(account, None)
        self._heard_then.pop(account, None)


def is_told_now(
    view: AccountView, clock: StreamClock | None, now: Nanoseconds, *, is_faulty: bool, reported_s: float
) -> bool:
    """Whether what an account holds is known now: nothing is to be cut on anything else.

    Args:
        view: the account.
        clock: of its stream, where its venue is asked.
        now: Unix nanoseconds.
        is_faulty: whether that stream has a fault.
        reported_s: seconds after which positions that only bots tell are not known any more.
    """
    if view.source is PositionSource.VENUE and clock is not None:
        return clock.state(now) is StreamState.FRESH and not is_faulty
    if view.source is PositionSource.BOT:
        return view.seen_at is not None and now - view.seen_at <= reported_s * NS_PER_S
    return True


def tick_outlook(
    own: OwnSide,
    outlook: Outlook,
    accounts: Mapping[AccountId, AccountView],
    markets: Mapping[MarketId, MarketView],
    now: Nanoseconds,
) -> None:
    """Let time pass in the outlook; at times it is told what one holds, and of all pegs that are known."""
    if outlook.recalled:
        own.recall(outlook.recalled)
        outlook.recalled = ()
    if outlook.wants_own(now):
        outlook.equities = own.equities_kept()
        _tell(own, outlook, accounts, now)
    outlook.tick(markets, now)


def _tell(
    own: OwnSide, outlook: Outlook, accounts: Mapping[AccountId, AccountView], now: Nanoseconds
) -> None:
    held: dict[MarketId, float] = {}
    for view in accounts.values():
        for position in view.positions:
            price = position.mark_price or position.entry_price
            usd = position.contracts_usd if price is None else position.size * price
            if usd is not None:
                held[position.market] = held.get(position.market, 0.0) + abs(usd)
    settings = own.pegs.settings
    assets = {fold(asset) for asset in (*settings.cash, *settings.stablecoins, *settings.claims)} - {USD}
    found = {asset: own.pegs.depeg(asset, now) for asset in sorted(assets)}
    own.worths = _worths(own, now)
    outlook.take_own(held, {asset: each.value for asset, each in found.items() if each is not None}, now)


def _lags_of(
    held: Iterable[MarketId], markets: Mapping[MarketId, MarketView]
) -> dict[str, tuple[Nanoseconds, Nanoseconds]]:
    """Of each venue where something is held the newest sample that bears the venue's time, and how late that came."""
    found: dict[str, tuple[Nanoseconds, Nanoseconds]] = {}
    for market in held:
        view = markets.get(market)
        sample = None if view is None else view.features
        if sample is None or sample.exchange_at is None:
            continue
        told = (
            (sample.book_at or sample.received_at),
            (sample.book_at or sample.received_at) - sample.exchange_at,
        )
        venue = venue_of(market)
        if venue not in found or told[0] > found[venue][0]:
            found[venue] = told
    return found


def _worths(own: OwnSide, now: Nanoseconds) -> dict[str, float]:
    """USD that a unit of each cash and stablecoin is worth over venues, where they say so and agree."""
    settings = own.pegs.settings
    found: dict[str, float] = {}
    for asset in sorted({fold(each) for each in (*settings.cash, *settings.stablecoins)}):
        seen = own.pegs.usd_price(asset, now)
        if seen is not None and not seen.is_disputed and asset not in seen.assumed:
            found[asset] = seen.price_usd
    return found


def _leader_of(venue: str, markets: Mapping[MarketId, MarketView]) -> MarketId | None:
    found = {symbol_of(market).partition("/")[0]: market for market in markets if venue_of(market) == venue}
    return next((found[base] for base in LEADER_BASES if base in found), None)


def mark_price(position: Position, view: MarketView | None, now: Nanoseconds) -> float | None:
    """The price that a position's liquidation hangs on, as last known: the market's stream, else the account's word.

    Where the venue has no stream of mark prices the middle of the book stands in. ``None`` is not known.
    """
    if view is not None:
        match view.stream_state(Stream.MARK_PRICE, now):
            case StreamState.NEVER if position.mark_price is None:
                return view.mid_price
            case StreamState.STALE | StreamState.NEVER:
                return position.mark_price
            case _:
                return view.mark_price or position.mark_price
    return position.mark_price


def _slippage_bps(coin: str, usd: float, venue: str, markets: Mapping[MarketId, MarketView]) -> float | None:
    """What selling so much of a coin would cost in the watched book that it could be hedged in at once."""
    for market, view in markets.items():
        if venue_of(market) == venue and symbol_of(market).partition("/")[0].upper() == coin.upper():
            return _cost_bps(view, usd)
    return None


def _cost_bps(view: MarketView | None, usd: float) -> float | None:
    """Bps off mid at which so many USD would be sold now (bought, if negative)."""
    mid = None if view is None else view.mid_price
    cost = None if view is None or mid is None else view.exit_cost_bps(usd / mid)
    return None if cost is None else cost.value


def stress_level(view: AccountView, markets: Mapping[MarketId, MarketView]) -> float:
    """How far the books that an account would have to be sold into have thinned: 0 at normal depth, 1 without any."""
    worst = 0.0
    for position in view.positions:
        market = markets.get(position.market)
        ratio = None if market is None else market.depth_ratio(Side.BID if position.size > 0 else Side.ASK)
        if ratio is not None:
            worst = max(worst, 1.0 - ratio)
    return min(worst, 1.0)
