"""Runs perpguard with an engine that hangs while a file is there: ``python -m tests.support.hangable FILE ARGS``.

Only the engine: the event loop, the broker's connection and every timer go on, as with a lock that is never freed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from guard.cli import main as perpguard
from guard.events import AnyEvent
from guard.inbox import Inbox


def main() -> None:
    marker = Path(sys.argv[1])
    take = Inbox.take

    async def take_unless_hung(inbox: Inbox) -> AnyEvent:
        event = await take(inbox)
        while marker.exists():  # noqa: ASYNC110, ASYNC240 (another process makes and removes it)
            await asyncio.sleep(0.05)
        return event

    Inbox.take = take_unless_hung  # type: ignore[method-assign, assignment]
    sys.argv = ["perpguard", *sys.argv[2:]]
    perpguard()


if __name__ == "__main__":
    main()
