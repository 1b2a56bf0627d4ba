"""Three venues at once, each its own process: what happens to one is that one's alone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.simulation.dialects import DialectName
from adapters.simulation.settings import VenueAccountSpec
from perpguard_sdk.messages import CutLeverage, Entries, Reported, Verb
from tests.support.eventually import eventually
from tests.support.processes import Program
from tests.support.stage import READY_S, STRATEGY, WALLET_USDT, Site, ground
from tests.support.together import Note, together
from tests.support.venue_program import VenueProgram

pytestmark = pytest.mark.acceptance

CODES = {DialectName.BINANCE: "BTCUSDT", DialectName.BYBIT: "BTCUSDT", DialectName.HYPERLIQUID: "BTCUSDC"}


@together
async def test_what_happens_to_one_venue_is_that_ones_alone(tmp_path: Path, note: Note) -> None:
    """Kill one: its market and account are unknown, its bot may not enter, and nothing else is asked of it.

    The others go on deciding: a book that thins on another one still leads to a cut there.
    """
    async with three_venues(tmp_path) as (site, venues):
        dead, thin, calm = (venues[name] for name in ("hyperliquid", "binanceusdm", "bybit"))
        sizes = {name: await opened(site, venue) for name, venue in venues.items()}

        killed_s = await dead.program.kill()
        await expect_problem(site, "account_unknown", f"{dead.id}:{bot_of(dead)}")
        await expect_problem(site, f"{dead.id}:{dead.symbol}")
        await eventually(lambda: entries(site, dead) is Entries.REDUCE_ONLY, what="no entries there")
        assert entries(site, thin) is entries(site, calm) is None

        thin.market.thin()
        thin.turn()
        await site.tap.expect(CutLeverage, bot=bot_of(thin), since_s=killed_s, within_s=30.0)
        await site.tap.expect(
            Reported,
            lambda said: not said.positions or said.positions[0].size < sizes[thin.id] * 0.95,
            bot=bot_of(thin),
            since_s=killed_s,
            what="a smaller position",
        )
        assert entries(site, calm) is None
        # What allowed entries in the beginning may be said once more.
        assert verbs(site, calm, killed_s) <= {Verb.RESUME}
        assert verbs(site, dead, killed_s) <= {Verb.PAUSE, Verb.RESUME}, "nothing is cut, no stop is moved"

        await dead.start()
        began_s = time.monotonic()
        await eventually(lambda: entries(site, dead) is None, within_s=60.0, what="entries allowed again")
        note("three_venues_believed_again_s", time.monotonic() - began_s)
        assert problems(site, dead.id) == []
        assert verbs(site, dead, killed_s) <= {Verb.PAUSE, Verb.RESUME}


# The stage


@contextlib.asynccontextmanager
async def three_venues(folder: Path) -> AsyncIterator[tuple[Site, dict[str, VenueProgram]]]:
    """Three venues, a daemon that reads each in its own language, and a bot with an open position on each."""
    async with ground(folder) as here, contextlib.AsyncExitStack() as stack:
        bots = [f"on-{dialect}" for dialect in CODES]
        site = await here.site("home", bots, broker={"claim_quiet_s": 0.5})
        venues = [
            VenueProgram(site.folder, dialect, code, [account_of(f"on-{dialect}")])
            for dialect, code in CODES.items()
        ]
        for venue in venues:
            stack.push_async_callback(venue.program.close)
        await asyncio.gather(*(venue.start() for venue in venues))
        daemon = site.daemon(
            venues=[watched(venue) for venue in venues],
            bots=[
                {
                    "name": bot_of(venue),
                    "key_file": f"{bot_of(venue)}.key",
                    "venue": venue.id,
                    "account": bot_of(venue),
                }
                for venue in venues
            ],
        )
        await site.start(daemon, *(trading(site, venue) for venue in venues))
        # Not that nothing troubles the guard: eight programs that start at once may well be more than it keeps up with.
        await asyncio.gather(*(site.armed(bot, within_s=2 * READY_S) for bot in bots))
        yield site, {venue.id: venue for venue in venues}


def account_of(bot: str) -> VenueAccountSpec:
    return VenueAccountSpec(bot, f"key-{bot}", f"secret-{bot}", WALLET_USDT, STRATEGY["leverage"])


def bot_of(venue: VenueProgram) -> str:
    return venue.accounts[0].name


def watched(venue: VenueProgram) -> dict[str, Any]:
    credentials = {**venue.credentials(bot_of(venue)), "trade_keys_allowed": True}
    return {
        "id": venue.id,
        "symbols": [venue.symbol],
        "urls": venue.ccxt_urls,
        "sample_ms": 100,
        "account_poll_s": 0.5,
        "orders_poll_s": 1.0,
        "silence_s_max": 5.0,
        "rate_limit": False,
        "accounts": {bot_of(venue): credentials},
    }


def trading(site: Site, venue: VenueProgram) -> Program:
    return site.bot(
        bot_of(venue), venue_id=venue.id, symbol=venue.symbol, venue_urls=venue.trading_urls, rearm_ms=1500
    )


# What is seen


async def opened(site: Site, venue: VenueProgram) -> float:
    """Wait until the bot holds its position with a stop under it, and has said so; returns its size."""
    whole = STRATEGY["slice_usd"] * STRATEGY["slices_open"] / venue.market.price
    _, said = await site.tap.expect(
        Reported,
        lambda said: bool(said.positions) and said.positions[0].size > whole * 0.99 and len(said.orders) == 1,
        bot=bot_of(venue),
        within_s=2 * READY_S,
        what=f"{bot_of(venue)} to report its position and its stop",
    )
    return said.positions[0].size


def problems(site: Site, *words: str) -> list[str]:
    """What troubles the guard now, as far as it names all of these."""
    state = site.tap.guard()
    told = () if state is None else state.problems
    return [problem for problem in told if all(word in problem for word in words)]


async def expect_problem(site: Site, *words: str) -> None:
    await eventually(lambda: problems(site, *words), within_s=20.0, what=f"a problem with {words}")


def entries(site: Site, venue: VenueProgram) -> Entries | None:
    """What the bot's entries in its market are restricted to, ``None`` if they are not."""
    posture = site.tap.posture(bot_of(venue))
    return None if posture is None else posture.entries.get(venue.symbol)


def verbs(site: Site, venue: VenueProgram, since_s: float) -> set[Verb]:
    return {command.verb for _, command in site.tap.commands(bot_of(venue), since_s=since_s)}
