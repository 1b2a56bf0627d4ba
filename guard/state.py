"""Everything the guard knows: GuardState.apply(event) is the one mutation. No I/O, no clock.

The engine owns the state; policies read it and never change it. Settings that are changed while the guard
runs come by ``reconfigure``, between two events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guard.account.positions import AccountView, without
from guard.bots import BotConfig, BotRecord, Owners, Refusals
from guard.events import (
    AccountSnapshot,
    AnyEvent,
    AssetPricesSeen,
    BookStatus,
    BotAcked,
    BotBorn,
    BotReported,
    BotStatusSeen,
    CommandSent,
    EpochContested,
    GuardStarted,
    InstructionSeen,
    LinkChanged,
    LinkKind,
    LiquidationSeen,
    LongShortRatioSeen,
    MarginTermsSeen,
    MarketFeatures,
    MarketsSampled,
    MarketsWatched,
    MarkPriceSeen,
    MessageRefused,
    OpenInterestHistorySeen,
    OpenInterestSeen,
    OutlookRestored,
    OutsideFactSeen,
    Position,
    PositionSource,
    SettingsChanged,
    Stream,
    StreamActivity,
    StreamFault,
    StreamFaultKind,
    StreamsActive,
    Tick,
    TrackedPositionsSeen,
)
from guard.instructions import Instructions
from guard.market.freshness import StreamClock
from guard.market.view import BaselineSettings, MarketView
from guard.outlook.outlook import Outlook
from guard.own_side import OwnSide, tick_outlook
from guard.units import AccountId, BotId, MarketId, Nanoseconds, market_id, symbol_of, venue_of
from perpguard_sdk.messages import ALL_SYMBOLS, Birth, Mode, Posture, Reported

__all__ = ["BotConfig", "BotRecord", "GuardState", "Refusals"]


@dataclass(slots=True)
class GuardState:
    """The whole state. Build one with ``GuardState.of``; change it only by ``apply``.

    ``watched`` are the markets that the settings name, or that their feeds say they watch, ``choosing`` the
    venues whose feeds have yet to say so and ``chosen`` those whose feeds have. ``floors`` are what a former
    guard published, ``warmed`` the markets whose baseline has been warm at least once since: there they have
    done their part. ``contested_epoch`` is one that two guards have claimed, so that it names neither.
    ``own`` is what was worked out of the accounts, ``outlook`` what is estimated of the markets, ``instructions`` what
    humans told; ``_owners`` says who trades each market on each account.
    ``dropping`` are markets that the settings, or the choice of a venue's feed, took from a bot while it was
    restricted there: they go once the arbiter has let go of them.
    """

    baseline: BaselineSettings
    now: Nanoseconds = 0
    guard: str = ""
    epoch: int = 0
    session: str = ""
    mode: Mode = Mode.PAPER
    started_at: Nanoseconds | None = None
    markets: dict[MarketId, MarketView] = field(default_factory=dict)
    book_faults: dict[MarketId, StreamFault] = field(default_factory=dict)
    accounts: dict[AccountId, AccountView] = field(default_factory=dict)
    account_clocks: dict[AccountId, StreamClock] = field(default_factory=dict)
    account_faults: dict[AccountId, StreamFault] = field(default_factory=dict)
    bots: dict[BotId, BotRecord] = field(default_factory=dict)
    watched: frozenset[MarketId] = frozenset()
    choosing: frozenset[str] = frozenset()
    chosen: frozenset[str] = frozenset()
    floors: dict[BotId, Posture] = field(default_factory=dict)
    warmed: set[MarketId] = field(default_factory=set)
    links_down: dict[LinkKind, LinkChanged] = field(default_factory=dict)
    refusals: dict[BotId | None, Refusals] = field(default_factory=dict)
    contested_epoch: int = 0
    dropping: set[tuple[BotId, MarketId]] = field(default_factory=set)
    own: OwnSide = field(default_factory=OwnSide)
    outlook: Outlook = field(default_factory=Outlook)
    instructions: Instructions = field(default_factory=Instructions)
    _owners: Owners = field(default_factory=Owners)

    @classmethod
    def of(
        cls,
        *,
        baseline: BaselineSettings,
        markets: tuple[MarketId, ...] = (),
        bots: tuple[BotConfig, ...] = (),
        keyed_accounts: tuple[AccountId, ...] = (),
        choosing: tuple[str, ...] = (),
    ) -> GuardState:
        """Start from what the settings name: these markets, bots and accounts with keys are expected.

        Naming them is what lets their silence be noticed before the first word of them. ``choosing`` are the
        venues whose feeds choose further markets by themselves.
        """
        state = cls(baseline=baseline, watched=frozenset(markets), choosing=frozenset(choosing))
        for market in markets:
            state.markets[market] = MarketView(market, baseline)
        for bot in bots:
            state.bots[bot.bot] = BotRecord(bot)
            state._note_markets(state.bots[bot.bot])
            state.accounts.setdefault(bot.account, AccountView(bot.account))
        for account in keyed_accounts:
            state.accounts.setdefault(account, AccountView(account))
            state.account_clocks[account] = state.new_clock()
        return state

    def reconfigure(
        self,
        *,
        baseline: BaselineSettings,
        markets: tuple[MarketId, ...],
        without: frozenset[MarketId],
        bots: tuple[BotConfig, ...],
        keyed_accounts: tuple[AccountId, ...],
        floors: Mapping[BotId, Posture],
    ) -> None:
        """Take other settings; what is known of everything that stays is kept.

        Args:
            baseline: as in ``of``, like all that is not named here.
            markets: those that the settings name now.
            without: those that only the former settings named.
            bots: those that may be commanded now.
            keyed_accounts: those whose venue is asked.
            floors: what new bots were last told, to hold as after a start.
        """
        self.baseline = baseline
        for view in self.markets.values():
            view.reconfigure(baseline)
        for clock in self.account_clocks.values():
            clock.reconfigure(limit_ms_min=baseline.stale_ms_min, recover_ms=baseline.recover_ms)
        self.watched = (self.watched - without) | frozenset(markets)
        self._name_bots(bots, floors)
        self._name_accounts(keyed_accounts)
        for market in without:
            self._unwatch(market)
        for market in markets:
            self.market(market)
        # What is known no more of an account must not be acted on until the next tick.
        self.own.look(self.accounts, self.markets, self.now)

    def let_go(self, bot: BotId, market: MarketId) -> None:
        """A bot is restricted no more in a market that it does not trade any more."""
        self.dropping.discard((bot, market))
        record = self.bots.get(bot)
        if record is not None:
            self._set_markets(record, tuple(each for each in record.markets if each != market))

    def apply(self, event: AnyEvent) -> None:  # noqa: C901, PLR0912 (one case an event is the table of the fold)
        """Fold one event in. Unknown subjects make a place for themselves; nothing raises."""
        self.now = max(self.now, event.received_at)
        if isinstance(event, MarketFeatures | MarkPriceSeen | OpenInterestSeen | LiquidationSeen):  # often
            self._apply_market(event)
            return
        match event:
            case Tick():
                self.own.look(self.accounts, self.markets, self.now)
                tick_outlook(self.own, self.outlook, self.accounts, self.markets, self.now)
            case BotAcked() | CommandSent() | SettingsChanged():
                pass  # acks and sendings concern dispatch alone, settings came before
            case AssetPricesSeen():
                self.own.take_prices(event)
            case MarketsWatched():
                self._watch(event)
            case GuardStarted() | InstructionSeen():
                self.instructions.hear(event)
                if isinstance(event, GuardStarted):
                    self._start(event)
            case OpenInterestHistorySeen() | LongShortRatioSeen() | TrackedPositionsSeen():
                if not self._is_left(event.market):
                    self.market(event.market)
                    self.outlook.hear(event)
            case MarginTermsSeen() | OutsideFactSeen() | OutlookRestored():
                if isinstance(event, MarginTermsSeen):
                    self.own.take_terms(event)
                self.outlook.hear(event)
            case MarketsSampled(samples=samples):
                for sample in samples:
                    self._apply_market(sample)
            case StreamsActive(activities=activities):
                for activity in activities:
                    self._apply_stream(activity)
            case StreamActivity() | StreamFault():
                self._apply_stream(event)
            case AccountSnapshot():
                view = self.account(event.account)
                view.apply_snapshot(event)
                self.own.heed(view, self.markets, self.now)
                if event.source is PositionSource.VENUE:
                    self.account_faults.pop(event.account, None)
                    if event.account in self.account_clocks:
                        self.account_clocks[event.account].touch(event.received_at)
            case BotBorn() | BotStatusSeen() | BotReported():
                self._apply_bot(event)
            case MessageRefused():
                self.refusals.setdefault(event.bot, Refusals()).note(event)
            case EpochContested(epoch=epoch):
                self.contested_epoch = max(self.contested_epoch, epoch)
            case LinkChanged(up=True):
                self.links_down.pop(event.link, None)
            case LinkChanged():
                self.links_down[event.link] = event

    def pass_time(self, at: Nanoseconds) -> None:
        """Let it be ``at`` at least."""
        self.now = max(self.now, at)

    def market(self, market: MarketId) -> MarketView:
        """The view of a market, made when first heard of."""
        view = self.markets.get(market)
        if view is None:
            view = self.markets[market] = MarketView(market, self.baseline)
            for record in self.bots.values():
                if record.trades_everything and venue_of(market) == venue_of(record.config.account):
                    self._set_markets(record, tuple(dict.fromkeys((*record.markets, market))))
        return view

    def account(self, account: AccountId) -> AccountView:
        """The view of an account, made when first heard of."""
        return self.accounts.setdefault(account, AccountView(account))

    def new_clock(self) -> StreamClock:
        """A clock for one account's stream, by the settings of the baselines."""
        return StreamClock(limit_ms_min=self.baseline.stale_ms_min, recover_ms=self.baseline.recover_ms)

    @property
    def highest_epoch_reported(self) -> int:
        """The highest epoch that a bot of ours says it obeys, or that lies just above one we share."""
        reported = (self._epoch_of(record.reported) for record in self.bots.values() if record.reported)
        return max([self.contested_epoch + 1 if self.contested_epoch else 0, *reported])

    def _epoch_of(self, reported: Reported) -> int:
        """A bot that obeys another guard in our epoch is as lost to us as one that obeys a higher epoch."""
        is_shared = reported.epoch == self.epoch and reported.guard not in ("", self.session)
        return reported.epoch + is_shared

    @property
    def is_outranked(self) -> bool:
        """Whether a bot obeys a higher epoch than ours, so that it drops what we say."""
        return 0 < self.epoch < self.highest_epoch_reported

    def owners(self, account: AccountId, market: MarketId) -> tuple[BotId, ...]:
        """The bots that trade ``market`` on ``account``."""
        return self._owners.of(account, market)

    def _set_markets(self, record: BotRecord, markets: tuple[MarketId, ...]) -> None:
        self._owners.set_markets(record, markets, self.bots)

    def _start(self, event: GuardStarted) -> None:
        self.guard, self.epoch, self.session, self.mode = event.guard, event.epoch, event.session, event.mode
        self.started_at = event.received_at
        # A baseline may have become warm while the epoch was waited for. The floor holds for a moment all
        # the same, so that it is taken back in steps after the hold-down like any other restriction.
        self.warmed.clear()
        self.floors = {BotId(floor.bot): floor for floor in event.floors if floor.bot in self.bots}
        for bot in self.floors:
            self._note_markets(self.bots[bot])

    def _name_bots(self, bots: tuple[BotConfig, ...], floors: Mapping[BotId, Posture]) -> None:
        former, self.bots = self.bots, {}
        self.refusals.clear()  # others are known, or by other keys: what was refused before says nothing of now
        # A floor that has done its part must not come back with the floor of a new bot.
        done = {bot for bot in self.floors if self.warmed.issuperset(former[bot].markets)}
        self.floors = {bot: floor for bot, floor in self.floors.items() if bot not in done}
        for config in bots:
            record = self.bots[config.bot] = former.get(config.bot) or BotRecord(config)
            record.config = config
            if config.bot in former:
                self._drop_unnamed(record)
            elif config.bot in floors:
                self.floors[config.bot] = floors[config.bot]
            self._note_markets(record)
            if config.bot not in former and config.bot in floors:
                # As after a start: the floor holds for a moment, to be taken back in steps.
                self.warmed -= set(record.markets)
        for bot in former.keys() - self.bots.keys():
            self.floors.pop(bot, None)
            self.dropping = {each for each in self.dropping if each[0] != bot}
            account = former[bot].config.account
            self.accounts[account] = without(self.account(account), bot=bot)
        self._owners.index(self.bots)

    def _name_accounts(self, keyed: tuple[AccountId, ...]) -> None:
        for account in self.account_clocks.keys() - set(keyed):
            # Nobody asks its venue any more: what it said last must not be believed for ever.
            del self.account_clocks[account]
            self.account_faults.pop(account, None)
            self.accounts[account] = without(self.account(account), source=PositionSource.VENUE)
        for account in keyed:
            if account not in self.account_clocks:
                self.account(account)
                self.account_clocks[account] = self.new_clock()
        for account, view in self.accounts.items():
            if PositionSource.SETTINGS in view.snapshots:
                # What is asked about is told anew.
                self.accounts[account] = without(view, source=PositionSource.SETTINGS)
        for record in self.bots.values():
            self.account(record.config.account)
        needed = {*keyed, *(record.config.account for record in self.bots.values())}
        self.accounts = {
            account: view for account, view in self.accounts.items() if account in needed or view.snapshots
        }

    def _unwatch(self, market: MarketId) -> None:
        """Forget a market, unless somebody trades it or holds something there: that is unknown, not gone."""
        held = any(view.legs(market) for view in self.accounts.values())
        traded = any(
            market in record.markets and (bot, market) not in self.dropping
            for bot, record in self.bots.items()
        )
        if not held and not traded:
            self.markets.pop(market, None)
            self.book_faults.pop(market, None)
            self.warmed.discard(market)

    def _drop_unnamed(self, record: BotRecord) -> None:
        """Let go, in steps, of markets that neither settings nor birth nor a position name any more."""
        named = self._named_markets(record)
        self.dropping |= {(record.config.bot, market) for market in record.markets if market not in named}
        self.dropping -= {(record.config.bot, market) for market in named}

    def _note_markets(self, record: BotRecord) -> None:
        """Gather what a bot may trade. A market that nobody watches gets a view that says so: never heard of."""
        named = self._named_markets(record)
        self.dropping -= {(record.config.bot, market) for market in named}
        self._set_markets(record, tuple(dict.fromkeys((*named, *record.markets))))
        for market in record.markets:
            if (record.config.bot, market) not in self.dropping:
                self.market(market)

    def _named_markets(self, record: BotRecord) -> list[MarketId]:
        venue = venue_of(record.config.account)
        named: list[MarketId] = [*record.config.markets]
        symbols = [position.symbol for position in record.reported.positions] if record.reported else []
        floor = self.floors.get(record.config.bot)
        if floor is not None:
            restricted = [*floor.entries, *floor.max_leverage, *floor.max_size, *floor.stops]
            # One that is watched no more is never warm again: its floor would stand for ever.
            symbols += [
                symbol
                for symbol in restricted
                if venue in self.choosing or market_id(venue, symbol) in self.watched
            ]
        if record.trades_everything:
            named += [market for market in self.markets if venue_of(market) == venue]
        elif not named and record.birth is not None:
            symbols = [*record.birth.symbols, *symbols]
        return [*named, *(market_id(venue, symbol) for symbol in symbols if symbol != ALL_SYMBOLS)]

    def needed(self, venue: str) -> frozenset[str]:
        """The symbols of a venue that must be watched: those of positions, and those that bots name or hold."""
        held = {
            symbol_of(position.market)
            for account, view in self.accounts.items()
            if venue_of(account) == venue
            for position in view.positions
        }
        traded = (record.symbols for record in self.bots.values() if venue_of(record.config.account) == venue)
        return frozenset(held.union(*traded))

    def _is_left(self, market: MarketId) -> bool:
        """Whether its feed has said that it watches others: what was on its way must not bring it back."""
        if market in self.markets or venue_of(market) not in self.chosen:
            return False
        return symbol_of(market) not in self.needed(venue_of(market))

    def _watch(self, event: MarketsWatched) -> None:
        """A venue's feed has chosen. What it has left goes, unless somebody trades or holds it: then it is unknown."""
        self.outlook.hear(event)
        venue, watched = event.venue, frozenset(event.markets)
        self.watched = watched | {market for market in self.watched if venue_of(market) != venue}
        self.choosing -= {venue}
        self.chosen |= {venue}
        for market in event.markets:
            self.market(market)
        for record in self.bots.values():
            if record.trades_everything:
                self._note_markets(record)
        needed = {market_id(venue, symbol) for symbol in self.needed(venue)}
        for market, view in list(self.markets.items()):
            if venue_of(market) != venue:
                continue
            if market in watched or market in needed:
                view.expect(event.periods_ms, event.absent, event.received_at)
            else:
                self.dropping |= {(bot, market) for bot in self.bots if market in self.bots[bot].markets}
                self._unwatch(market)
                self.warmed.add(market)  # a floor there would stand for ever

    def _apply_market(
        self, event: MarketFeatures | MarkPriceSeen | OpenInterestSeen | LiquidationSeen
    ) -> None:
        view = self.markets.get(event.market)
        if view is None:
            if self._is_left(event.market):
                return
            view = self.market(event.market)
        view.apply(event)
        self.outlook.hear(event)
        if isinstance(event, MarkPriceSeen):
            self.own.take_mark(event)
        elif isinstance(event, MarketFeatures):
            self.outlook.look(view, self.now)
        if self.book_faults and isinstance(event, MarketFeatures) and event.status is BookStatus.OK:
            self.book_faults.pop(event.market, None)
        if event.market not in self.warmed and view.is_warm(self.now):
            self.warmed.add(event.market)

    def _apply_stream(self, event: StreamActivity | StreamFault) -> None:
        if event.stream is not Stream.ACCOUNT:
            market = MarketId(event.subject)
            if self._is_left(market):
                return
            self.market(market).apply(event)
            if isinstance(event, StreamFault) and event.stream is Stream.BOOK:
                self.book_faults[market] = event
            return
        account = AccountId(event.subject)
        match event:
            case StreamActivity():
                clock = self.account_clocks.setdefault(account, self.new_clock())
                clock.on_activity(event.last_at, event.updates, event.gap_ns_max)
            case StreamFault(fault=StreamFaultKind.RECONCILED | StreamFaultKind.RECONNECTED):
                self.account_faults.pop(account, None)
            case StreamFault():
                self.account_faults[account] = event

    def _apply_bot(self, event: BotBorn | BotStatusSeen | BotReported) -> None:
        match event:
            case BotBorn(birth=birth):
                message_bot = birth.bot
            case BotStatusSeen(state=status):
                message_bot = status.bot
            case BotReported(reported=reported):
                message_bot = reported.bot
        record = self.bots.get(BotId(message_bot))
        if record is None:
            return
        record.seen_at = event.received_at
        match event:
            case BotBorn(birth=birth):
                self._take_birth(record, birth)
            case BotStatusSeen(state=status):
                record.status, record.status_at = status, event.received_at
            case BotReported(reported=reported):
                if not record.take_report(reported, event.received_at):
                    return
                self._note_markets(record)
                if reported.positions_known:
                    self._apply_reported_positions(record, reported, event.received_at)

    def _take_birth(self, record: BotRecord, birth: Birth) -> None:
        before = record.session
        if record.take_birth(birth):
            if birth.session != before:  # another life may trade other markets
                self._drop_unnamed(record)
            self._note_markets(record)

    def _apply_reported_positions(self, record: BotRecord, reported: Reported, at: Nanoseconds) -> None:
        account = record.config.account
        venue = venue_of(account)
        positions = tuple(
            Position(
                market=market_id(venue, position.symbol),
                size=position.size,
                entry_price=position.entry_price,
                mark_price=position.mark_price,
                leverage=position.leverage,
                liquidation_price=position.liquidation_price,
            )
            for position in reported.positions
        )
        view = self.account(account)
        view.apply_bot(record.config.bot, positions, at)
        if view.source is PositionSource.BOT:  # else what the venue says stands, and is looked at by itself
            self.own.heed(view, self.markets, self.now)
