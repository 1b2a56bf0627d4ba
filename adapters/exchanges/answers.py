"""Private streams that a venue must answer for: one that does not is given up and opened anew."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from guard.errors import VenueError

ANSWER_S_MAX = 10.0
"""A venue has so long to take the login and the subscriptions."""


async def answered(
    venue: str, watching: Coroutine[Any, Any, None], answer: asyncio.Event, answer_s_max: float = ANSWER_S_MAX
) -> None:
    """Await ``watching``, which fails when the stream does, and give it up if ``answer`` is not set in time.

    Raises:
        VenueError: the venue did not answer; or whatever ``watching`` raises.
    """
    task = asyncio.create_task(watching, name=f"{venue} private stream")
    waiting = asyncio.create_task(answer.wait(), name=f"{venue} answer")
    try:
        await asyncio.wait({task, waiting}, timeout=answer_s_max, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and not waiting.done():
            raise VenueError(venue, f"the private stream was not answered for {answer_s_max:g} s")
        await task
    finally:
        task.cancel()
        waiting.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
