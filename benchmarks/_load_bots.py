"""Bots of the SDK on one broker, and whoever listens when their commands arrive; told by lines of JSON.

A process of its own, on the core of the load server: what is measured is how long a command was on its way, not
how busy the bots are.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks._latency_parts import Bot, Place, bare_commits, bare_publishes
from perpguard_sdk.client import BotClient
from perpguard_sdk.client_settings import BotClientSettings
from perpguard_sdk.messages import Mode, Verb, VerbCapability

PAUSE_S = 0.005


class _Body(msgspec.Struct):
    id: str
    bot: str


class _Signed(msgspec.Struct):
    body: _Body


class Bots:
    """All of them, until the input ends."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._place = Place(asked["host"], asked["port"], "benchmark", "benchmark")
        self._folder = Path(asked["folder"])
        self._clients = [
            BotClient(
                BotClientSettings(
                    bot=bot["name"],
                    key=bytes.fromhex(bot["key"]),
                    site=asked["site"],
                    host=asked["host"],
                    port=asked["port"],
                    mode=Mode.PAPER,
                    venue="binanceusdm",
                    account="main",
                    symbols=(bot["symbol"],),
                    verbs={verb: VerbCapability(deadline_ms=1000) for verb in Verb},
                    state_path=self._folder / f"{bot['name']}.json",
                    rearm_ms=1000,
                ),
                Bot(),
            )
            for bot in asked["bots"]
        ]
        self._topic = f"perpguard/v1/{asked['site']}/shadow/command/#"
        self.arrived: list[tuple[str, str, int, str]] = []
        """Bot, verb, when, and the command's id, each once."""
        self._seen: set[str] = set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for client in self._clients:
                group.create_task(client.run())
            group.create_task(self._listen())

    async def _listen(self) -> None:
        async with self._place.client() as client:
            await client.subscribe(self._topic, qos=1)
            async for message in client.messages:
                now = time.time_ns()
                body = msgspec.json.decode(bytes(message.payload), type=_Signed).body
                if body.id not in self._seen:
                    self._seen.add(body.id)
                    verb = str(message.topic).rpartition("/")[2]
                    self.arrived.append((body.bot, verb, now, body.id))

    async def armed(self) -> None:
        while any(client.state.safe_mode for client in self._clients):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)

    async def bare(self, seconds: float) -> dict[str, list[float]]:
        """Publishes and durable commits with nothing of ours around them, for so long."""
        publishes_us: list[float] = []
        commits_us: list[float] = []
        tasks = [
            asyncio.create_task(bare_publishes(self._place, publishes_us, PAUSE_S)),
            asyncio.create_task(bare_commits(self._folder / "bare.sqlite3", commits_us, PAUSE_S)),
        ]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return {"publishes_us": publishes_us, "commits_us": commits_us}


async def main() -> None:
    """Answer until there are no more questions."""
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    bots = Bots(json.loads(await reader.readline()))
    running = asyncio.create_task(bots.run(), name="bots")
    _answer({})
    try:
        while line := await reader.readline():
            asked = json.loads(line)
            match asked["do"]:
                case "armed":
                    await bots.armed()
                    _answer({})
                case "arrived":
                    _answer({"arrived": bots.arrived})
                case "bare":
                    _answer(await bots.bare(asked["seconds"]))
            if running.done():
                running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
