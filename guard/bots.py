"""One bot: as the settings name it, and as it has shown itself. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(slots=True)
class BotRecord:
    """What is known of one bot; times are ours.

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
        if self.status.session != self.birth.session:
            return True
        if self.reported is None or self.reported_at is None or self.status_at is None:
            return False
        is_same_life = self.reported.session == self.birth.session
        return is_same_life and self.reported_at - self.status_at >= WILL_LATE_NS

    @property
    def session(self) -> str:
        """The session of its latest birth, empty before the first."""
        return "" if self.birth is None else self.birth.session

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
