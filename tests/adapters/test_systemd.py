"""What a supervisor hears, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.systemd import Notifier, watchdog_of


@pytest.fixture(params=["a path", "an abstract name"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    path = f"{tmp_path}/n" if request.param == "a path" else f"@perpguard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(path if path.startswith("/") else "\0" + path[1:])
        heard.setblocking(False)
        yield heard, path


def test_each_call_is_one_datagram_with_a_line_for_each_assignment(
    listener: tuple[socket.socket, str],
) -> None:
    heard, path = listener
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": path})
    assert notifier is not None
    notifier.notify(READY=1, STATUS="decides\nWATCHDOG=trigger")
    assert heard.recv(4096) == b"READY=1\nSTATUS=decides WATCHDOG=trigger"
    notifier.close()


def test_children_do_not_inherit_the_supervisor() -> None:
    environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "2000000", "HOME": "/"}
    notifier = Notifier.from_environment(environment)
    assert notifier is not None
    assert notifier.watchdog_s == 2.0
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("address", ["", "vsock:2:1", "relative"])
def test_without_a_supervisor_there_is_nobody_to_tell(address: str) -> None:
    assert Notifier.from_environment({"NOTIFY_SOCKET": address}) is None


def test_a_supervisor_that_is_gone_or_full_holds_nobody_up(tmp_path: Path) -> None:
    notifier = Notifier(f"{tmp_path}/nobody")
    notifier.notify(READY=1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(notifier.address)
        for _ in range(2_000):
            notifier.notify(WATCHDOG=1)
        assert heard.recv(100) == b"WATCHDOG=1"
    notifier.close()
    notifier.close()


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    ours = {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}
    assert watchdog_of(ours) == 20.0
    assert watchdog_of({**ours, "WATCHDOG_PID": "1"}) is None
    assert watchdog_of({"WATCHDOG_USEC": "soon"}) is None
    assert watchdog_of({"WATCHDOG_USEC": "0"}) is None
