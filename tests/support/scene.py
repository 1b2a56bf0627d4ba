"""One guard and one policy that says what a test wants, over bots that were born and have reported."""

from __future__ import annotations

from guard.arbiter import ArbiterSettings
from guard.commands import OutcomeKind
from guard.findings import Finding, Reason
from guard.units import BotId
from perpguard_sdk.messages import Entries
from tests.support.builders import ALPHA, SYMBOL, Guard, SaysWhatItIsTold, born, posture, reported, started


class Scene:
    """One guard, one policy that says what the test wants, bots that were born and reported."""

    def __init__(
        self, *bots: BotId, arbiter: ArbiterSettings | None = None, asked: Entries = Entries.ALLOWED
    ) -> None:
        self.policy = SaysWhatItIsTold()
        bots = bots or (ALPHA,)
        self.guard = Guard.of(*bots, policies=[self.policy], arbiter=arbiter)
        for bot in bots:
            self.guard.feed(born(0.0, bot), reported(0.0, bot))
        # What a former guard asked for is ours to take back.
        floors = [] if asked is Entries.ALLOWED else [posture(bot, entries={SYMBOL: asked}) for bot in bots]
        self.guard.feed(started(0.0, floors=floors))

    def say(self, *findings: Finding) -> None:
        self.policy.findings = findings

    def kinds(self) -> list[OutcomeKind]:
        return [outcome.outcome for outcome in self.guard.outcomes]

    def reasons(self) -> set[Reason]:
        return {one.reason for one in self.guard.engine.findings}
