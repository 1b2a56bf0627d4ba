"""Two bots on one account, one of which answers and does nothing: the other brings the account to where it must be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.bots.trading import CcxtTrading
from perpguard_sdk.client import BotClient, BotClientSettings
from perpguard_sdk.executor import BotView
from perpguard_sdk.limits import Limits
from perpguard_sdk.messages import (
    Command,
    CutLeverage,
    Effect,
    Mode,
    ReportedPosition,
    Verb,
    VerbCapability,
    WidenStops,
)
from tests.support.eventually import eventually
from tests.support.stage import SYMBOL, VENUE, Site, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance

HELD = 1.0
"""What each of the two holds, of one position on the venue."""


class Sharer:
    """A bot that keeps its own share of an account's position, and obeys or only says so."""

    def __init__(self, trading: CcxtTrading, *, obeys: bool) -> None:
        self.trading, self.obeys = trading, obeys
        self.size = 0.0

    async def open(self) -> None:
        await self.trading.start()
        await self.trading.set_leverage(20)
        await self.trading.market_order(HELD, reduce_only=False, client_id=f"open-{id(self)}")
        self.size = HELD

    async def execute(self, command: Command) -> Effect:
        before = self.size
        if self.obeys and isinstance(command, CutLeverage | WidenStops) and command.max_size < before:
            less = self.trading.round_size(before - command.max_size, up=True)
            await self.trading.market_order(-less, reduce_only=True, client_id=f"cut-{command.seq}")
            self.size = before - less
        return Effect(size_before=before, size_after=self.size) if self.obeys else Effect()

    async def view(self) -> BotView:
        return BotView(positions=(ReportedPosition(symbol=SYMBOL, size=self.size),))

    async def limits_changed(self, limits: Limits) -> None: ...


@contextlib.asynccontextmanager
async def sharers(site: Site, *names: str, obeying: str) -> AsyncIterator[dict[str, Sharer]]:
    """One bot for each name, all on the first one's account, each connected to the guard."""
    bots: dict[str, Sharer] = {}
    tasks: list[asyncio.Task[None]] = []
    broker = site.ground.broker
    try:
        for name in names:
            trading = CcxtTrading(
                SYMBOL, site.ground.venue.ccxt_urls(), f"key-{names[0]}", f"secret-{names[0]}"
            )
            bots[name] = Sharer(trading, obeys=name == obeying)
            await bots[name].open()
            settings = BotClientSettings(
                bot=name,
                key=site.keys[name],
                site=site.name,
                host=broker.host,
                port=broker.port,
                mode=Mode.PAPER,
                venue=VENUE,
                account=names[0],
                symbols=(SYMBOL,),
                verbs={verb: VerbCapability(deadline_ms=1_000) for verb in Verb},
                state_path=site.folder / f"{name}.state.json",
                rearm_ms=1_500,
                report_ms=500,
            )
            tasks.append(asyncio.create_task(BotClient(settings, bots[name]).run(), name=f"sharer-{name}"))
        yield bots
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for bot in bots.values():
            await bot.trading.close()


@together
async def test_another_bot_of_the_account_takes_off_what_one_only_says_it_does(tmp_path: Path) -> None:
    bots = ("liar", "helper")
    async with ground(tmp_path, bots) as here:
        site = await here.site("home", bots, broker={"claim_quiet_s": 1.0})
        shared = [{"name": bot, "key_file": f"{bot}.key", "venue": VENUE, "account": "liar"} for bot in bots]
        quick = {
            "command_ttl_ms": 1_000,
            "reissue_s": [0.5],
            "look_ms": 1_000,
            "settle_ms": 200,
            "routes": ["other_bots"],
        }
        async with sharers(site, *bots, obeying="helper") as held:
            await site.start(site.daemon(bots=shared, dispatch=quick))
            await site.decides()
            await asyncio.gather(*(site.armed(bot) for bot in bots))
            await eventually(lambda: site.size("liar") == 2 * HELD, within_s=10.0)
            here.market.thin()

            def cuts(bot: str) -> list[CutLeverage]:
                return [each for _, each in site.tap.commands(bot) if isinstance(each, CutLeverage)]

            def is_covered() -> bool:
                """Whether the liar may keep more than its half, and the helper has gone below its own instead."""
                told, asked = site.tap.posture("liar"), [each.max_size for each in cuts("helper")]
                if told is None or not asked:
                    return False
                # Both held the same, so that without the route both would be told the same.
                keeps = told.max_size.get(SYMBOL, 0.0) > min(asked) + 0.1 * HELD
                return keeps and held["helper"].size <= min(asked) + 0.01 * HELD

            await eventually(is_covered, within_s=40.0, what="the helper to take off what the liar does not")
            assert held["liar"].size == HELD
            assert site.size("liar") == pytest.approx(HELD + held["helper"].size)
