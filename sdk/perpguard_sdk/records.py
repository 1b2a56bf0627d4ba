"""What a bot remembers across restarts, and the port to where it is kept. No I/O."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from perpguard_sdk.limits import UNRESTRICTED, Restrictions
from perpguard_sdk.messages import AckStatus, Command, Effect, Posture

SEEN_MAX = 512
"""Ids kept with their results. A command lives a few seconds and at most about ten a second come, so
this is a minute of the worst case; older ones are fenced by epoch and seq anyway."""


class CommandResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one command ended."""

    status: AckStatus
    detail: str = ""
    effect: Effect | None = None


class SeenCommand(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A finished command, kept so that its id is answered and never executed again."""

    epoch: int
    seq: int
    result: CommandResult


class Edge(Struct, frozen=True, kw_only=True):
    """What a command restricts until a posture has taken over.

    That is one of ``posture_version`` or later, or one of a guard of a higher ``epoch`` than the command's:
    what the former guard had decided by then may be in nobody's memory but this.
    """

    posture_version: int
    restrictions: Restrictions
    epoch: int = 0


class StoredState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a bot must remember.

    ``guard`` is the session of the one guard that is obeyed in ``epoch``, empty while unknown.
    ``started`` holds commands whose execution was begun and whose end is not known; ``seq`` is the
    highest seen in ``epoch``, -1 for none; ``floor`` and ``edges`` bind beside ``posture`` until a
    fresh posture replaces them.
    """

    bot: str
    epoch: int = 0
    guard: str = ""
    seq: int = -1
    seen: dict[str, SeenCommand] = {}
    started: dict[str, Command] = {}
    posture: Posture | None = None
    floor: Restrictions = UNRESTRICTED
    edges: tuple[Edge, ...] = ()
    safe_mode: bool = True
    ever_armed_live: bool = False


class Store(Protocol):
    """Where the state is kept. Called in a thread, one call at a time."""

    def load(self) -> StoredState | None:
        """Return what was saved last, ``None`` if nothing ever was.

        Raises:
            StoreError: it cannot be read or is damaged; a damaged one has been set aside.
        """
        ...

    def save(self, state: StoredState) -> None:
        """Replace what is kept; on return it survives a power cut.

        Raises:
            StoreError: nothing was changed.
        """
        ...
