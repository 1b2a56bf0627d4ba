"""The fencing epoch: which number we command under, and whether another guard commands too.

Only what is signed by a bot's key counts as proof: heartbeats, postures, and what bots report. The
guards' state topic is unsigned; anybody who may publish there could otherwise drive us out or push the
epoch up until no number is left. So a state's epoch is only a hint, and only while it stays within
``HINT_ABOVE_VERIFIED_MAX`` of what is proven.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from guard.errors import FencedError
from guard.ports import Claim, Clock
from guard.units import NS_PER_S, BotId, Nanoseconds
from perpguard_sdk.messages import Heartbeat, Posture

HINT_ABOVE_VERIFIED_MAX: Final = 1_000_000
"""An epoch is taken once a start: a guard restarted every second needs eleven days for so many."""
NUMBER_MAX: Final = 2**53
"""Above it JSON readers lose digits. A bot's key in wrong hands could report such an epoch, and no guard
could ever go above it."""


@dataclass(slots=True)
class EpochFence:
    """What is known of epochs and of other guards; the link feeds it and asks it.

    Attributes:
        sessions: our own, by which we know our own messages when the broker sends them back.
        quiet_ns: so long no other guard must be heard before we take an epoch.
        wait_ns: so long another may keep beating before we give up.
        epoch: ours, 0 before the claim.
        is_contested: another guard claimed ours as well and has to give way; some bots may know only it.
    """

    sessions: set[str]
    quiet_ns: Nanoseconds
    wait_ns: Nanoseconds
    epoch: int = 0
    is_contested: bool = False
    _verified: int = 0
    _hints: set[int] = field(default_factory=set)
    _floors: dict[BotId, Posture] = field(default_factory=dict)
    _beats: dict[str, int] = field(default_factory=dict)
    _rival: str = ""
    _rival_at: Nanoseconds | None = None
    _listening_since: Nanoseconds | None = None
    _listening: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self, since: Nanoseconds | None) -> None:
        """Say since when we hear the broker, ``None`` while we do not: silence counts only in between."""
        self._listening_since = since
        if since is None:
            self._listening.clear()
        else:
            self._listening.set()

    def note_epoch(self, epoch: int) -> None:
        """Take in an epoch that a signed message or our own store proves."""
        self._verified = max(self._verified, epoch)

    def note_hint(self, epoch: int) -> None:
        """Take in an unsigned epoch; it is weighed at the claim."""
        if 0 < epoch <= NUMBER_MAX and len(self._hints) < HINTS_MAX:
            self._hints.add(epoch)

    def note_posture(self, posture: Posture, *, is_floor: bool) -> str:
        """Take in a verified posture; ``is_floor`` if it is of our own mode.

        Returns:
            What is wrong with it, empty if nothing.

        Raises:
            FencedError: another guard of a higher epoch published it.
        """
        self.note_epoch(posture.epoch)
        if posture.session in self.sessions:
            return ""
        if self.epoch:
            return self._meet(
                f"posture {posture.version} of bot {posture.bot}", posture.epoch, posture.session
            )
        bot = BotId(posture.bot)
        known = self._floors.get(bot)
        if is_floor and (known is None or (known.epoch, known.version) < (posture.epoch, posture.version)):
            self._floors[bot] = posture
        return ""

    def note_heartbeat(self, heartbeat: Heartbeat, now: Nanoseconds) -> str:
        """Take in a verified heartbeat; a replayed one (its seq does not rise) counts for nothing.

        Returns:
            What is wrong with it, empty if nothing.

        Raises:
            FencedError: it is of another guard with a higher epoch.
        """
        if heartbeat.session in self.sessions:
            return ""
        key = f"{heartbeat.session}/{heartbeat.bot}"
        if heartbeat.seq <= self._beats.get(key, -1):
            return (
                f"a heartbeat of another guard (session {heartbeat.session}) came twice: somebody replays it"
            )
        if len(self._beats) >= BEATS_MAX:
            self._beats.clear()
        self._beats[key] = heartbeat.seq
        self.note_epoch(heartbeat.epoch)
        self._rival = f"session {heartbeat.session}, epoch {heartbeat.epoch}, bot {heartbeat.bot}"
        self._rival_at = now
        if self.epoch:
            return self._meet(f"heartbeat to bot {heartbeat.bot}", heartbeat.epoch, heartbeat.session)
        return f"another guard of this site is beating ({self._rival}): we wait, stop one of the two"

    async def claim(self, stored_epoch: int, clock: Clock) -> Claim:
        """Wait for silence, then take the next epoch. Waits for as long as there is no broker.

        Raises:
            FencedError: another guard beat for the whole of ``wait_ns``.
        """
        self.note_epoch(stored_epoch)
        give_up_at: Nanoseconds | None = None
        while True:
            await self._listening.wait()
            now = clock.now()
            give_up_at = give_up_at or now + self.wait_ns
            if self._rival_at is not None and self._rival_at >= give_up_at:
                raise FencedError(
                    f"another guard of this site has been beating for {self.wait_ns // NS_PER_S} s "
                    f"({self._rival}): stop it, or give this one a site of its own (broker.site)"
                )
            quiet_at = max(self._listening_since or now, self._rival_at or 0) + self.quiet_ns
            if now >= quiet_at:
                break
            await clock.sleep_until(quiet_at)
        self.epoch, self.is_contested = 1 + self.highest(), False
        floors = tuple(self._floors[bot] for bot in sorted(self._floors))
        return Claim(epoch=self.epoch, floors=floors)

    def highest(self) -> int:
        """The highest epoch that we go above: what is proven, and the hints that are not out of reach."""
        bound = self._verified + HINT_ABOVE_VERIFIED_MAX
        return max([self._verified, *(hint for hint in self._hints if hint <= bound)])

    def _meet(self, what: str, epoch: int, session: str) -> str:
        """Another guard's signed message after our claim: the higher epoch stays.

        Two that claimed in the same moment hold the same epoch; then the higher session name stays, so
        that exactly one does.
        """
        if (epoch, session) > (self.epoch, max(self.sessions)):
            raise FencedError(
                f"another guard took over: its {what} carries epoch {epoch} (session {session}), ours is "
                f"{self.epoch}: stop one of the two"
            )
        self.is_contested |= epoch == self.epoch
        return (
            f"{what} of another guard (session {session}) with epoch {epoch}, ours is {self.epoch}: stop it"
        )


HINTS_MAX: Final = 1024
"""Guards that ever left a state on this site; more are forged, and a hint is not worth more memory."""
BEATS_MAX: Final = 4096
"""100 bots x 40 sessions of other guards. Forgetting them only lets a replay count once more."""
