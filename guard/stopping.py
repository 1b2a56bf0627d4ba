"""How the daemon ends when SIGTERM or SIGINT asks it to, from its first moment to its last."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

ASKS_TO_STOP = (signal.SIGTERM, signal.SIGINT)


def end_at_once_if_asked() -> None:
    """Let a signal end the process with 0 while nothing has begun that would have to be ended in order.

    Imports alone take a second, seven the first time.
    """
    for number in ASKS_TO_STOP:
        signal.signal(number, lambda _number, _frame: leave(0))
    if not sys.stderr.isatty():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the settings are about to be read anyway


def asked_to_stop() -> asyncio.Event:
    """Return an event that a signal sets, from now on, instead of ending the process."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ASKS_TO_STOP:
        loop.add_signal_handler(number, asked.set)
    return asked


def on_hangup(reload: Callable[[], None], stop: Callable[[], None]) -> None:
    """Let SIGHUP call ``reload`` from now on, or ``stop`` where it says that our terminal is gone."""
    terminal = sys.stderr.fileno() if sys.stderr.isatty() else None

    def hung_up() -> None:
        try:
            if terminal is not None:
                os.tcgetpgrp(terminal)
        except OSError:
            stop()
        else:
            reload()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


def leave(code: int) -> NoReturn:
    """End the process now, waiting for no thread.

    Python waits at its end for every thread of a pool, also for one that looks up a name while the network
    is away (half a minute), or imports (seconds). Whatever must be ended in order has been before this.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
