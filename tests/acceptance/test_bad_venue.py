"""A venue that does not list a symbol, refuses a key, or does everything wrong for a while: what is unknown is said,
no entries are allowed on it, nothing else is asked of a bot, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from adapters.simulation import Fault, FaultKind, fault_schedule
from perpguard_sdk.messages import Entries, GuardStatus, Posture, Signal, Verb
from tests.support.eventually import eventually
from tests.support.processes import merged
from tests.support.stage import CODE, SYMBOL, Site, ground
from tests.support.together import Note, together

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


STORM_S = 12.0
STORM: tuple[Fault, ...] = (
    # At first and in the end nothing comes at all, and nothing can be asked; between them everything at once. A
    # market that is delisted is left out, for then the position is truly gone.
    Fault(kind=FaultKind.SILENCE, for_s=7.0, pongs=False),
    Fault(kind=FaultKind.STATUS, for_s=7.0, status=503),
    Fault(kind=FaultKind.SILENCE, at_s=STORM_S, for_s=5.0, pongs=False),
    Fault(kind=FaultKind.STATUS, at_s=STORM_S, for_s=5.0, status=503),
    *fault_schedule(
        20, STORM_S, 4.0, symbols=[CODE], kinds=[kind for kind in FaultKind if kind is not FaultKind.DELIST]
    ),
)


@together
async def test_a_storm_of_faults_blocks_entries_cuts_nothing_and_passes(tmp_path: Path, note: Note) -> None:
    """Beside the faults the market is calm and deep all the time: nothing that is true asks for more than a pause."""
    async with ground(tmp_path, ["calm"]) as here:
        site = await here.site("home", ["calm"], broker={"claim_quiet_s": 0.5})
        settings = site.daemon_settings("guard-1", "guard-1", {})
        venue = merged(
            settings["venues"][0], {"silence_s_max": 2.0, "retry_s_max": 2.0, "refused_retry_s": 1.0}
        )
        daemon = site.daemon(venues=[venue])
        await site.start(daemon, site.bot("calm", rearm_ms=1500))
        await site.play("calm")
        size = site.size("calm")

        began_s = time.monotonic()
        here.venue.misbehave(*STORM, seed=20)
        await site.tap.expect_guard(
            lambda state: (
                any(SYMBOL in problem for problem in state.problems)
                and any("binanceusdm:calm" in problem for problem in state.problems)
            ),
            since_s=began_s,
            within_s=20.0,
            what="market and account unknown",
        )
        note("storm_unknown_said_s", time.monotonic() - began_s)
        await eventually(lambda: _entries(site, "calm") is Entries.REDUCE_ONLY, what="no entries")
        faults = here.venue.misbehaviour
        await eventually(
            lambda: not faults.active and not faults.waiting,
            within_s=STORM_S + 10.0,
            what="the storm to pass",
        )
        passed_s = time.monotonic()
        await eventually(
            lambda: _entries(site, "calm") is None and not _problems(site),
            within_s=60.0,
            what="everything to be known again, and entries allowed",
        )
        note("storm_recovered_s", time.monotonic() - passed_s)

        asked = {command.verb for heard, command in site.tap.commands("calm") if heard.at_s >= began_s}
        assert asked <= {Verb.PAUSE, Verb.RESUME}
        assert site.size("calm") == size
        assert sum(faults.hits.values()) > 50
        assert daemon.runs
        said = daemon.tail(10_000_000)
        for trace in ("Traceback", "never retrieved", "Exception in callback", "Unclosed"):
            assert trace not in said


def _entries(site: Site, bot: str) -> Entries | None:
    posture = site.tap.last(Posture, bot=bot)
    return None if posture is None else posture.entries.get(SYMBOL)


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
