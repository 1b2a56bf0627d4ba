"""The venue as a process of its own: ready line, end of the market, signals, recordings, wrong arguments."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PROGRAM = (sys.executable, "-m", "adapters.simulation")


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[Process, dict[str, Any]]]:
    """Start it and wait for the line that says it is ready."""
    process = await asyncio.create_subprocess_exec(*PROGRAM, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        yield process, await said(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = await process.stdout.readline()
    assert line, "the process ended without a word"
    found: dict[str, Any] = json.loads(line)
    return found


async def ended(process: Process) -> int:
    async with asyncio.timeout(10):
        return await process.wait()


async def test_it_says_where_it_is_and_ends_with_0_on_sigterm() -> None:
    account = "main:key:secret:5000:USDE=100,BTC=0.1"
    async with running("--scenario", "calm", "--symbols", "BTCUSDT,ETHUSDT", "--account", account) as (
        process,
        ready,
    ):
        assert (ready["event"], ready["symbols"]) == ("ready", ["BTCUSDT", "ETHUSDT"])
        url = ready["urls"]["api"]["fapiPublic"]
        async with aiohttp.ClientSession() as session, session.get(f"{url}/ping") as answer:
            assert answer.status == 200

        process.send_signal(signal.SIGTERM)

        assert await ended(process) == 0


async def test_it_waits_for_a_line_when_held_and_says_when_the_market_is_over() -> None:
    async with running("--duration", "1", "--speed", "0", "--hold") as (process, ready):
        assert ready["event"] == "ready"
        assert process.stdin is not None
        process.stdin.write(b"begin\n")

        assert await said(process) == {"event": "finished"}


async def test_what_it_records_it_replays(tmp_path: Path) -> None:
    path = tmp_path / "fall.gz"
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "--scenario", "fall", "--seed", "3", "--duration", "5", "--record", str(path), stdout=PIPE
    )
    out, _ = await process.communicate()
    assert json.loads(out)["frames"] > 100

    async with running("--replay", str(path), "--speed", "0") as (replay, ready):
        assert ready["symbols"] == ["BTCUSDT"]
        assert await said(replay) == {"event": "finished"}


async def test_a_port_that_is_taken_is_named() -> None:
    async with running() as (_, ready):
        process = await asyncio.create_subprocess_exec(*PROGRAM, "--port", str(ready["port"]), stderr=PIPE)
        async with asyncio.timeout(20):
            _, error = await process.communicate()

    assert process.returncode == 2
    assert f"cannot listen on 127.0.0.1:{ready['port']}" in error.decode()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--replay", "/nowhere/at/all"], "/nowhere/at/all: cannot be opened"),
        (["--account", "a:b:c"], "NAME:KEY:SECRET:WALLET"),
        (["--account", "a:b:c:much"], "the wallet is not a number"),
        (["--scenario", "fall", "--fall", "2"], "fall_ratio: 2.0"),
        (["--account", "a:b:c:1:USDE=much"], "the quantity of USDE is not a number"),
        (["--account", "a:b:c:1:NOPE=1"], "NOPE is no collateral here"),
        (["--account", "a:b:c:1", "--account", "a:d:e:1"], "its name or key is another account's"),
    ],
)
async def test_an_argument_that_cannot_be_used_is_named_and_ends_with_2(
    arguments: list[str], problem: str
) -> None:
    process = await asyncio.create_subprocess_exec(*PROGRAM, *arguments, stderr=PIPE)
    async with asyncio.timeout(20):
        _, error = await process.communicate()

    assert process.returncode == 2
    assert problem in error.decode()
    assert "Traceback" not in error.decode()
