"""What goes wrong during a soak, by a seed: the venue's own faults, and kills and hangs of the programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import aiohttp
import aiomqtt

from tests.soak.world import SITE, World, settle

VENUE_INTENSITY = 0.06
"""One fault of the venue every half minute."""
EVERY_S = 40.0
"""One kill or hang every so often, on average."""
BROKER_AWAY_S = 4.0
HANG_S = 5.0
STRANGERS = 200


@dataclass(slots=True)
class Chaos:
    """Runs until cancelled."""

    world: World
    seed: int
    duration_s: float
    done: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        await self._ask_venue("POST", {"seed": self.seed, "duration_s": self.duration_s})
        rng = Random(f"soak:{self.seed}")
        acts = (
            self._kill_broker,
            self._hang_broker,
            self._kill_bot,
            self._hang_bot,
            self._shout,
            self._reload,
        )
        try:
            while True:
                await settle(rng.expovariate(1.0 / EVERY_S))
                act = rng.choice(acts)
                self.done[act.__name__.strip("_")] += 1
                await act(rng)
        finally:
            self._wake_all()

    async def end(self) -> None:
        """End the venue's faults too."""
        await self._ask_venue("DELETE", None)

    async def _ask_venue(self, method: str, plan: dict[str, float] | None) -> None:
        if plan is not None:
            plan = {**plan, "intensity": VENUE_INTENSITY}
        url = f"http://127.0.0.1:{self.world.venue_port}/control/faults"
        async with aiohttp.ClientSession() as session, session.request(method, url, json=plan) as answer:
            assert answer.status == 200, await answer.text()

    async def _kill_broker(self, rng: Random) -> None:
        await self.world.broker.kill()
        await settle(rng.uniform(0.0, BROKER_AWAY_S))
        await self.world.broker.start()

    async def _hang_broker(self, rng: Random) -> None:
        self.world.broker.suspend()
        await settle(rng.uniform(0.1, HANG_S))
        self.world.broker.resume()

    async def _kill_bot(self, rng: Random) -> None:
        await self.world.restart(rng.choice(list(self.world.bots.values())))

    async def _hang_bot(self, rng: Random) -> None:
        bot = rng.choice(list(self.world.bots.values()))
        await bot.suspend()
        await settle(rng.uniform(0.1, HANG_S))
        bot.resume()

    async def _shout(self, rng: Random) -> None:
        """A stranger at the broker writes garbage on the topics of bots."""
        broker = self.world.broker
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client(broker.host, broker.port) as client:
                for number in range(STRANGERS):
                    name = rng.choice([*self.world.bots, f"stranger-{number}"])
                    what = rng.choice(("birth", "state", "reported", "ack", "else"))
                    await client.publish(f"perpguard/v1/{SITE}/bot/{name}/{what}", rng.randbytes(200))

    async def _reload(self, rng: Random) -> None:
        """Nothing has changed, which must be without effect."""
        del rng

        os.kill(self.world.daemon.pid, signal.SIGHUP)
        await asyncio.sleep(0)

    def _wake_all(self) -> None:
        with contextlib.suppress(AssertionError, ProcessLookupError):
            self.world.broker.resume()
        for bot in self.world.bots.values():
            with contextlib.suppress(AssertionError, ProcessLookupError):
                bot.resume()
