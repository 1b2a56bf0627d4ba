"""SIGHUP: read the settings again, or end where it says that the terminal is gone."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, fcntl, os, sys, termios
from guard.stopping import on_hangup

async def main():
    said = asyncio.Queue()
    on_hangup(lambda: said.put_nowait("reload"), lambda: said.put_nowait("stop"))
    os.write(1, b"ready\\n")
    while True:
        word = await said.get()
        os.write(1, word.encode() + b"\\n")
        if word == "stop":
            return

if os.isatty(2):
    os.setsid()
    fcntl.ioctl(2, termios.TIOCSCTTY, 0)
asyncio.run(main())
"""


def start(stderr: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("has_terminal", [False, True], ids=["no terminal", "a terminal"])
def test_a_hangup_asks_for_a_reload_while_nobody_has_hung_up(has_terminal: bool) -> None:
    master, slave = pty.openpty()
    process = start(slave if has_terminal else subprocess.DEVNULL)
    os.close(slave)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "reload\n"
        process.kill()
    os.close(master)


def test_a_terminal_that_is_gone_ends_it() -> None:
    master, slave = pty.openpty()
    process = start(slave)
    os.close(slave)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        os.close(master)
        assert process.stdout.readline() == "stop\n"
        assert process.wait(10) == 0
