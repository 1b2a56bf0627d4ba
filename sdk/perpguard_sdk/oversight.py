"""What the guard's word is worth to a bot now: pulse, guard time, posture, safe mode, limits.

The rules that may never be got wrong live here: expiry only tightens, silence tightens, and only a
fresh posture of the guard that beats now can loosen. No I/O, no clock; times in are monotonic ns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from perpguard_sdk.limits import (
    SAFE_MODE,
    UNRESTRICTED,
    Limits,
    Restrictions,
    of_command,
    of_posture,
    tightest,
)
from perpguard_sdk.messages import Command, Heartbeat, Mode, Posture
from perpguard_sdk.pulse import NS_PER_MS, GuardClock, Pulse
from perpguard_sdk.records import Edge, StoredState

EDGES_MAX = 64
"""Commands of so many posture versions may run ahead of the posture; beyond that the oldest are merged."""


@dataclass(slots=True, kw_only=True)
class Wishes:
    """What the session has to do before it returns."""

    persist: bool = False
    report: bool = False
    state: bool = False
    resync: bool = False


@dataclass(slots=True, kw_only=True)
class Oversight:
    """The standing of one bot in one life; ``safe_reason`` says why it is in safe mode."""

    bot: str
    bot_session: str
    mode: Mode
    dead_man_ms: int
    rearm_ms: int
    epoch: int
    guard: str
    posture: Posture | None
    floor: Restrictions
    edges: list[Edge]
    ever_armed_live: bool
    safe_reason: str
    wishes: Wishes
    safe_mode: bool = True
    advisory: bool = False
    store_problem: str = ""
    doubted: bool = False
    clock: GuardClock = field(default_factory=GuardClock)
    pulse: Pulse = field(init=False)
    paper_pulse: Pulse = field(init=False)
    _made_of: tuple[object, ...] = ()
    _limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.pulse = Pulse(self.dead_man_ms * NS_PER_MS)
        self.paper_pulse = Pulse(self.dead_man_ms * NS_PER_MS)

    @classmethod
    def from_stored(
        cls,
        stored: StoredState,
        *,
        bot_session: str,
        mode: Mode,
        dead_man_ms: int,
        rearm_ms: int,
        reason: str,
    ) -> Oversight:
        return cls(
            bot=stored.bot,
            bot_session=bot_session,
            mode=mode,
            dead_man_ms=dead_man_ms,
            rearm_ms=rearm_ms,
            epoch=stored.epoch,
            guard=stored.guard,
            posture=stored.posture,
            floor=stored.floor,
            edges=list(stored.edges),
            ever_armed_live=stored.ever_armed_live,
            safe_reason=reason,
            wishes=Wishes(),
        )

    @property
    def posture_version(self) -> int:
        return self.posture.version if self.posture else 0

    @property
    def newest_version(self) -> int:
        """Highest posture version that anything in force speaks of, what former guards commanded left out."""
        edges = [edge.posture_version for edge in self.edges if edge.epoch >= self.epoch]
        return max([self.posture_version, *edges])

    def hear(self, heartbeat: Heartbeat, mono_ns: int) -> str | None:
        """Take a verified heartbeat; return why it does not count, ``None`` if it does."""
        if heartbeat.bot != self.bot:
            return "other_bot"
        if heartbeat.bot_session != self.bot_session:
            return "other_bot_session"
        if heartbeat.mode is not self.mode:
            if heartbeat.mode is Mode.PAPER and self.paper_pulse.rises(heartbeat):
                self.paper_pulse.note(heartbeat)
                self.paper_pulse.beat(mono_ns)
            return "other_mode"
        if heartbeat.epoch < self.epoch or self.is_rival(heartbeat.epoch, heartbeat.session):
            return "old_epoch" if heartbeat.epoch < self.epoch else "other_guard"
        if not self.pulse.rises(heartbeat):
            return "replayed"
        self._count(heartbeat, mono_ns)
        # It may have been on its way for longer than the dead-man waits: proof of a past life only.
        return None if self.pulse.last_ns == mono_ns else "late_heartbeat"

    def _count(self, heartbeat: Heartbeat, mono_ns: int) -> None:
        self.raise_epoch(heartbeat.epoch, heartbeat.session)
        self.pulse.note(heartbeat)
        self.clock.hear((heartbeat.epoch, heartbeat.session), heartbeat.ts, mono_ns)
        guard_ms = self.clock.now_ms(mono_ns)
        if guard_ms is None or guard_ms - heartbeat.ts < self.dead_man_ms:
            self.pulse.beat(mono_ns)
        if heartbeat.posture_version > self.posture_version:
            self.want_resync()

    def take_posture(self, posture: Posture) -> str | None:
        """Take a verified posture; return why it is ignored, ``None`` if it is not."""
        if posture.bot != self.bot:
            return "other_bot"
        if posture.mode is not self.mode:
            return "other_mode"
        if posture.epoch < self.epoch:
            return "old_epoch"
        self.raise_epoch(posture.epoch)
        held = self.posture
        if held is not None and posture.version < held.version:
            return "old_posture"
        self.wishes.resync = False
        if held is not None and _rank(posture) <= _rank(held):
            self.doubted &= posture != held
            return "same_posture"
        if held is not None:
            # Until the new one proves fresh the old one binds beside it: nothing loosens in between.
            self.floor = tightest(self.floor, of_posture(held))
        self.posture, self.doubted = posture, False
        self.ever_armed_live |= posture.mode is Mode.LIVE
        if held is None or (held.version, held.epoch) != (posture.version, posture.epoch):
            self.wishes.persist = self.wishes.report = True
        return None

    def doubt_posture(self) -> None:
        """What is retained now cannot be verified: that is no posture at all."""
        self.doubted = True
        self.want_resync()

    def tighten(self, command: Command) -> None:
        """Let a command bind at once, until the posture that it is the fast edge of has come."""
        edge = Edge(
            posture_version=command.posture_version, restrictions=of_command(command), epoch=command.epoch
        )
        if edge.restrictions == UNRESTRICTED or self._has_taken_over(edge):
            return
        self.wishes.persist = True
        last = self.edges[-1] if self.edges else None
        if last is not None and _when(last) == _when(edge):
            edge = _merged(self.edges.pop(), edge)
        self.edges.append(edge)
        if len(self.edges) > EDGES_MAX:
            self.edges[:2] = [_merged(*self.edges[:2])]

    def _has_taken_over(self, edge: Edge) -> bool:
        held = self.posture
        return held is not None and _when(edge) <= (held.epoch, held.version)

    def review(self, mono_ns: int) -> str | None:
        """Settle what time and messages changed; return why safe mode was entered, if it was just now."""
        if self.is_fresh(mono_ns):
            self._settle()
        was_advisory, self.advisory = self.advisory, self._is_advisory(mono_ns)
        self.wishes.state |= was_advisory is not self.advisory
        reason = None if self.advisory else self._unsafe(mono_ns)
        if reason is None and self.safe_mode and (self.advisory or self._may_leave(mono_ns)):
            self.safe_mode, self.safe_reason = False, ""
            self.wishes.persist = self.wishes.state = True
        if reason is None:
            return None
        entered = not self.safe_mode
        self.wishes.state |= reason != self.safe_reason
        self.wishes.persist |= entered
        self.safe_mode, self.safe_reason = True, reason
        return reason if entered else None

    def is_fresh(self, mono_ns: int) -> bool:
        """Whether the posture is of the guard that beats now, unexpired and undoubted: only it may loosen."""
        guard_ms = self.clock.now_ms(mono_ns)
        return (
            self.posture is not None
            and guard_ms is not None
            and not self.doubted
            and self.pulse.alive(mono_ns)
            and (self.posture.epoch, self.posture.session) == (self.pulse.epoch, self.pulse.session)
            and self.posture.expires_at > guard_ms
        )

    def limits(self) -> Limits:
        """What is in force: the posture, all that binds beside it, and safe mode.

        The same value as before as long as none of them has changed.
        """
        made_of = (self.advisory, self.safe_mode, self.floor, self.posture, tuple(self.edges))
        if made_of != self._made_of:
            self._made_of, self._limits = made_of, self._add_up()
        return self._limits

    def _add_up(self) -> Limits:
        if self.advisory:
            return Limits(advisory=True)
        parts = [self.floor]
        if self.posture is not None:
            parts.append(of_posture(self.posture))
        parts += [edge.restrictions for edge in self.edges]
        if self.safe_mode:
            parts.append(SAFE_MODE)
        return Limits(restrictions=tightest(*parts), safe_mode=self.safe_mode)

    def raise_epoch(self, epoch: int, session: str = "") -> None:
        """Fence off all guards of lower epochs, and in this one all but ``session``, which beats or commands."""
        if epoch > self.epoch or (epoch == self.epoch and session and not self.guard):
            self.epoch, self.guard, self.wishes.persist = epoch, session, True

    def is_rival(self, epoch: int, session: str) -> bool:
        """Whether another guard than ours speaks in our epoch: two may have claimed in the same moment."""
        return epoch == self.epoch and bool(self.guard and session) and session != self.guard

    def want_resync(self) -> None:
        """Ask the guard to publish the posture and open commands again."""
        self.wishes.report |= not self.wishes.resync
        self.wishes.resync = True

    def _settle(self) -> None:
        """Let the fresh posture take over from all that bound beside it and is not newer."""
        if not self.edges and self.floor is UNRESTRICTED:
            return
        edges = [edge for edge in self.edges if not self._has_taken_over(edge)]
        if self.floor != UNRESTRICTED or len(edges) < len(self.edges):
            self.wishes.persist = True
        self.floor, self.edges = UNRESTRICTED, edges

    def _is_advisory(self, mono_ns: int) -> bool:
        return (
            self.mode is Mode.LIVE
            and not self.ever_armed_live
            and self.paper_pulse.alive(mono_ns)
            and not self.pulse.alive(mono_ns)
        )

    def _unsafe(self, mono_ns: int) -> str | None:
        """Why the bot may not run free, ``None`` if nothing speaks against it."""
        return self._unguarded(mono_ns) or self._untold(mono_ns)

    def _unguarded(self, mono_ns: int) -> str | None:
        if self.store_problem:
            return f"state cannot be saved: {self.store_problem}"
        if not self.pulse.alive(mono_ns):
            return f"no heartbeat of the guard for {self.dead_man_ms} ms"
        return "guard time is unknown" if self.clock.now_ms(mono_ns) is None else None

    def _untold(self, mono_ns: int) -> str | None:
        if self.posture is None:
            return "there is no posture"
        if self.doubted:
            return "the posture cannot be verified"
        if self._is_led_by_another(mono_ns):
            return f"the guard that beats has told no posture within {self.dead_man_ms} ms"
        guard_ms = self.clock.now_ms(mono_ns)
        return "the posture has expired" if guard_ms is None or self.posture.expires_at <= guard_ms else None

    def _is_led_by_another(self, mono_ns: int) -> bool:
        """Whether one guard has been beating for a while and what is obeyed is still another's word."""
        leader = (self.pulse.epoch, self.pulse.session)
        if self.posture is None or (self.posture.epoch, self.posture.session) == leader:
            return False
        return self.pulse.lasted_ns(mono_ns) >= self.dead_man_ms * NS_PER_MS

    def _may_leave(self, mono_ns: int) -> bool:
        return (
            self.pulse.lasted_ns(mono_ns) >= self.rearm_ms * NS_PER_MS
            and self.is_fresh(mono_ns)
            and self.posture_version >= self.pulse.posture_version
        )


def _when(edge: Edge) -> tuple[int, int]:
    return edge.epoch, edge.posture_version


def _merged(first: Edge, second: Edge) -> Edge:
    epoch, version = max(_when(first), _when(second))
    restrictions = tightest(first.restrictions, second.restrictions)
    return Edge(posture_version=version, restrictions=restrictions, epoch=epoch)


def _rank(posture: Posture) -> tuple[int, int, int]:
    return posture.version, posture.epoch, posture.ts
