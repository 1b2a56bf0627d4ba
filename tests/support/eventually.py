"""Wait for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast, overload

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Coroutine[Any, Any, T]],
    *,
    within_s: float = 5.0,
    every_s: float = 0.01,
    what: str = "",
) -> T: ...


@overload
async def eventually(
    condition: Callable[[], T | Awaitable[T]], *, within_s: float = 5.0, every_s: float = 0.01, what: str = ""
) -> T: ...


async def eventually(
    condition: Callable[[], T | Awaitable[T]], *, within_s: float = 5.0, every_s: float = 0.01, what: str = ""
) -> T:
    """Return the first truthy value of ``condition``; AssertionError after ``within_s``."""
    deadline = time.monotonic() + within_s
    while True:
        found = condition()
        value = await found if isinstance(found, Awaitable) else found
        if value:
            return cast("T", value)
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or condition}")
        await asyncio.sleep(every_s)
