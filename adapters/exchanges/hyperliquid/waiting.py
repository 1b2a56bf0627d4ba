"""Waits for many subscriptions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any


async def first_of(answers: Sequence[Awaitable[Any]]) -> None:
    """Await many calls until the first of them ends, which is by failing; the others are cancelled."""
    tasks = [asyncio.ensure_future(answer) for answer in answers]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
