"""How commands are repeated, confirmed, paced, counted and given up: the settings of dispatch. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Le

from guard.budget import Allowance
from guard.postures import PostureSettings
from guard.routes import Route
from guard.units import BotId


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchSettings:
    """How commands are repeated, confirmed and given up.

    Attributes:
        command_ttl_ms: after so long an unexecuted command must not be executed any more.
        retry_ms: when after its issue the same command is published again while nothing was acknowledged,
            ascending; then after each further such time as the last, until it expires.
        confirm_ms: how long an effect may take where the bot's birth names no deadline of its own.
        look_ms: how much longer to wait for a look at the venue, or a report, if none came in that time.
        settle_ms: how long after its issue a pause must be seen to hold before it counts as confirmed.
        reissue_s: waits before a failed command is issued anew, the last one repeated.
        posture_ttl_s: for how long a posture holds without being refreshed.
        posture_refresh_s: how often an unchanged posture is published again.
        routes: what else is done, in this order, each time that a bot has not reduced once more; a reduction is
            asked for again and entries are halted in any case.
        routes_of: other routes for the bots named here.
        reductions_a_day: how often a bot may be asked in 24 hours to reduce in one market, or to move its stop,
            before a human is asked instead; whatever is imminent is never held back.
        account_reductions_a_day: the same of all bots and markets of one account together.
        reductions_a_day_of: another number than reductions_a_day for the bots named here.
    """

    command_ttl_ms: Annotated[int, Ge(500), Le(60_000)] = 10_000
    retry_ms: tuple[Annotated[int, Ge(50), Le(60_000)], ...] = (500, 1_000, 2_000)
    confirm_ms: Annotated[int, Ge(100), Le(60_000)] = 3_000
    look_ms: Annotated[int, Ge(0), Le(600_000)] = 10_000
    settle_ms: Annotated[int, Ge(0), Le(10_000)] = 1_000
    reissue_s: tuple[Annotated[float, Ge(0.1), Le(3_600.0)], ...] = (5.0, 10.0, 30.0)
    posture_ttl_s: Annotated[float, Gt(0.0), Le(86_400.0)] = 60.0
    posture_refresh_s: Annotated[float, Gt(0.0), Le(3_600.0)] = 10.0
    routes: tuple[Route, ...] = (Route.POSTURE, Route.OTHER_BOTS, Route.HUMAN)
    routes_of: dict[str, tuple[Route, ...]] = field(default_factory=dict)
    reductions_a_day: Annotated[int, Ge(0), Le(1_000)] = 6
    account_reductions_a_day: Annotated[int, Ge(0), Le(10_000)] = 48
    reductions_a_day_of: dict[str, Annotated[int, Ge(0), Le(1_000)]] = field(default_factory=dict)

    @property
    def postures(self) -> PostureSettings:
        return PostureSettings(ttl_s=self.posture_ttl_s, refresh_s=self.posture_refresh_s)

    def routes_for(self, bot: BotId) -> tuple[Route, ...]:
        """The routes of a bot, in order."""
        return self.routes_of.get(bot, self.routes)

    def allowance(self, bot: BotId) -> Allowance:
        """What may be spent on a bot."""
        of_bot = self.reductions_a_day_of.get(bot, self.reductions_a_day)
        return Allowance(of_bot, self.account_reductions_a_day)
