"""One bot: as the settings name it, and as it has shown itself. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guard.events import MessageRefused
from guard.units import NS_PER_S, AccountId, BotId, MarketId, Nanoseconds, symbol_of
from perpguard_sdk.messages import ALL_SYMBOLS, Birth, BotState, BotStatus, Reported

WILL_LATE_NS = 2 * NS_PER_S
"""A report so long after a bot's Will is not one that was retained beside it: the bot lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BotConfig:
    """A bot as the settings name it; ``markets`` empty means those of its birth."""

    bot: BotId
    account: AccountId
    markets: tuple[MarketId, ...] = ()


REFUSALS_FORGOTTEN_NS = 600 * NS_PER_S
"""Refused messages count together while no more time than this lies between two of them."""


@dataclass(slots=True)
class Refusals:
    """How many messages in a bot's name were refused, and the last one's reason."""

    count: int = 0
    last: MessageRefused | None = None

    def note(self, event: MessageRefused) -> None:
        """Count those that an event speaks for."""
        if self.last is not None and event.received_at - self.last.received_at > REFUSALS_FORGOTTEN_NS:
            self.count = 0
        self.count += event.count
        self.last = event


LIVES_MAX = 64
"""So many lives of a bot are told apart from new ones; it would have to be started as often in a few seconds."""

LIFE_QUIET_NS = 10 * NS_PER_S
"""A life without a birth is believed only if the one before has said nothing for so long."""


@dataclass(slots=True)
class Life:
    """One run of a bot: its birth, if that was heard, and the number of its latest report."""

    birth: Birth | None = None
    number: int = 0


@dataclass(slots=True)
class BotRecord:
    """What is known of one bot; times are ours.

    What it says is signed, and can still come late, twice, or be played back by somebody who has recorded
    it. ``session`` is therefore the life that spoke last in an order that nobody can play back: births that
    are new, and reports whose number rises. A life that was left comes back only if it goes on reporting.

    ``markets`` are those that it may trade: by the settings, else by its birth, and always those that it
    reported a position in or that a former guard restricted, because a restriction must not end with
    the position.
    """

    config: BotConfig
    birth: Birth | None = None
    status: BotState | None = None
    status_at: Nanoseconds | None = None
    reported: Reported | None = None
    reported_at: Nanoseconds | None = None
    seen_at: Nanoseconds | None = None
    markets: tuple[MarketId, ...] = ()
    session: str = ""
    lives: dict[str, Life] = field(default_factory=dict)

    def take_birth(self, birth: Birth) -> bool:
        """Begin or go on with a life; return whether this is the birth of the one that speaks now."""
        known = self.lives.get(birth.session)
        if known is not None and known.birth is not None and birth.session != self.session:
            return False
        self._life(birth.session).birth = birth
        self.birth, self.session = birth, birth.session
        return True

    def take_report(self, reported: Reported, at: Nanoseconds) -> bool:
        """Return whether a report says anything new."""
        known = self.lives.get(reported.session)
        if known is None and self.session and at - (self.reported_at or 0) < LIFE_QUIET_NS:
            return False
        if known is not None and 0 < reported.number <= known.number:
            return False
        life = self._life(reported.session)
        life.number = max(life.number, reported.number)
        if reported.session != self.session:
            self.session, self.birth = reported.session, life.birth or self.birth
        self.reported, self.reported_at = reported, at
        return True

    def _life(self, session: str) -> Life:
        life = self.lives.setdefault(session, Life())
        while len(self.lives) > LIVES_MAX:
            del self.lives[next(name for name in self.lives if name != self.session)]
        return life

    @property
    def is_online(self) -> bool:
        """Whether it was born and its Will has not fired since.

        The Will of an earlier life says nothing of this one. A broker may also publish it after the same
        life has connected again: reports that go on coming tell.
        """
        if self.birth is None:
            return False
        if self.status is None or self.status.state is not BotStatus.OFFLINE:
            return True
        if self.status.session != self.session:
            return True
        if self.reported is None or self.reported_at is None or self.status_at is None:
            return False
        is_same_life = self.reported.session == self.session
        return is_same_life and self.reported_at - self.status_at >= WILL_LATE_NS

    @property
    def symbols(self) -> set[str]:
        """The symbols that it names or holds, without those that it only may trade because it may trade all."""
        named = {symbol_of(market) for market in self.config.markets}
        if self.birth is not None and not named:
            named = {symbol for symbol in self.birth.symbols if symbol != ALL_SYMBOLS}
        return named | ({position.symbol for position in self.reported.positions} if self.reported else set())

    @property
    def trades_everything(self) -> bool:
        """Whether neither settings nor birth name its markets."""
        return not self.config.markets and self.birth is not None and ALL_SYMBOLS in self.birth.symbols


@dataclass(slots=True)
class Owners:
    """Who trades each market on each account."""

    _owners: dict[tuple[AccountId, MarketId], tuple[BotId, ...]] = field(default_factory=dict)

    def of(self, account: AccountId, market: MarketId) -> tuple[BotId, ...]:
        """The bots that trade ``market`` on ``account``, in the order of the settings."""
        return self._owners.get((account, market), ())

    def set_markets(
        self, record: BotRecord, markets: tuple[MarketId, ...], bots: Mapping[BotId, BotRecord]
    ) -> None:
        """Let a bot trade these markets and no others; ``bots`` are all of them."""
        if markets == record.markets:
            return
        former, record.markets, bot = record.markets, markets, record.config.bot
        trades = set(markets)
        for market in trades.symmetric_difference(former):
            key = (record.config.account, market)
            known = {*self._owners.get(key, ())}
            owners = known | {bot} if market in trades else known - {bot}
            self._owners[key] = tuple(each for each in bots if each in owners)

    def index(self, bots: Mapping[BotId, BotRecord]) -> None:
        """These are all bots there are."""
        self._owners = {}
        for bot, record in bots.items():
            for market in record.markets:
                key = (record.config.account, market)
                self._owners[key] = (*self._owners.get(key, ()), bot)
