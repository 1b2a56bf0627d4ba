"""What a bot author writes: an executor of commands and a view of positions and orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from perpguard_sdk.errors import SdkError
from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import Command, Effect, Entries, ReportedOrder, ReportedPosition


class CommandRejected(SdkError):  # noqa: N818 (it is an answer, named as the ack that it becomes)
    """The bot will not do a command and says why; the ack is ``rejected`` with ``reason``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CommandFailed(SdkError):  # noqa: N818 (as CommandRejected)
    """A command could not be done for a reason that is no bug, e.g. a venue that refuses; the ack is ``failed``.

    It is logged in one line. Whatever else ``execute`` raises is answered the same, and logged with its traceback.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class BotView:
    """What the bot sees on its venue now; ``positions_known`` is false when it could not look.

    ``own_entries`` is what it holds back of its own accord, by symbol or ``ALL_SYMBOLS``: because a human paused it,
    or a protection of its own. The guard never takes that back. ``None`` where it cannot tell.

    ``withheld`` is what the strategy would hold more now, had the guard's ``entries`` and ``entry_share`` not kept it
    from entering: signed base units by symbol, short negative, 0.0 for nothing. It is a level and no count: a wish that
    is repeated at each tick is one wish, and an entry that would have been closed again by now is none. Leave out what
    commands took off. A symbol left out, and ``None``, say that it cannot be told: the guard's bill says so, too.
    """

    positions: tuple[ReportedPosition, ...] = ()
    orders: tuple[ReportedOrder, ...] = ()
    positions_known: bool = True
    own_entries: dict[str, Entries] | None = None
    withheld: dict[str, float] | None = None


class Executor(Protocol):
    """The bot's side. All methods run on the client's event loop and must not block it."""

    async def execute(self, command: Command) -> Effect:
        """Do one command and return what changed. One at a time per symbol.

        Cancelled when the verb's declared ``deadline_ms`` has passed. A ``CutLeverage`` with a ``price_limit`` takes
        no worse price: what cannot be had at it is left, and told by the effect's ``size_after``.

        Raises:
            CommandRejected: it will not be done; acknowledged ``rejected``.
            CommandFailed: it could not be done; acknowledged ``failed``.
            Exception: anything else is acknowledged ``failed`` with its text.
        """
        ...

    async def view(self) -> BotView:
        """Look at the venue. An error means that positions are unknown, not that there are none."""
        ...

    async def limits_changed(self, limits: Limits) -> None:
        """Take notice of new limits: cancel resting orders that they no longer allow.

        Raises:
            Exception: it could not be done; it is tried again, with the limits of that moment.
        """
        ...


@runtime_checkable
class Reconciler(Protocol):
    """An executor that can tell, after a crash, whether the effect of a command is there."""

    async def reconcile(self, command: Command) -> Effect | None:
        """Return the effect if it is there, else ``None``. It must not start to execute."""
        ...
