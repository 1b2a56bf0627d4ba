"""What every peer's program does: take frames once, then run as often as asked. Standard library only."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol


class Runner(Protocol):
    """One peer's book, fresh from a snapshot."""

    def apply_all(self, *, features: bool) -> None:
        """Apply every update, and measure the book after each if asked to."""
        ...

    def last(self) -> list[float]:
        """Best bid and ask, then both sides: depths, and costs, -1 where a side does not hold so much."""
        ...


def serve(make: Callable[[dict[str, Any]], Callable[[], Runner]]) -> None:
    """Answer lines of JSON; ``make`` gets the frames and returns what makes a fresh book of them.

    Only ``apply_all`` is timed: what a book wants prepared in a form of its own is prepared before.
    """
    fresh: Callable[[], Runner] | None = None
    for line in sys.stdin:
        question = json.loads(line)
        if "frames" in question:
            frames = question["frames"]
            fresh, count = make(frames), len(frames["updates"])
            answer: dict[str, Any] = {}
        else:
            assert fresh is not None, "frames come first"
            runner = fresh()
            us = timed(runner, features=question["features"]) / count
            answer = {"us": us, "last": runner.last()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def timed(runner: Runner, *, features: bool) -> float:
    """CPU time in microseconds."""
    gc.collect()
    gc.disable()
    try:
        started = time.process_time_ns()
        runner.apply_all(features=features)
        return (time.process_time_ns() - started) / 1e3
    finally:
        gc.enable()
