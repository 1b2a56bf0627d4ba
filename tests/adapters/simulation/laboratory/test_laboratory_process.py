"""The laboratory as a process of its own, with one of its venues or with all of them."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE

import pytest

from tests.adapters.simulation.test_process import PROGRAM, running, said

QUICK = ("--laboratory", "minute", "--duration", "3", "--speed", "0", "--symbols", "BTCUSDT,WIFUSDT")


async def test_it_shows_a_market_of_the_laboratory() -> None:
    async with running(*QUICK, "--dialect", "bybit", "--world", "stops", "--hold") as (process, ready):
        assert (ready["dialect"], ready["symbols"]) == ("bybit", ["BTCUSDT", "WIFUSDT"])
        assert process.stdin is not None
        process.stdin.write(b"begin\n")
        assert await said(process) == {"event": "finished"}


async def test_it_shows_all_venues_of_the_laboratory_at_once() -> None:
    async with running(*QUICK, "--all-venues", "--account", "a:key:secret:1000") as (process, ready):
        assert {name: shown["dialect"] for name, shown in ready["venues"].items()} == {
            "binanceusdm": "binance",
            "bybit": "bybit",
        }
        assert len({shown["port"] for shown in ready["venues"].values()}) == 2
        assert await said(process) == {"event": "finished"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--laboratory", "nothing"], "there is no scenario 'nothing'"),
        (["--laboratory", "minute", "--world", "flat"], "there is no world 'flat'"),
    ],
)
async def test_what_there_is_not_is_named(arguments: list[str], problem: str) -> None:
    process = await asyncio.create_subprocess_exec(*PROGRAM, *arguments, stderr=PIPE)
    async with asyncio.timeout(20):
        _, error = await process.communicate()

    assert process.returncode == 2
    assert problem in error.decode()
