"""A private stream that is not answered is given up; one that is lives until it fails."""

from __future__ import annotations

import asyncio

import pytest

from adapters.exchanges.answers import answered
from guard.errors import VenueError


class Watching:
    """A stream that never fails by itself; ``ended`` says that it was given up."""

    ended = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


async def test_silence_after_the_login_is_a_failure() -> None:
    watching = Watching()
    with pytest.raises(VenueError, match="was not answered"):
        await answered("okx", watching.run(), asyncio.Event(), answer_s_max=0.01)

    assert watching.ended


async def test_a_stream_that_was_answered_lives_on() -> None:
    watching, answer = Watching(), asyncio.Event()
    task = asyncio.create_task(answered("okx", watching.run(), answer, answer_s_max=0.05))
    answer.set()
    done, _ = await asyncio.wait({task}, timeout=0.15)

    assert done == set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert watching.ended


async def test_what_the_stream_fails_with_passes() -> None:
    async def refused() -> None:
        raise VenueError("okx", "no such key")

    with pytest.raises(VenueError, match="no such key"):
        await answered("okx", refused(), asyncio.Event())
