"""What is closed and stays so until a human releases it, and how much may be taken off by itself. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from guard.effects import size_of
from guard.findings import Finding, Reason
from guard.instructions import is_released
from guard.ladder import Rung, allowed, flattened, waits
from guard.latches import Asked, Latches
from guard.state import BotRecord, GuardState
from guard.units import BotId, MarketId
from perpguard_sdk.messages import Instruction


@dataclass(slots=True)
class Closing:
    """``highest`` is how far the guard may go by itself, ``share_max`` what it may take off where that is a share.

    ``waiting`` says to people where something was closed, or should have been.
    """

    highest: Rung
    share_max: float
    waiting: dict[tuple[BotId, MarketId], Finding] = field(default_factory=dict)

    def within(self, findings: Sequence[Finding]) -> list[Finding]:
        """Take from findings what lies above the highest rung that is allowed."""
        return [finding if _is_told(finding) else allowed(finding, self.highest) for finding in findings]

    def keep(
        self,
        latches: Latches,
        concerning: Sequence[Finding],
        in_force: Sequence[Instruction],
        record: BotRecord,
        market: MarketId,
    ) -> Sequence[Finding]:
        """What is asked in one market of one bot, what is closed there among it."""
        bot, account = record.config.bot, record.config.account
        asks = next((finding for finding in concerning if finding.limit.flatten), None)
        if asks is not None or latches.flattened is not None:
            if is_released(in_force, bot=bot, account=account, market=market):
                latches.flattened, asks = None, None
                concerning = [allowed(finding, Rung.REDUCE_TO_SAFE) for finding in concerning]
            elif latches.flattened is None and asks is not None and self.highest is Rung.FLATTEN:
                latches.flattened = flattened(bot, market, asks)
        if latches.flattened is not None:
            self.waiting[bot, market] = waits(bot, market, latches.flattened, is_latched=True)
            return [latches.flattened, *concerning]
        if asks is not None:
            self.waiting[bot, market] = waits(bot, market, asks, is_latched=False)
        elif self.waiting:
            self.waiting.pop((bot, market), None)
        return concerning

    def capped(
        self,
        latches: Latches,
        asked: Asked[float | None],
        record: BotRecord,
        market: MarketId,
        state: GuardState,
    ) -> Asked[float | None]:
        """With ``reduce`` as the highest rung: no more than a share of what was held when the asking began.

        Nothing is taken off a position whose size nobody knows.
        """
        if self.highest is not Rung.REDUCE or latches.flattened is not None:
            return asked
        if asked.value is None or asked.cause is None or _is_told(asked.cause):
            if latches.max_size.value is None:
                latches.held = None
            return asked
        if latches.held is None:
            size = size_of(state, record, market)
            latches.held = None if size is None else abs(size.value)
        if latches.held is None:
            return Asked(None)
        return Asked(max(asked.value, latches.held * (1.0 - self.share_max)), asked.cause)


def _is_told(finding: Finding) -> bool:
    """What humans told, or a former guard had in force, is not this guard's own doing: no rung holds it back."""
    return finding.reason in {Reason.INSTRUCTED, Reason.RESTART_FLOOR}
