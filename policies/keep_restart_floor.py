"""After a restart keep what the former guard had decided, until this one can tell calm from thin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from guard.findings import Finding, Limit, Reason, Severity, Subject
from guard.state import GuardState
from guard.units import BotId, MarketId, Nanoseconds, symbol_of
from perpguard_sdk.messages import ALL_SYMBOLS, Entries, Evidence, Posture


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepRestartFloor:
    """Holds each bot's last published posture as a floor until a market's baseline is warm for the first time.

    The floor comes from the guard's own store or, where that is gone, from the retained posture topics,
    verified with the bot's key. Once the baseline is warm the other policies judge and the arbiter
    loosens after its hold-down.

    Attributes:
        enabled: whether it decides at all.
    """

    __pydantic_config__ = {"extra": "forbid"}
    name = "keep_restart_floor"

    enabled: bool = True

    def decide(self, state: GuardState, now: Nanoseconds) -> Iterator[Finding]:  # noqa: ARG002 (part of Policy)
        """Yield one finding for each bot and market under a floor whose baseline was not warm yet."""
        if not self.enabled:
            return
        for bot in state.floors:
            yield from self._of_bot(state, bot, state.bots[bot].markets)

    def decide_for(
        self,
        state: GuardState,
        now: Nanoseconds,  # noqa: ARG002 (part of MarketPolicy)
        markets: AbstractSet[MarketId],
    ) -> Iterator[Finding]:
        """Yield those of ``decide`` that are about ``markets``."""
        if not self.enabled:
            return
        for bot in state.floors:
            account = state.bots[bot].config.account
            traded = [market for market in markets if bot in state.owners(account, market)]
            yield from self._of_bot(state, bot, traded)

    def _of_bot(self, state: GuardState, bot: BotId, markets: Iterable[MarketId]) -> Iterator[Finding]:
        floor = state.floors[bot]
        for market in markets:
            if market in state.warmed:
                continue
            limit = _limit(floor, symbol_of(market))
            if limit != Limit():
                yield self._finding(bot, market, floor, limit)

    def _finding(self, bot: BotId, market: MarketId, floor: Posture, limit: Limit) -> Finding:
        return Finding(
            policy=self.name,
            reason=Reason.RESTART_FLOOR,
            severity=Severity.WATCH,
            subject=Subject(market=market, bot=bot),
            limit=limit,
            evidence=(
                Evidence(name="posture before the restart", value=float(floor.version), unit="version"),
                Evidence(name="baseline", value="warming up", unit="state"),
            ),
            counterfactual="would not stand with a baseline that is warm",
            freezes=True,
        )


def _limit(floor: Posture, symbol: str) -> Limit:
    """What the floor said of one symbol; a key for it and one for all symbols both hold, the tighter wins."""
    keys = [key for key in (symbol, ALL_SYMBOLS) if key in floor.entries]
    entries = Entries.tightest(*(floor.entries[key] for key in keys)) if keys else None
    leverages = [floor.max_leverage[key] for key in (symbol, ALL_SYMBOLS) if key in floor.max_leverage]
    sizes = [floor.max_size[key] for key in (symbol, ALL_SYMBOLS) if key in floor.max_size]
    shares = [floor.entry_share[key] for key in (symbol, ALL_SYMBOLS) if key in floor.entry_share]
    return Limit(
        entries=entries,
        max_leverage=min(leverages, default=None),
        max_size=min(sizes, default=None),
        stop=floor.stops.get(symbol),
        entry_share=min(shares, default=None),
    )
