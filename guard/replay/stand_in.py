"""A bot that holds nothing and does at once what it is told: in a replay there has to be somebody to tell.

It trades every market of one venue in the file. What it is told is what any bot would be told that holds nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.audit import Step
from guard.events import BotBorn, BotReported
from guard.state import BotConfig
from guard.units import AccountId, BotId, MarketId, Nanoseconds, account_id, ms_of, symbol_of, venue_of
from perpguard_sdk.messages import Birth, Mode, Posture, Reported, Verb, VerbCapability

ACCOUNT = "replay"
SESSION = "replay"
REPORT_NS = 1_000_000_000
"""It reports so often where it is told nothing new, and at once where it is."""


@dataclass(slots=True)
class StandIn:
    """One for each venue; ``take`` every step, and ``report`` before every Tick."""

    venue: str
    markets: tuple[MarketId, ...]
    _posture: Posture | None = None
    _session: str = ""
    _seq: int = 0
    _number: int = 0
    _due_at: Nanoseconds = 0
    config: BotConfig = field(init=False)

    def __post_init__(self) -> None:
        self.config = BotConfig(bot=BotId(f"any-on-{self.venue}"), account=self.account, markets=self.markets)

    @property
    def account(self) -> AccountId:
        """An account of its own, which holds nothing."""
        return account_id(self.venue, ACCOUNT)

    def birth(self, at: Nanoseconds) -> BotBorn:
        """Say what it is."""
        verbs = {verb: VerbCapability(deadline_ms=1_000) for verb in Verb}
        return BotBorn(
            received_at=at,
            birth=Birth(
                bot=self.config.bot,
                session=SESSION,
                ts=ms_of(at),
                software="replay",
                software_version="1",
                mode=Mode.PAPER,
                venue=self.venue,
                account=ACCOUNT,
                symbols=tuple(symbol_of(market) for market in self.markets),
                verbs=verbs,
                no_adds=True,
                scales_entries=True,
            ),
        )

    def take(self, step: Step) -> None:
        """Do what a step tells it; it is reported at the next Tick."""
        for publish in step.postures:
            if publish.posture.bot == self.config.bot:
                self._posture, self._session = publish.posture, publish.posture.session
                self._due_at = 0
        for command in step.commands:
            if command.command.bot == self.config.bot:
                self._seq, self._due_at = max(self._seq, command.command.seq), 0

    def report(self, at: Nanoseconds) -> BotReported | None:
        """What it has done, if a report is due."""
        if at < self._due_at:
            return None
        self._due_at, self._number = at + REPORT_NS, self._number + 1
        posture = self._posture
        return BotReported(
            received_at=at,
            reported=Reported(
                bot=self.config.bot,
                session=SESSION,
                ts=ms_of(at),
                mode=Mode.PAPER,
                posture_version=0 if posture is None else posture.version,
                epoch=0 if posture is None else posture.epoch,
                seq=self._seq,
                safe_mode=False,
                entries={} if posture is None else posture.entries,
                max_leverage={} if posture is None else posture.max_leverage,
                max_size={} if posture is None else posture.max_size,
                entry_share={} if posture is None else posture.entry_share,
                guard=self._session,
                number=self._number,
                clock_offset_ms=0.0,
            ),
        )


def stand_ins_of(markets: tuple[MarketId, ...]) -> tuple[StandIn, ...]:
    """One for each venue that the markets are of."""
    venues = dict.fromkeys(venue_of(market) for market in markets)
    return tuple(
        StandIn(venue, tuple(market for market in markets if venue_of(market) == venue)) for venue in venues
    )
