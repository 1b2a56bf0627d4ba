"""What a guard that ended without saying so left open, told from its last records. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from guard.audit import AnyRecord, AuditGap, SessionClosed, SessionOpened, Step
from guard.units import Nanoseconds

LOOKED_BACK = 2000
"""Records: a command ends within minutes, in which there are hundreds."""


def unfinished(records: Sequence[AnyRecord], now: Nanoseconds) -> AuditGap | None:
    """Name the commands without an outcome, and an end that nobody recorded; ``None`` if there is neither.

    >>> unfinished([], 0) is None
    True
    """
    open_commands: dict[str, None] = {}
    running = ""
    for record in records:
        match record:
            case SessionOpened(session=session):
                running = session
            case SessionClosed():
                running = ""
            case Step(commands=commands, outcomes=outcomes):
                open_commands |= {each.command.id: None for each in commands}
                for outcome in outcomes:
                    open_commands.pop(outcome.command_id, None)
            case AuditGap(commands=named):
                running = "" if record.why.startswith(ENDED) else running
                for command_id in named:
                    open_commands.pop(command_id, None)
            case _:
                pass
    if not running and not open_commands:
        return None
    died = f"{ENDED} (session {running}) without saying so" if running else f"{ENDED} in order"
    left = f"the outcome of {len(open_commands)} command(s) is not known" if open_commands else ""
    return AuditGap(
        at=now,
        from_at=records[-1].at,
        records_lost=0,
        why="; ".join(part for part in (died, left) if part),
        commands=tuple(open_commands),
    )


ENDED = "the guard before this one ended"
"""How such a gap begins, by which it is known again."""
