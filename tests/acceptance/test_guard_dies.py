"""The guard is killed, or hangs: bots are safe within seconds, and it comes back where it was."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from guard.commands import OutcomeKind
from perpguard_sdk.messages import CutLeverage, Entries, Posture, Verb
from tests.support.eventually import eventually
from tests.support.processes import Program, ask
from tests.support.stage import READY_S, SYMBOL, Site, ground
from tests.support.together import Note, together

pytestmark = pytest.mark.acceptance

SAFE_WITHIN_S = 4.0


@together
async def test_a_killed_guard_comes_back_with_its_posture_even_without_its_database(
    tmp_path: Path, note: Note
) -> None:
    async with ground(tmp_path, ["kept", "lost"]) as here:
        sites = [await here.site(name, [name]) for name in ("kept", "lost")]
        daemons = {site.name: site.daemon() for site in sites}
        for site in sites:
            await site.start(daemons[site.name], site.bot(site.name))
        await asyncio.gather(*(site.play(site.name) for site in sites))
        here.market.thin()
        before = dict(
            zip([site.name for site in sites], await asyncio.gather(*map(_restricted, sites)), strict=True)
        )
        fills = {site.name: site.fills(site.name) for site in sites}

        killed_s = {site.name: await daemons[site.name].kill() for site in sites}
        for site in sites:
            safe_s = await site.in_safe_mode(site.name, since_s=killed_s[site.name])
            took_s = safe_s - killed_s[site.name]
            note("safe mode after kill -9 of the guard, s", took_s)
            assert took_s <= SAFE_WITHIN_S
        here.market.fall(bps=100)
        await asyncio.gather(*(site.reports(site.name, 5) for site in sites))
        assert fills == {site.name: site.fills(site.name) for site in sites}

        for path in sites[1].folder.glob("*.sqlite3*"):
            if path.is_file():  # samples lie in a folder beside it
                path.unlink()
        restarts = (_restart(site, daemons[site.name], before[site.name], note) for site in sites)
        await asyncio.gather(*restarts)


async def _restart(site: Site, daemon: Program, old: Posture, note: Note) -> None:
    """Start the daemon again: the old limits hold at once, and nothing is done a second time."""
    bot = site.name
    executed, fills, entries = site.executed(bot), site.fills(bot), site.entries(bot)
    since_s = time.monotonic()
    await daemon.start()
    heard, posture = await site.tap.expect(
        Posture, lambda posture: posture.epoch > old.epoch, bot=bot, since_s=since_s, within_s=READY_S
    )
    note("posture restored after restart of the guard, s", heard.at_s - since_s)
    assert _limits(old) == _limits(posture)
    assert posture.version >= old.version
    assert fills == site.fills(bot)
    await site.armed(bot, since_s=since_s)
    assert executed == site.executed(bot)[: len(executed)]
    await eventually(
        lambda: site.entries(bot) > entries,
        within_s=30.0,
        what="the bot to buy the dip once it may, which shows that it would have before",
    )
    ids = site.executed(bot)
    assert len(ids) == len(set(ids))
    assert await daemon.terminate() == 0
    answer = await ask("audit", "verify", str(site.audit_path), folder=site.folder)
    assert answer.code == 0, answer.err


@together
async def test_a_hung_guard_leaves_its_bots_safe_and_nothing_expired_is_executed_when_it_wakes(
    tmp_path: Path, note: Note
) -> None:
    """``alpha`` lives; ``beta`` hangs with a command unread while the guard hangs too."""
    async with ground(tmp_path, ["alpha", "beta"]) as here:
        site = await here.site(
            "home", ["alpha", "beta"], broker={"claim_quiet_s": 1.0}, dispatch={"command_ttl_ms": 4000}
        )
        daemon, beta = site.daemon(), site.bot("beta")
        await site.start(daemon, site.bot("alpha"), beta)
        await site.play("alpha", "beta")

        hung_s = await daemon.suspend()
        note("safe mode after SIGSTOP of the guard, s", await _safe_in_time(site, "alpha", hung_s))
        here.market.fall(bps=60)
        await site.reports("alpha", 5)
        assert site.entries("alpha") == 2
        woken_s = time.monotonic()
        daemon.resume()
        await site.armed("alpha", since_s=woken_s)
        await eventually(lambda: site.entries("alpha") == 3, what="alpha to buy the dip now that it may")
        await site.armed("beta", since_s=woken_s)
        await eventually(lambda: site.entries("beta") == 3, what="beta to buy the dip")

        await beta.suspend()
        thinned_s = time.monotonic()
        here.market.thin()
        _, unread = await site.tap.expect(CutLeverage, bot="beta", since_s=thinned_s)
        hung_s = await daemon.suspend()
        note("safe mode after SIGSTOP of the guard, s", await _safe_in_time(site, "alpha", hung_s))
        unread_ids = {command.id for _, command in site.tap.commands("beta", since_s=thinned_s)}
        await eventually(lambda: _now_ms() > unread.expires_at + 500, what="the unread command to expire")
        beta.resume()
        await site.in_safe_mode("beta", since_s=hung_s)
        size = site.size("beta")
        await site.reports("beta", 3)
        assert size == site.size("beta")
        woken_s = time.monotonic()
        daemon.resume()
        await eventually(
            lambda: site.size("beta") < size,
            within_s=20.0,
            what="beta to obey a command that was decided anew",
        )
        assert not unread_ids & set(site.executed("beta"))
        await site.assert_executed_in_time("alpha", "beta")
        await site.armed("alpha", since_s=woken_s)


async def _restricted(site: Site) -> Posture:
    """Wait until the thin book has led to a pause and a cut that the venue confirms; returns the posture."""
    bot = site.name

    async def confirmed() -> bool:
        outcomes = await site.outcomes(bot)
        done = {each for each, outcome in outcomes.items() if outcome.outcome is OutcomeKind.CONFIRMED}
        verbs = {command.verb for _, command in site.tap.commands(bot) if command.id in done}
        return {Verb.PAUSE, Verb.CUT_LEVERAGE} <= verbs

    await eventually(confirmed, within_s=20.0, every_s=0.2, what="pause and cut to be confirmed")
    posture = site.tap.posture(bot)
    assert posture is not None
    assert posture.entries == {SYMBOL: Entries.REDUCE_ONLY}
    assert abs(site.size(bot)) <= posture.max_size[SYMBOL] * 1.02
    return posture


def _limits(posture: Posture) -> tuple[object, ...]:
    return posture.entries, posture.max_size, posture.max_leverage, posture.stops


async def _safe_in_time(site: Site, bot: str, since_s: float) -> float:
    took_s = await site.in_safe_mode(bot, since_s=since_s) - since_s
    assert took_s <= SAFE_WITHIN_S
    return took_s


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
