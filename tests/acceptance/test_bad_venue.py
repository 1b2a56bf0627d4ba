"""A venue that does not list a symbol or refuses a key: the rest goes on, and the state topic says what does not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from perpguard_sdk.messages import Entries, GuardStatus, Posture, Signal
from tests.support.eventually import eventually
from tests.support.processes import merged
from tests.support.stage import SYMBOL, Site, ground
from tests.support.together import together

pytestmark = pytest.mark.acceptance

UNKNOWN = "NOPE/USDT:USDT"


@together
async def test_an_unknown_symbol_is_said_and_the_others_are_watched(tmp_path: Path) -> None:
    async with ground(tmp_path) as here:
        site = await here.site("home", [], broker={"claim_quiet_s": 0.5})
        settings = site.daemon_settings("guard-1", "guard-1", {})
        venue = merged(settings["venues"][0], {"symbols": [SYMBOL, UNKNOWN]})
        await site.start(site.daemon(venues=[venue]))
        _, state = await site.tap.expect_guard(
            lambda state: any(UNKNOWN in problem for problem in state.problems), within_s=30.0
        )
        assert state.state is GuardStatus.DEGRADED
        await site.tap.expect(
            Signal, lambda signal: signal.symbol == SYMBOL and signal.depth_bid_usd is not None
        )
        await eventually(
            lambda: not any(SYMBOL in problem for problem in _problems(site)),
            what="only the unknown symbol to be a problem",
        )
        unknown = [problem for problem in _problems(site) if UNKNOWN in problem]
        assert any("does not list" in problem and "correct it" in problem for problem in unknown), unknown


@together
async def test_a_refused_key_blocks_entries_and_the_market_is_watched_on(tmp_path: Path) -> None:
    """``wrong`` has a wrong secret from the start; ``revoked`` loses its key while everything runs."""
    async with ground(tmp_path, ["wrong", "revoked"]) as here:
        site = await here.site("home", ["wrong", "revoked"], broker={"claim_quiet_s": 0.5})
        (site.folder / "guards.api_secret").write_text("not the secret")
        (site.folder / "guards.api_secret").chmod(0o600)
        settings = site.daemon_settings("guard-1", "guard-1", {})
        wrong = {"api_key_file": "wrong.api_key", "api_secret_file": "guards.api_secret"}
        venue = merged(settings["venues"][0], {"accounts": {"wrong": wrong}, "refused_retry_s": 1.0})
        daemon = site.daemon(venues=[venue])
        await site.start(daemon, site.bot("wrong", rearm_ms=1500), site.bot("revoked", rearm_ms=1500))
        await asyncio.gather(site.armed("wrong"), site.opened("revoked"))
        await _expect_unknown(site, "wrong")
        await site.reports("wrong", 4)
        assert site.entries("wrong") == 0
        posture = site.tap.posture("revoked")
        assert posture is not None
        assert posture.entries == {}

        here.venue.refuse_keys()
        here.venue.drop_connections()
        await _expect_unknown(site, "revoked")
        since_s = time.monotonic()
        await site.tap.expect(Signal, lambda signal: signal.depth_bid_usd is not None, since_s=since_s)

        here.venue.refuse_keys(refuse=False)
        await eventually(
            lambda: not any("binanceusdm:revoked" in problem for problem in _problems(site)),
            within_s=20.0,
            what="the account to be known again once the venue takes the key",
        )
        assert any("binanceusdm:wrong" in problem for problem in _problems(site))
        assert daemon.runs
        assert "not the secret" not in daemon.tail(1_000_000)


async def _expect_unknown(site: Site, bot: str) -> None:
    """The account is a problem on the state topic, with the refusal, and the bot may not enter."""
    _, state = await site.tap.expect_guard(
        lambda state: any(
            problem.startswith("account_unknown") and f"binanceusdm:{bot}" in problem and "refused" in problem
            for problem in state.problems
        ),
        within_s=20.0,
        what=f"account_unknown of {bot}",
    )
    assert state.state is GuardStatus.DEGRADED
    await eventually(
        lambda: (
            (posture := site.tap.last(Posture, bot=bot)) is not None
            and posture.entries.get(SYMBOL) is Entries.REDUCE_ONLY
        ),
        what=f"{bot} to be held",
    )


def _problems(site: Site) -> tuple[str, ...]:
    state = site.tap.guard()
    return () if state is None else state.problems
